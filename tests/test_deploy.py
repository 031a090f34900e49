"""The files of deploy/ work as documented: nginx, the units, the compose file, and the commands."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import yaml

from sessions_app import conf
from sessions_app.servers.uvicorn_options import longest_stop_s
from tests.support.deployed_nginx import DEPLOY, NAME, DeployedNginx
from tests.support.follower import Follower
from tests.support.harness import (
    DEADLINE_S,
    ROOT,
    Server,
    StartServer,
    guest,
    migrated,
    own_database,
    start_shared_server,
)
from tests.support.http_followers import PollFollower, StreamFollower
from tests.support.raw_socket import CLOSE, TEXT, RawSocket

__all__ = ["migrated", "start_shared_server"]

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
README = (DEPLOY / "README.md").read_text()
SETTING_UP = README[README.index("## On machines of your own") : README.index("## A release without downtime")]


# nginx


@pytest.fixture(scope="module")
def servers(start_shared_server: StartServer) -> list[Server]:
    settings = {"HOLDFAST_PROXIES": "1", "HOLDFAST_TAIL_POLL_MS": "200", "HOLDFAST_DEMO_TOKENS_PER_S": "1000"}
    return [start_shared_server("daphne", **settings), start_shared_server("uvicorn", **settings)]


@pytest.fixture(scope="module")
def nginx(servers: list[Server]) -> Iterator[DeployedNginx]:
    with DeployedNginx(server.port for server in servers) as nginx:
        yield nginx


@pytest.fixture
def browser(nginx: DeployedNginx) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=nginx.url, verify=nginx.trust, timeout=DEADLINE_S) as client:
        yield client


def test_nginx_accepts_the_configuration(nginx: DeployedNginx) -> None:
    run = subprocess.run(nginx.command("-t"), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "warn" not in run.stderr.replace('the "listen ... http2" directive is deprecated', "")


def test_nginx_serves_the_page_over_tls(browser: httpx.Client) -> None:
    page = browser.get("/")
    assert page.status_code == 200 and "Holdfast" in page.text


def test_nginx_serves_static_files_itself(browser: httpx.Client, tmp_path: Path) -> None:
    script = browser.get("/static/holdfast/index.js")
    assert script.headers["Content-Type"].startswith(("text/javascript", "application/javascript"))
    assert script.headers["Cache-Control"] == "no-cache"
    assert script.headers["X-Content-Type-Options"] == "nosniff"
    (tmp_path / "index.0123456789ab.js").write_text("export {};")
    with DeployedNginx([1], static=tmp_path) as other:
        named = httpx.get(f"{other.insecure_url}/static/index.0123456789ab.js", timeout=DEADLINE_S)
        assert named.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("kind", [Follower, StreamFollower, PollFollower])
async def test_every_transport_gets_through(nginx: DeployedNginx, kind: type[Follower]) -> None:
    async with kind(nginx.insecure_url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        for turn in (1, 2):
            await reader.say(session, "Hello")
            wanted = 2 * turn  # messages
            await reader.wait_until(lambda n=wanted: len(reader.messages(session)) == n and reader.all_answered())
        assert (reader.resets, reader.taken_back) == ([], [])


def test_nginx_redirects_to_tls(nginx: DeployedNginx) -> None:
    answer = httpx.get(f"http://{NAME}:{nginx.plain_port}/s/1/?a=b", timeout=DEADLINE_S)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://{NAME}/s/1/?a=b")


def test_nginx_serves_no_other_host_name(nginx: DeployedNginx) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{nginx.plain_port}/", headers={"Host": "evil.example"}, timeout=DEADLINE_S)
    with pytest.raises(httpx.ConnectError):  # no handshake
        httpx.get(f"https://127.0.0.1:{nginx.port}/", verify=False, timeout=DEADLINE_S)


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_internal_paths_are_not_public(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "nginx" in answer.text  # it didn't ask a server


def test_nginx_passes_the_clients_true_address(start_shared_server: StartServer) -> None:
    echo = start_shared_server("daphne", application="tests.support.echo_application:application")
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
    with DeployedNginx([echo.port]) as nginx:
        answer = httpx.get(f"{nginx.url}/headers", headers=claims | {"Forwarded": "for=6.6.6.6"}, verify=nginx.trust)
    headers = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert not {"x-forwarded-host", "forwarded"} & headers.keys()


def test_without_a_server_nginx_answers_in_the_clients_format() -> None:
    with DeployedNginx([1, 2]) as nginx:
        page = httpx.get(f"{nginx.insecure_url}/", timeout=DEADLINE_S)
        assert page.status_code == 502 and "One moment" in page.text
        assert page.headers["Retry-After"] == "5"
        answer = httpx.get(f"{nginx.insecure_url}/api/sessions/", timeout=DEADLINE_S)
        assert answer.status_code == 503 and answer.json()["retryable"]


class Dying:
    """A server that dies whenever it is asked something; `asked` has the requests' first lines."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                if request := connection.recv(65536):
                    self.asked.append(request.decode().partition("\r\n")[0])

    def close(self) -> None:
        self.listening.close()


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
def test_nginx_repeats_no_post(method: str, times: int) -> None:
    with closing(Dying()) as one, closing(Dying()) as other, DeployedNginx([one.port, other.port]) as nginx:
        answer = httpx.request(method, f"{nginx.insecure_url}/api/sessions/", timeout=DEADLINE_S)
        assert answer.status_code == 503
        assert one.asked + other.asked == [f"{method} /api/sessions/ HTTP/1.1"] * times


def test_a_post_reaches_a_server_that_is_up(servers: list[Server]) -> None:
    with DeployedNginx([1, servers[0].port]) as nginx, httpx.Client(base_url=nginx.insecure_url) as client:
        client.get("/")
        for _ in range(4):
            made = client.post("/api/sessions/", json={}, headers={"X-CSRFToken": client.cookies["csrftoken"]})
            assert made.status_code == 201


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/api/sessions/", f"/api/sessions/{'A' * 22}/publish/"])
def test_nginx_and_holdfast_have_the_same_body_limits(browser: httpx.Client, path: str) -> None:
    limit = conf.settings.body_bytes
    passed, refused = (browser.post(path, content=b"x" * size) for size in (limit, limit + 1))
    assert passed.status_code != 413 or "65536" in passed.text  # the API's own limit, by name
    assert refused.status_code == 413
    if path.startswith("/api/"):
        assert (refused.json()["code"], refused.json()["retryable"]) == ("body_too_large", False)


def test_nginx_has_holdfasts_limits_on_uploads_and_times() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    publish = text[text.index("location ~ ^/api/sessions/[^/]+/publish/$") :]
    assert seconds(r"client_max_body_size (\d+)m;", publish) << 20 == conf.settings.upload_bytes
    chat = text[text.index("location ~ ^/api/chat/?$") :]
    assert seconds(r"client_max_body_size (\d+)m;", chat) << 20 == conf.settings.chat_body_bytes
    assert seconds(r"client_body_timeout (\d+)s;", publish) > conf.settings.upload_silence_s
    assert seconds(r"client_header_timeout (\d+)s;", text) == conf.settings.request_head_s
    assert seconds(r"client_body_timeout (\d+)s;", text) == conf.settings.request_body_s
    assert seconds(r"client_body_buffer_size (\d+)k;", text) << 10 == conf.settings.body_bytes  # none on the disk


# Units, containers, variables


def test_memory_and_temporary_files_are_bounded() -> None:
    for unit in UNITS:
        text = unit.read_text()
        assert re.search(r"^MemoryMax=\d+G$", text, re.MULTILINE), unit
        assert re.search(r"^TemporaryFileSystem=/tmp:size=\d+M\S* /var/tmp:size=\d+M", text, re.MULTILINE), unit
    for name, service in COMPOSE["services"].items():
        assert service["mem_limit"], name
        assert all("size=" in place for place in service.get("tmpfs", ())), name
        assert not service.get("read_only") or name == "redis" or service["tmpfs"], name


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd isn't installed")
    python = Path(sys.executable).parent
    for unit in UNITS:
        text = unit.read_text().replace("/srv/holdfast/.venv/bin", str(python))
        (tmp_path / unit.name.replace("@.", "@8001.")).write_text(text)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.glob("*.service")], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_every_environment_variable_exists() -> None:
    site = "".join(path.read_text() for path in (ROOT / "project").glob("*.py"))
    known = {*re.findall(r'"(HOLDFAST_[A-Z_]+)"', site), *(f"HOLDFAST_{name}" for name in conf.DECLARED)}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for path in files for name in re.findall(r"HOLDFAST_[A-Z_]+", path.read_text())}
    assert len(named) > 10
    assert named - known == set()


def test_the_compose_file_names_existing_files() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"migrate", "web-1", "web-2", "worker-1", "worker-2", "nginx", "postgres", "redis"}
    for service in services.values():
        assert set(service["depends_on"] if "depends_on" in service else ()) <= set(services)
        assert set(service["networks"] if "networks" in service else ()) <= set(COMPOSE["networks"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or source == "./tls" or (DEPLOY / source).exists(), source
    assert (DEPLOY / services["migrate"]["build"]["context"] / services["migrate"]["build"]["dockerfile"]).exists()


def test_the_documented_commands_exist() -> None:
    everything = "".join(path.read_text() for path in [*UNITS, DEPLOY / "docker-compose.yml"])
    commands = set(re.findall(r"manage\.py(?:, | )(\w+)", everything))
    assert commands == {"check", "migrate", "collectstatic", "ensure_admin", "runagents", "serve"}
    known = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={"HOLDFAST_DEBUG": "true"},
    ).stdout.split()  # fmt: skip
    assert commands <= set(known)


def test_no_password_reaches_a_journal_or_a_containers_log() -> None:
    unit = (DEPLOY / "systemd" / "holdfast-migrate.service").read_text()
    assert re.findall(r"ensure_admin(.*)", unit) == [" --password-file var/admin_password"]
    assert "ensure_admin" not in (DEPLOY / "docker-compose.yml").read_text()


def test_kill_timeouts_exceed_the_drain_time() -> None:
    worker_s = conf.settings.worker_drain_s
    web, worker = ((DEPLOY / "systemd" / f"holdfast-{name}@.service").read_text() for name in ("web", "worker"))
    assert seconds(r"TimeoutStopSec=(\d+)", web) > seconds(r" --processes (\d+)", web) * longest_stop_s()
    assert seconds(r"TimeoutStopSec=(\d+)", worker) > worker_s
    assert int(COMPOSE["services"]["web-1"]["stop_grace_period"].rstrip("s")) > longest_stop_s()
    assert int(COMPOSE["services"]["worker-1"]["stop_grace_period"].rstrip("s")) > worker_s


def test_memory_limits_are_one_gigabyte_a_process() -> None:
    web = (DEPLOY / "systemd" / "holdfast-web@.service").read_text()
    assert seconds(r"MemoryMax=(\d+)G", web) == seconds(r" --processes (\d+)", web)


def test_the_example_counts_the_processes_of_the_units() -> None:
    web = (DEPLOY / "systemd" / "holdfast-web@.service").read_text()
    ports, workers = (len(set(re.findall(rf"holdfast-{name}@\d+", SETTING_UP))) for name in ("web", "worker"))
    example = (DEPLOY / "holdfast.env.example").read_text()
    assert seconds(r"HOLDFAST_PROCESSES=(\d+)", example) == ports * seconds(r" --processes (\d+)", web) + workers


def seconds(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found
    return int(found[1])


# Commands


def documented(program: str) -> list[str]:
    """The command in README.md that starts a server, as words."""
    [line] = [line for line in README.splitlines() if line.startswith(f".venv/bin/{program} ")]
    return shlex.split(line)


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_the_documents_the_unit_and_the_image_start_the_same_command() -> None:
    command = documented("python manage.py serve")[1:]
    unit = (DEPLOY / "systemd" / "holdfast-web@.service").read_text()
    assert f"ExecStart=/srv/holdfast/.venv/bin/{' '.join(['python', *command[:2]])} --port %i --processes" in unit
    image: list[str] = json.loads((DEPLOY / "Dockerfile").read_text().partition("\nCMD ")[2])
    assert image[:3] == ["python", *command[:2]] and option(image, "--port") == "8000"
    [line] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    for words in (command, shlex.split(line), image):  # all else follows from the settings
        assert {word for word in words if word.startswith("--")} <= {"--host", "--port", "--processes"}


def test_the_unit_stops_and_reloads_by_the_parent_alone() -> None:
    unit = (DEPLOY / "systemd" / "holdfast-web@.service").read_text()
    assert "\nKillMode=mixed\n" in unit  # a SIGTERM to all would stop all at once
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in unit


@pytest.mark.parametrize("program", ["daphne", "python manage.py serve"])
def test_the_documented_command_serves_and_stops_gracefully(tmp_path: Path, migrated: Path, program: str) -> None:
    drain_ms = 1000
    server = Server(
        tmp_path, database=own_database(tmp_path, migrated), command=program.rpartition(" ")[2],
        environment={"HOLDFAST_DRAIN_MS": str(drain_ms)},
    )  # fmt: skip
    here = {"8001": str(server.port), "4": "2"}  # two processes do
    words = [here.get(word, word) for word in documented(program)[1:]]
    server.command = [sys.executable, *(["-m", program] if program == "daphne" else []), *words]
    with closing(Ending(server.start())):  # it answers /healthz
        clients = [RawSocket(server.port, headers=guest(server)) for _ in range(20)]
        for client in clients:
            assert json.loads(client.read_until(TEXT).text)["type"] == "connected"
        server.signal(signal.SIGTERM)
        waits = [farewell(client) for client in clients]
        assert server.wait() == 0
    assert max(waits) <= drain_ms and max(waits) - min(waits) > drain_ms / 4  # not all at once
    assert "Traceback" not in server.log


class Ending:
    """Ends a server and prints its log."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def close(self) -> None:
        self.server.end()
        print(self.server.log)


def farewell(client: RawSocket) -> int:
    """Wait until a client is sent away; return the milliseconds after which it is to come back."""
    said = json.loads(client.read_until(TEXT).text)
    assert said["type"] == "going-away"
    frame = client.read_until(CLOSE)
    assert frame.code == 1012
    with suppress(ConnectionError):
        client.send(CLOSE, frame.payload)
    return int(said["reconnect_in_ms"])
