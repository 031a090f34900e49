"""Starters of Holdfast: embedded, with a remote publisher, and scaled. Each row has its own servers and database.

A checkout is the folder of the code that is started: this one, or that of a former release.
"""

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from tests import services
from tests.bench import machine
from tests.bench.holdfast import Holdfast, Remote
from tests.bench.site import Wrong
from tests.support import tokens
from tests.support.harness import ROOT, Server, Worker, environment_of, manage

Environment = dict[str, str]
Sessions = list[tuple[str, str]]  # each one's id and its owner's cookie

# As a site runs it, not as one develops.
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
    "HOLDFAST_DEBUG": "false",
    "HOLDFAST_HOSTS": "127.0.0.1",
    "HOLDFAST_PEOPLE_PER_ADDRESS": "100000",  # thousands of people come from this machine
    # What a server can take is what is measured.
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "1000000000000",
    "HOLDFAST_RUNS_PER_PROCESS": "100000",
}
KEYS = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in tokens.KEYS.items()),
    "HOLDFAST_PUBLISHES_PER_SECOND": "100000",
}


class Files:
    """A migrated SQLite file with sessions in it, to copy for each server."""

    def __init__(self, place: Path, name: str, sessions: int, checkout: Path = ROOT) -> None:
        self._path = place / f"{name}.sqlite3"
        self.checkout = checkout
        self.sessions = _prepare(f"sqlite:///{self._path}", sessions, checkout)

    def copy(self, place: Path) -> str:
        shutil.copyfile(self._path, place / "holdfast.sqlite3")
        return f"sqlite:///{place}/holdfast.sqlite3"


class Cluster:
    """A PostgreSQL server with a migrated database with sessions in it, likewise."""

    def __init__(self, address: str, sessions: int) -> None:
        self._server, _, self._prepared = address.rpartition("/")
        self._copies = 0
        self.sessions = _prepare(address, sessions)

    def copy(self, place: Path) -> str:
        self._copies += 1
        name = f"copy_{self._copies}"
        with psycopg.connect(f"{self._server}/template1", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self._prepared}")
        return f"{self._server}/{name}"


def _prepare(database: str, sessions: int, checkout: Path = ROOT) -> Sessions:
    environment = environment_of(database, ENVIRONMENT)
    manage("migrate", "--verbosity", "0", environment=environment, cwd=checkout)
    created = manage("bench_sessions", str(sessions), environment=environment, cwd=checkout)
    return [(session, cookie) for session, cookie in json.loads(created)]


def check_out(commit: str, place: Path) -> Path:
    """Write a commit's files into a new folder, for a former release to be measured from. Raises CalledProcessError."""
    place.mkdir()
    archive = place.with_suffix(".tar")
    subprocess.run(["git", "archive", "--output", archive, commit], cwd=ROOT, check=True)
    with tarfile.open(archive) as files:
        files.extractall(place, filter="data")
    return place


@contextmanager
def embedded(command: str, store: Files, environment: Environment, seed: int) -> Iterator[Holdfast]:
    """Start one process with SQLite and the agents in the server."""
    with (
        _place() as place,
        _running(Server, command, place, store.copy(place), environment, store.checkout) as server,
    ):
        yield Holdfast(server, store.sessions, seed, [server.pid])


@contextmanager
def remote(store: Files, environment: Environment, seed: int) -> Iterator[Remote]:
    """The same under uvicorn, but what writes is elsewhere."""
    with _place() as place, _running(Server, "uvicorn", place, store.copy(place), environment | KEYS) as server:
        yield Remote(server, store.sessions, seed, [server.pid])


@contextmanager
def scaled(store: Cluster, environment: Environment, seed: int) -> Iterator[Holdfast]:
    """A web process and a worker, both on the server's core; PostgreSQL and Redis on the load's."""
    with _place() as place, services.redis() as redis, ExitStack() as stack:
        database = store.copy(place)
        environment = environment | {"HOLDFAST_REDIS": redis, "HOLDFAST_RUN_AGENTS": "false", "HOLDFAST_PROCESSES": "2"}
        server = stack.enter_context(_running(Server, "uvicorn", place, database, environment))
        worker = stack.enter_context(_running(Worker, "runagents", place, database, environment))
        site = Holdfast(server, store.sessions, seed, [server.pid, worker.pid])
        site.helpers = {"PostgreSQL": "postgres", "Redis": "redis-server"}
        yield site


@contextmanager
def _running(
    kind: type[Server],
    command: str,
    place: Path,
    database: str,
    environment: Environment,
    checkout: Path = ROOT,
) -> Iterator[Server]:
    server = kind(place, database=database, command=command, environment=ENVIRONMENT | environment)
    server.cwd = checkout
    try:
        with machine.on_server_core():
            server.start()
        yield server
    except Wrong:
        raise
    except Exception:
        print(f"--- {command}'s log ends with\n{server.log[-2000:]}")
        raise
    finally:
        server.end()


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        yield Path(name)
