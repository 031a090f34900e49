"""Real servers for tests: started, killed and restarted as processes, each with its own directory and database."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.services import free_port

ROOT = Path(__file__).resolve().parents[2]
# For what takes well under a second on an idle machine: a busy one may stand still for seconds.
DEADLINE_S = 40.0
SECRET_KEY = "a key for tests alone, the same for every server, so that cookies outlive a restart"

# How each server is started; {port} and {application} are filled in.
COMMANDS = {
    "runserver": "manage.py runserver --noreload 127.0.0.1:{port}",
    "reloader": "manage.py runserver 127.0.0.1:{port}",
    "wall-clock": "-m tests.support.wall_clock manage.py runserver --noreload 127.0.0.1:{port}",
    "runagents": "manage.py runagents",
    "daphne": "-m daphne -b 127.0.0.1 -p {port} {application}",
    "serve": "manage.py serve --port {port}",
    "uvicorn": "-m uvicorn --host 127.0.0.1 --port {port} --loop uvloop"
    " --ws sessions_app.servers.uvicorn_websocket:SocketProtocol --ws-per-message-deflate false"
    " --timeout-graceful-shutdown 5 {application}",
}


class Server:
    """A server process. `start` it; what it printed is in `log`. `port` and `database` stay over a restart."""

    def __init__(
        self,
        place: Path,
        *,
        database: str,
        command: str = "runserver",
        application: str = "project.asgi:application",
        arguments: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.place = place
        self.cwd = ROOT
        self.health = "/healthz"
        self.database = database
        self.port = free_port()
        line = f"{COMMANDS[command]} {arguments}".format(port=self.port, application=application)
        self.command = [sys.executable, *line.split()]
        self.environment = environment_of(database, environment or {})
        self.log_path = place / f"{command}-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/"

    @property
    def pid(self) -> int:
        assert self.process, "the server was not started"
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> "Server":
        """Start the process and wait until it answers; a server that ends instead is an error with its log."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # a process group: the reloader is two processes
            )  # fmt: skip
        wait_for(self.is_ready, DEADLINE_S, lambda: f"the server does not answer:\n{self.log}")
        return self

    def is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log}")
        with suppress(httpx.TransportError):  # without TLS, whose authorities take 20 ms to read
            return httpx.get(f"{self.url}{self.health}", timeout=2, verify=False).status_code == 200
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self, within: float = DEADLINE_S) -> int:
        """Wait for the process to end by itself; return its exit code."""
        assert self.process
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server runs on:\n{self.log}") from None

    def terminate(self) -> int:
        """Stop it as a service manager does: SIGTERM, and time to drain; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def interrupt(self) -> int:
        """Stop it as Control-C in its terminal does; return its exit code."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait()

    def kill9(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def restart(self) -> "Server":
        """Start it again, same port, same database; kill it first if it still runs."""
        self.end()
        return self.start()

    def freeze(self) -> None:
        """Stop the process where it stands, its connections open."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def manage(self, *arguments: str) -> str:
        """Run a management command on this server's database; return what it printed."""
        return manage(*arguments, environment=self.environment, cwd=self.cwd)

    def create_administrator(self) -> str:
        """Create the site's first administrator, `admin`; return the password."""
        path = self.place / "admin_password"
        self.manage("ensure_admin", "--password-file", str(path))
        return path.read_text().strip()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill9()


class Worker(Server):
    """A `runagents` process. It serves no clients: its log says when it is ready."""

    READY = "ready to run"

    def start(self) -> Server:
        self.starts = self.log.count(self.READY)  # before this one
        return super().start()

    def is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended with {self.process.returncode}:\n{self.log}")
        return self.log.count(self.READY) > self.starts


StartServer = Callable[..., Server]


def guest(server: Server) -> dict[str, str]:
    """The headers of a new visitor who has opened the page, for a socket or a request."""
    cookies = httpx.get(f"{server.url}/", timeout=DEADLINE_S, verify=False).cookies
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), "Origin": server.url}


def environment_of(database: str, more: dict[str, str]) -> dict[str, str]:
    """The environment of a server: nothing of Holdfast's from the shell, `more` wins."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    ours = {
        "HOLDFAST_DEBUG": "true",
        "HOLDFAST_SECRET_KEY": SECRET_KEY,
        "HOLDFAST_DATABASE": database,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONUNBUFFERED": "1",
    }
    return inherited | ours | more


def manage(*arguments: str, environment: dict[str, str], cwd: Path = ROOT) -> str:
    run = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if run.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)} ended with {run.returncode}:\n{run.stderr}")
    return run.stdout


def wait_for(condition: Callable[[], bool], within: float, complaint: Callable[[], str]) -> None:
    """Poll until the condition holds; fail with the complaint after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


async def until(condition: Callable[[], object]) -> None:
    """Wait in an event loop until the condition holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


# Fixtures; tests/scenarios/conftest.py and tests/browser/conftest.py import them.


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating takes seconds, copying does not. Processes of one run share it."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    path, new = place / "migrated.sqlite3", place / "migrating.sqlite3"
    with (place / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new.unlink(missing_ok=True)
            manage("migrate", "--verbosity", "0", environment=environment_of(f"sqlite:///{new}", {}))
            new.rename(path)
    return path


@contextmanager
def starting(place: Path, migrated: Path) -> Iterator[StartServer]:
    """Return a starter of servers; end them and print their logs, which pytest shows with a failed test."""
    servers: list[Server] = []

    def start(
        command: str = "runserver", *, database: str = "", application: str = "project.asgi:application",
        arguments: str = "", **environment: str,
    ) -> Server:  # fmt: skip
        kind = Worker if command == "runagents" else Server
        server = kind(
            place, database=database or own_database(place, migrated), command=command,
            application=application, arguments=arguments, environment=environment,
        )  # fmt: skip
        servers.append(server)
        return server.start()

    try:
        yield start
    finally:
        for server in servers:
            server.end()
            print(f"--- {' '.join(server.command[1:])}\n{server.log}")


def own_database(place: Path, migrated: Path) -> str:
    path = place / "holdfast.sqlite3"
    if not path.exists():
        shutil.copyfile(migrated, path)
    return f"sqlite:///{path}"


@pytest.fixture
def start_server(tmp_path: Path, migrated: Path) -> Iterator[StartServer]:
    """Start servers: `start_server("daphne", HOLDFAST_PING_INTERVAL_S="1")`.

    All of a test's servers share one SQLite file of the test's own, unless they are given a `database`.
    """
    with starting(tmp_path, migrated) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_server(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[StartServer]:
    """Like `start_server`, for servers that all of a module's tests may use."""
    with starting(tmp_path_factory.mktemp("shared"), migrated) as start:
        yield start


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server as `manage.py runserver` gives it."""
    return start_server()
