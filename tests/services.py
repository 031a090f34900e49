"""Finds and starts the programs that some tests need beside Python: Chromium, Node, nginx, PostgreSQL, Redis.

As a command it runs another if a service is there: `python -m tests.services postgres -- pytest` with a
PostgreSQL server of its own, `python -m tests.services node -- node --test`.
"""

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

import pytest

# Program names, the first that is there wins. Debian keeps PostgreSQL's own programs out of PATH.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "curl": ("curl",),
    "nginx": ("nginx",),
    "node": ("node",),
    "postgres": ("initdb",),
    "redis": ("redis-server",),
}
POSTGRES_DIRS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
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
    message = f"{service} is not installed: `make setup` as root installs it"
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
    """Waits until a started program accepts connections; its end, or a minute, is an error."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server of our own, empty and on no disk; gives its address."""
    port = free_port()
    arguments = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([require("redis"), *arguments], stdout=subprocess.DEVNULL, cwd="/")
    try:
        wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own, on a new cluster; gives a database's address."""
    programs = Path(require("postgres")).resolve().parent
    with tempfile.TemporaryDirectory(prefix="holdfast-postgres-", ignore_cleanup_errors=True) as place:
        user = unprivileged(Path(place))
        cluster, port = f"{place}/cluster", free_port()
        subprocess.run(
            [programs / "initdb", "--pgdata", cluster, "--username", "holdfast", "--auth", "trust"],
            check=True, stdout=subprocess.DEVNULL, cwd=place, user=user,
        )  # fmt: skip
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": place,
            "max_connections": "200",
            "fsync": "off",  # the cluster goes away with the test
            "log_min_messages": "fatal",
        }
        switches = [argument for item in options.items() for argument in ("-c", "=".join(item))]
        process = subprocess.Popen(
            [programs / "postgres", "-D", cluster, "-p", str(port), *switches],
            stdout=subprocess.DEVNULL, cwd=place, user=user,
        )  # fmt: skip
        try:
            wait_for_port(port, process)
            yield f"postgres://holdfast@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # "fast": SIGTERM would wait for its clients
            process.wait()


def unprivileged(place: Path) -> str | None:
    """PostgreSQL refuses to run as root: then `place` goes to nobody, who runs it."""
    if os.geteuid() != 0:
        return None
    shutil.chown(place, "nobody")
    return "nobody"


def main() -> int:
    """Without the service it says so; where CI=true that is a failure."""
    service, _separator, *command = sys.argv[1:]
    if not find(service):
        print(f"{service} is not installed: skipped {' '.join(command)}")
        return 1 if os.environ.get("CI") == "true" else 0
    if service != "postgres":
        return subprocess.run(command).returncode
    with postgres() as address:
        return subprocess.run(command, env=os.environ | {"HOLDFAST_DATABASE": address}).returncode


if __name__ == "__main__":
    sys.exit(main())
