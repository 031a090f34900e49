"""Imports of the adapters: no Django, so that they run in any process; each needs its own framework alone."""

import subprocess
import sys

import pytest

from tests.test_remote_imports import DJANGO, PROGRAM, ROOT

FRAMEWORKS = {"pydantic_ai", "langgraph", "langchain", "agents", "ag_ui"}
ADAPTERS = {
    "agents_app.adapters.pydantic_ai.agent": {"pydantic_ai"},
    "agents_app.adapters.langgraph.agent": {"langgraph", "langchain"},
    "agents_app.adapters.openai_agents.agent": {"agents"},
    "agents_app.adapters.ag_ui.agent": {"ag_ui"},
    "agents_app.adapters.ui_messages": set(),
}

LOADED = f"print('LOADED', *({FRAMEWORKS!r} & sys.modules.keys()))"


@pytest.mark.parametrize(("module", "frameworks"), ADAPTERS.items())
def test_an_adapter_imports_its_framework_alone_and_no_django(module: str, frameworks: set[str]) -> None:
    command = [sys.executable, "-c", PROGRAM.format(blocked=DJANGO) + LOADED, module]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()[-1].split()[1:]) == frameworks
    assert "local/backend.py" not in done.stdout
