"""Imports of the publisher client and of the agent interface: no Django, and three packages of others."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("agents_app", "sessions_app", "project")
# Of agents_app.
PURE = (
    "__init__", "answer", "backend", "registry", "sync_answer", "sync_turn", "testing", "tool_call", "tools", "turn",
)  # fmt: skip

DJANGO = ("django", "channels", "asgiref", "rest_framework")
# Imports modules where none of `blocked` can be imported, and prints the files of ours that this has loaded.
PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    __import__(name)
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("agents_app", "sessions_app", "project"):
        print(module.__file__)
"""


def loaded_by(*modules: str) -> list[Path]:
    """Import modules in a fresh interpreter without Django; return the files of ours that were loaded."""
    command = [sys.executable, "-c", PROGRAM.format(blocked=(*DJANGO, "opentelemetry")), *modules]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [Path(line).relative_to(ROOT) for line in done.stdout.splitlines()]


def imported_by(path: Path) -> set[str]:
    """Return the modules that a file names in its imports, those for types and those within functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path} has a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def third_parties(files: list[Path]) -> set[str]:
    """Return the packages of others that these files import."""
    packages = {name.partition(".")[0] for path in files for name in imported_by(path)}
    return packages - set(sys.stdlib_module_names) - set(OURS)


def may_be_loaded(path: Path, *, remote: bool) -> bool:
    """Return whether a file of ours is in the core or pure; with `remote`, or belongs to the client."""
    match path.parts:
        case ("sessions_app", "__init__.py") | ("sessions_app", "core", _):
            return True
        case ("agents_app", name):
            return name.removesuffix(".py") in PURE
        case ("agents_app", "remote", _) | ("sessions_app", "publishing" | "runs", "__init__.py"):
            return remote
        case ("sessions_app", "runs", "agent_inbox.py") | (
            "sessions_app",
            "telemetry",
            "__init__.py" | "log_context.py",
        ):
            return remote
        case ("sessions_app", "publishing", "response_writer.py" | "ticker.py"):
            return remote
    return False


def test_the_publisher_client_imports_no_django_and_few_packages() -> None:
    files = loaded_by("agents_app.remote")
    assert [path for path in files if not may_be_loaded(path, remote=True)] == []
    assert third_parties(files) == {"orjson", "websockets", "httpx", "opentelemetry"}  # the last one if it is there


def test_the_agent_interface_imports_only_the_core() -> None:
    files = loaded_by(*(f"agents_app.{name}" for name in PURE if name != "__init__"))
    assert [path for path in files if not may_be_loaded(path, remote=False)] == []
    assert third_parties(files) == {"orjson"}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_file_imports_nothing_impure_even_for_types(name: str) -> None:
    ours = {module for module in imported_by(Path("agents_app", f"{name}.py")) if module.startswith(OURS)}
    allowed = ("sessions_app.core", *(f"agents_app.{pure}" for pure in PURE))
    assert [module for module in ours if not module.startswith(allowed)] == []


def test_an_agent_is_rehearsed_without_django() -> None:
    program = PROGRAM.format(blocked=DJANGO) + (
        "import asyncio\n"
        "from agents_app.testing import approve, rehearse\n"
        "async def agent(turn):\n"
        "    call = await turn.tool('lend', {'book': 1})\n"
        "    decision = await call.approval('One book')\n"
        "    async def lend(arguments): return arguments['book']\n"
        "    await turn.text(f'{decision.approved} {await call.execute(lend)}')\n"
        "print(asyncio.run(rehearse(agent, 'Lend me one', decisions=[approve()])).text)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True 1"]), done.stderr


def test_the_old_module_names_are_aliases() -> None:
    from agents_app import pydantic_agent, tool_call, tools
    from agents_app.adapters.pydantic_ai import agent

    assert (tools.Decision, tools.ToolCall, tools.ToolFailed) == (
        tool_call.Decision, tool_call.ToolCall, tool_call.ToolFailed,
    )  # fmt: skip
    assert pydantic_agent.register is agent.register
