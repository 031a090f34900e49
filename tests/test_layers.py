"""Layers: which package may import which, late and type-only imports included. docs/architecture.md explains them."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A line may import only lines below it; units on one line, which an indented one continues, don't import each other.
LAYERS = """
project
agents_app.apps
agents_app.checks agents_app.management
agents_app.builtin
agents_app.adapters agents_app.local
agents_app.testing agents_app.remote
agents_app.registry
agents_app.sync_turn
agents_app.turn agents_app.sync_answer
agents_app.tool_call
agents_app.answer
agents_app.backend
sessions_app.asgi sessions_app.apps
sessions_app.urls
sessions_app.views
sessions_app.transports
sessions_app.process sessions_app.admin sessions_app.api sessions_app.management
sessions_app.workers
sessions_app.runs sessions_app.publishing sessions_app.delivery
    sessions_app.retention sessions_app.http sessions_app.checks
sessions_app.fairness
sessions_app.diagnostics sessions_app.auth
sessions_app.event_log sessions_app.servers
sessions_app.database
sessions_app.models sessions_app.telemetry
sessions_app.core sessions_app.conf
sessions_app agents_app
""".replace("\n    ", " ").split("\n")[1:-1]

RANK = {unit: -number for number, line in enumerate(LAYERS) for unit in line.split()}
# Deprecated names of modules that moved, for one release; nothing imports them.
ALIASES = {
    "agents_app.pydantic_agent",
    "agents_app.tools",
    "sessions_app.identity",
    "sessions_app.sockets_uvicorn",
}
DJANGOS = {"__init__", "admin", "apps", "asgi", "models", "urls", "views"}


def modules() -> dict[str, Path]:
    """Return every module of the product but migrations, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("project", "sessions_app", "agents_app")
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    }


MODULES = modules()


def unit(module: str) -> str:
    """Return the layer table's unit that a module belongs to, the longest that fits."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next(name for name in names if name in RANK)


@cache  # six tests ask for every module's
def imported(source: str) -> frozenset[str]:
    """Return the product's modules that a module's source imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= MODULES.keys() & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            assert node.level == 0
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys()
            if names - MODULES.keys():
                found.add(node.module)
    return frozenset(found)


def upward(module: str, source: str) -> list[str]:
    """Return what a module imports from its own line of the table, or from one above."""
    own = unit(module)
    targets = {target for target in imported(source) if unit(target) != own}
    return sorted(target for target in targets if RANK[unit(target)] >= RANK[own])


@pytest.mark.parametrize("module", sorted(MODULES.keys() - ALIASES))
def test_a_module_imports_only_layers_below_its_own(module: str) -> None:
    assert upward(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from sessions_app.runs import lifecycle",
        "from sessions_app.runs.lifecycle import follow",
        "import sessions_app.runs.lifecycle",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sessions_app.process import Process",
        "def late():\n    from sessions_app.delivery.feeds import Feeds",
        "from sessions_app import process",
    ],
)
def test_an_upward_import_is_found_in_every_form(source: str) -> None:
    assert upward("sessions_app.event_log.writer", source)


def test_a_downward_import_is_allowed() -> None:
    assert (
        upward("sessions_app.event_log.writer", "from sessions_app.core import fold\nfrom sessions_app import conf")
        == []
    )


def test_modules_have_no_import_cycle() -> None:
    graph = {
        module: {target for target in imported(path.read_text()) if target != module}
        for module, path in MODULES.items()
        if module not in ALIASES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_packages_have_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module not in ALIASES:
            graph.setdefault(unit(module), set()).update(map(unit, imported(path.read_text())))
    for name, targets in graph.items():
        targets.discard(name)
    TopologicalSorter(graph).prepare()


def test_the_top_package_holds_djangos_modules_the_settings_and_the_process() -> None:
    own = {name.removeprefix("sessions_app.") for name in MODULES if name.startswith("sessions_app.")}
    files = {name for name in own if "." not in name and MODULES[f"sessions_app.{name}"].name != "__init__.py"}
    aliases = {name.removeprefix("sessions_app.") for name in ALIASES}
    assert files - aliases <= DJANGOS | {"conf", "process"}


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_no_module_imports_an_alias(alias: str) -> None:
    assert [name for name, path in MODULES.items() if alias in imported(path.read_text())] == []


def test_only_the_top_layer_imports_the_process() -> None:
    users = {unit(name) for name, path in MODULES.items() if "sessions_app.process" in imported(path.read_text())}
    tops = {name for name in users if name.split(".")[0] in ("agents_app", "project")}
    assert users - tops <= {"sessions_app.transports", "sessions_app.asgi", "sessions_app.process"}
