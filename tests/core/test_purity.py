"""The core's purity: no Django, clock, randomness or event loop."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "sessions_app" / "core"
MODULES = sorted(CORE.rglob("*.py"))
BANNED = ("django", "channels", "asgiref", "rest_framework", "asyncio")
IMPURE = {"asyncio", "datetime", "io", "logging", "os", "random", "secrets", "socket", "subprocess", "threading",
          "time", "uuid"}  # fmt: skip


def test_the_core_imports_no_django() -> None:
    names = [f"sessions_app.core.{path.stem}" for path in MODULES if path.stem != "__init__"]
    assert "sessions_app.core.fold" in names
    program = f"import sys, {', '.join(names)}; print([n for n in sys.modules if n.split('.')[0] in {BANNED!r}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=CORE.parents[1])
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_core_uses_no_clock_randomness_or_event_loop(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {name.split(".")[0] for node in ast.walk(tree) for name in imports(node)}
    assert not imported & IMPURE
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("open", "print", "input")]


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
