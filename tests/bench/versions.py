"""The versions of the programs and packages measured."""

import re
import sqlite3
import subprocess
from collections.abc import Iterable
from importlib.metadata import version

from tests import services
from tests.bench.peers import centrifugo

PYTHON = ("Django", "channels", "uvloop")
PROGRAMS = {
    "PostgreSQL": ("postgres", "--version"),
    "Redis": ("redis", "--version"),
    "Node": ("node", "--version"),
    "nginx": ("nginx", "-v"),
    "Centrifugo": ("centrifugo", "version"),
}
USES = {
    "uvicorn": ("uvicorn", "SQLite"),
    "before": ("uvicorn", "SQLite"),
    "daphne": ("daphne", "SQLite"),
    "remote": ("uvicorn", "SQLite"),
    "scaled": ("uvicorn", "channels-redis", "psycopg", "PostgreSQL", "Redis"),
    "socketio": ("Node", "Socket.IO"),
    "nchan": ("nginx", "Nchan"),
    "centrifugo": ("Centrifugo",),
}


def of(servers: Iterable[str]) -> str:
    """Return everything that these servers use, each once."""
    ours = PYTHON if {"uvicorn", "before", "daphne", "remote", "scaled"} & set(servers) else ()
    names = dict.fromkeys([*ours, *(name for server in servers for name in USES[server])])
    return ", ".join(f"{name} {_of(name)}" for name in names)


def _of(name: str) -> str:
    if name in PROGRAMS:
        program, switch = PROGRAMS[name]
        path = centrifugo.program() if name == "Centrifugo" else services.find(program)
        return _said([path or program, switch])
    if name == "SQLite":
        return sqlite3.sqlite_version
    if name == "Socket.IO":
        return _said(["npm", "ls", "--prefix", "tests/bench/peers", "socket.io"], r"socket\.io@(\S+)")
    if name == "Nchan":
        return _said(["dpkg-query", "-Wf${Version}", "libnginx-mod-nchan"], r"(\S+)")
    return version(name)


def _said(command: list[str], pattern: str = r"(\d+\.\d+(?:\.\d+)?)") -> str:
    run = subprocess.run(command, capture_output=True, text=True)
    found = re.search(pattern, run.stdout + run.stderr)
    return found[1] if found else "of unknown version"
