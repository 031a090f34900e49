"""One version of Holdfast everywhere, and the tested versions of packages whose private parts it uses."""

import json
import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sessions_app import __version__

ROOT = Path(__file__).resolve().parent.parent

# Package: the version that Holdfast was tested with, and what to look at before another one is named here.
TESTED = {
    "twisted": (
        "26.10.0",
        "servers/daphne_websocket.py: Connection.dataBuffer, _tempDataBuffer and writeSomeData; "
        "servers/daphne_request.py: HTTPChannel._command, _path and _version. Run tests/scenarios/test_slow_reader.py, "
        "test_slow_stream.py and test_ndjson.py.",
    ),
    "autobahn": (
        "26.10.2",
        "servers/daphne_websocket.py: HANDSHAKE_ATTRIBUTES, CONFIG_ATTRS, processData, consumeData, sendCloseFrame, "
        "closedByMe and droppedByMe. Run tests/scenarios/test_pings.py, test_cut_connections.py and test_restart.py.",
    ),
    "daphne": (
        "4.2.3",
        "servers/: WebSocketProtocol's and WebRequest's attributes, Server.check_timeouts, _response_started. "
        "Run tests/scenarios/test_stopping.py and test_http_transports.py.",
    ),
    "uvicorn": (
        "0.54.0",
        "servers/uvicorn_websocket.py: the __slots__ of WebSocketsSansIOProtocol, its handle_connect, receive, send, "
        "schedule_ping and stop_keepalive. Run tests/test_uvicorn_websocket.py and test_uvicorn_pings.py.",
    ),
    "websockets": (
        "17.4",
        "servers/uvicorn_websocket.py: ServerProtocol's logger, debug, state, parser, reader and current_size; "
        "frames.apply_mask. Run tests/test_uvicorn_websocket.py, test_uvicorn_pings.py, test_remote.py and "
        "tests/scenarios/test_pings.py, test_remote.py and test_framework_workers.py, with OLDEST_WEBSOCKETS too.",
    ),
    "asgiref": (
        "3.13.0",
        "transports/sse.py, release_thread: SyncToAsync.thread_sensitive_context, and context_to_thread_executor.pop. "
        "Run tests/test_http_transports.py and tests/scenarios/test_http_transports.py.",
    ),
}


OLDEST_WEBSOCKETS = "16.1.1"  # for the OpenAI Agents SDK, which excludes 17


def pinned() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(found.groups() for line in lines if (found := re.match(r"([\w-]+)(?:\[.*\])?==(\S+)", line)))


@pytest.mark.parametrize("package", TESTED)
def test_a_package_whose_private_parts_are_used_has_the_tested_version(package: str) -> None:
    tested, look_at = TESTED[package]
    assert version(package) == tested, f"{package} {version(package)} is untested. Look at {look_at}"
    assert pinned()[package] == tested


def requirements() -> list[Requirement]:
    """Return what the distribution requires, by itself and with every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for lines in lists for line in lines]


def test_the_ranges_of_the_distribution_admit_what_is_tested() -> None:
    for requirement in requirements():
        assert requirement.specifier.contains(version(requirement.name)), f"{requirement} isn't what is tested"


def test_the_openai_agents_sdk_installs_beside_the_server() -> None:
    served = {canonicalize_name(each.name): each.specifier for each in requirements()}
    asked = [Requirement(line) for line in requires("openai-agents") or () if "extra ==" not in line]
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        tested = OLDEST_WEBSOCKETS if name == "websockets" else version(name)
        assert requirement.specifier.contains(tested) and (name not in served or served[name].contains(tested)), name
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [server] = [Requirement(line) for line in extras["server"] if line.startswith("websockets")]
    assert server.specifier.contains(OLDEST_WEBSOCKETS)


def test_the_distribution_names_all_that_requirements_txt_pins() -> None:
    named = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert {canonicalize_name(name) for name in pinned()} - named == {"servestatic"}  # the project's own static files


def test_holdfast_has_one_version() -> None:
    client = json.loads((ROOT / "static/holdfast/package.json").read_text())["version"]
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[:1]
    named = {client, *released}
    assert named == {__version__}
