"""The programs that some tests need beside Python: Chromium, Go, Node, nginx, pgbouncer, PostgreSQL, Redis.

As a command it runs another if a service is there: `python -m tests.services postgres -- pytest` with a
PostgreSQL server of its own, `python -m tests.services node -- node --test`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row

# Program names, the first that is there wins. Debian keeps PostgreSQL's own programs out of PATH.
PROGRAMS = {
    "chromium": ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"),
    "curl": ("curl",),
    "go": ("go",),
    "nginx": ("nginx",),
    "pgbouncer": ("pgbouncer",),
    "node": ("node",),
    "postgres": ("initdb",),
    "redis": ("redis-server",),
}
POSTGRES_DIRS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
NODE_MODULES = Path(__file__).parent / "node_modules"
START_DEADLINE_S = 60
# Below those that the kernel gives to clients: one of them may have a server's port while the server restarts.
PORTS = range(15_000, 32_000)


def find(service: str) -> str | None:
    """The path of a service's program, or None where it isn't installed."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, POSTGRES_DIRS)])
    return next((found for name in PROGRAMS[service] if (found := shutil.which(name, path=path))), None)


def require(service: str) -> str:
    """The path of a service's program; without it the test is skipped, or fails where CI=true."""
    if program := find(service):
        return program
    _lack(f"{service} is not installed: `make setup` as root installs it")


def require_package(name: str, packages: Path = NODE_MODULES) -> Path:
    """The folder of an npm package; without it likewise."""
    folder = packages / name
    if not folder.is_dir():
        _lack(f"the npm package {name} is not installed: `make setup` installs it")
    return folder


def _lack(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    while True:
        port = secrets.choice(PORTS)  # `random` is seeded by Hypothesis, in every process alike
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a started program accepts connections; its end, or a minute, is an error."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


class Service:
    """A program of our own on one port, over its restarts."""

    place = Path("/")  # where it runs
    user: str | None = None  # who runs it, if not we

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, cwd=self.place, user=self.user)
        wait_for_port(self.port, self.process)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.tell(signal.SIGSTOP)

    def thaw(self) -> None:
        self.tell(signal.SIGCONT)

    def stop(self, number: signal.Signals) -> None:
        """End it by a signal."""
        self.tell(number)
        assert self.process
        self.process.wait()

    def end(self, number: signal.Signals) -> None:
        """End it, if it runs."""
        if self.process and self.process.poll() is None:
            self.stop(number)


class Redis(Service):
    """A Redis server, empty at each start and on no disk. `certificate`: with its key; then it speaks TLS alone."""

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__()
        self.certificate = certificate

    @property
    def url(self) -> str:
        if self.certificate:
            return f"rediss://localhost:{self.port}/0?ssl_ca_certs={self.certificate}"
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        listen = ["--port", str(self.port)]
        if self.certificate:
            tls = ["--tls-cert-file", self.certificate, "--tls-key-file", self.certificate, "--tls-auth-clients", "no"]
            listen = ["--port", "0", "--tls-port", str(self.port), *map(str, tls)]
        return [require("redis"), "--bind", "127.0.0.1", *listen, "--save", "", "--appendonly", "no"]

    def ask(self, command: str) -> str:
        """Return the answer to a command such as FLUSHALL, in Redis's own protocol; without TLS."""
        with socket.create_connection(("127.0.0.1", self.port), START_DEADLINE_S) as connection:
            connection.sendall(f"{command}\r\n".encode())
            answer = connection.recv(65536).decode()
        if answer.startswith("-"):
            raise RuntimeError(f"{command}: {answer}")
        return answer


class Postgres(Service):
    """A PostgreSQL server on a new cluster in `place`. `durable`: it is to survive a crash."""

    FAST, CRASH = signal.SIGINT, signal.SIGQUIT  # how to stop it: SIGTERM would wait for its clients

    def __init__(self, place: Path, *, durable: bool = False) -> None:
        super().__init__()
        self.place = place
        self.user = unprivileged(place)
        self.durable = durable
        self.programs = Path(require("postgres")).resolve().parent
        subprocess.run(
            [self.programs / "initdb", "--pgdata", self.cluster, "--username", "holdfast", "--auth", "trust"],
            check=True, stdout=subprocess.DEVNULL, cwd=place, user=self.user,
        )  # fmt: skip

    @property
    def cluster(self) -> str:
        return f"{self.place}/cluster"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Return the database's address at another port."""
        return f"postgres://holdfast@127.0.0.1:{port}/postgres"

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.place),
            "max_connections": "200",
            "fsync": "on" if self.durable else "off",
            "log_min_messages": "fatal",
        }
        switches = [argument for item in options.items() for argument in ("-c", "=".join(item))]
        return [f"{self.programs}/postgres", "-D", self.cluster, "-p", str(self.port), *switches]

    def start(self) -> None:
        """Start it, and wait until it has recovered and answers."""
        super().start()
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def cut(self) -> None:
        """Have it end every connection of its clients."""
        ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        self.ask(f"{ends} AND pid <> pg_backend_pid()")

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return a query's rows, by the names of their columns."""
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode()).fetchall()


class PgBouncer(Service):
    """A pgbouncer before a PostgreSQL server, in transaction mode: each transaction may be on another connection."""

    def __init__(self, place: Path, server: str, **settings: str) -> None:
        """`server`: the PostgreSQL server's address; `settings`: of pgbouncer's."""
        super().__init__()
        self.place = place
        self.user = unprivileged(place)
        at = urlsplit(server)
        listen = {"listen_addr": "127.0.0.1", "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "any"}
        mode = {"pool_mode": "transaction", "default_pool_size": "5"}
        lines = [f"{name} = {value}" for name, value in (listen | mode | settings).items()]
        database = f"* = host={at.hostname} port={at.port} user={at.username}"
        self.file = place / "pgbouncer.ini"
        self.file.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))

    @property
    def url(self) -> str:
        return f"postgres://holdfast@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        return [require("pgbouncer"), "--quiet", str(self.file)]


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server of our own, empty and on no disk; gives its address."""
    server = Redis()
    try:
        server.start()
        yield server.url
    finally:
        server.end(signal.SIGTERM)


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """A PostgreSQL server of our own, on a new cluster; gives a database's address."""
    with tempfile.TemporaryDirectory(prefix="holdfast-postgres-", ignore_cleanup_errors=True) as place:
        server = Postgres(Path(place), durable=durable)
        try:
            server.start()
            yield server.url
        finally:
            server.end(Postgres.FAST)


def unprivileged(place: Path) -> str | None:
    """Return the user to run PostgreSQL as, which refuses root: nobody, who then owns `place`."""
    if os.geteuid() != 0:
        return None
    shutil.chown(place, "nobody")
    return "nobody"


def main() -> int:
    """Run a command with a service; without the service, say so, and fail where CI=true."""
    service, _separator, *command = sys.argv[1:]
    if not find(service):
        print(f"{service} is not installed: skipped {' '.join(command)}")
        return 1 if os.environ.get("CI") == "true" else 0
    if service != "postgres":
        return subprocess.run(command).returncode
    with postgres() as address:
        # A test plays several processes in one, each of which would have a pool of its own.
        environment = {"HOLDFAST_DATABASE": address, "HOLDFAST_DATABASE_POOL": "30"}
        return subprocess.run(command, env=os.environ | environment).returncode


if __name__ == "__main__":
    sys.exit(main())
