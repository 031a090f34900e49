"""The distribution in another Django project and in another service, installed from its wheel."""

import asyncio
import json
import re
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from drf_spectacular.validation import validate_schema
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.harness import DEADLINE_S, ROOT
from tests.support.installed import Environment, HostServer, HostSite, build_wheel
from tests.support.person import Person, text_of
from tests.support.tokens import bearer, token

OWN = "The site's own"
MISSING = ["E011", "E012", "E013", "E015", "E021", "E026", "E027", "E028"]
SERVERS = ("runserver", "daphne", "serve")
PASSWORD = "correct horse battery"
PUBLISH = """
import asyncio, sys
from agents_app.remote import Publisher

async def publish(url, token, session):
    async with Publisher(url, token=token) as publisher, publisher.answer(session) as answer:
        await answer.reasoning("Far away.")
        await answer.text("From a service ")
        await answer.text("without Django.")

asyncio.run(publish(*sys.argv[1:]))
assert "django" not in sys.modules
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """An environment with the distribution and no extras."""
    return Environment(tmp_path_factory.mktemp("bare") / "venv", str(wheel))


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> HostSite:
    """A new site in an environment with the distribution, with nothing done yet."""
    place = tmp_path_factory.mktemp("host")
    site = HostSite(place / "site", Environment(place / "venv", f"{wheel}[server]"))
    site.with_names_alone()
    return site


@pytest.fixture(scope="session")
def missing(host: HostSite) -> str:
    """What `manage.py check` printed when only the applications' names were there."""
    with pytest.raises(AssertionError) as failure:
        host.manage("check")
    return str(failure.value)


@pytest.fixture(scope="session")
def site(host: HostSite, missing: str) -> HostSite:
    """The site, set up as docs/install.md says."""
    host.install()
    emails = [f"{kind}@people.example" for kind in SERVERS]
    make = f"from people.models import Person\nfor email in {emails}: Person.objects.create_user(email, {PASSWORD!r})"
    host.manage("shell", "-c", make)
    return host


@pytest.fixture(scope="session")
def administrator(site: HostSite) -> str:
    """What `manage.py ensure_admin` printed, and the password that it wrote to a file instead."""
    printed = site.manage("ensure_admin")
    return f"{printed}password  {(site.place / 'admin_password').read_text()}"


@pytest.fixture(scope="module", params=[pytest.param(SERVERS[0], marks=pytest.mark.long), *SERVERS[1:]])
def server(request: pytest.FixtureRequest, site: HostSite) -> Iterator[HostServer]:
    server = HostServer(site, request.param)
    server.start()
    yield server
    server.end()
    print(f"--- {' '.join(server.command[1:])}\n{server.log}")


@pytest.fixture
def visitor(server: HostServer) -> Iterator[httpx.Client]:
    """A browser's cookies, and nothing in them."""
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        yield client


# The wheel


def test_the_wheel_holds_the_two_applications_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {name for name in names if ".dist-info/" not in name}
    mapped = {path.replace("sessions_app/", "", 1) for path in code if path.startswith(SHOWN)}
    assert (code - {f"sessions_app/{path}" for path in mapped}) | mapped == in_the_repository()
    assert wheel.name.endswith("-py3-none-any.whl")


def test_what_the_wheel_shows_stands_below_holdfast(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shown = [name for name in names if "/templates/" in name or "/static/" in name]
    ours = ("sessions_app/templates/holdfast/", "sessions_app/static/holdfast/")
    assert [name for name in shown if ".dist-info/" not in name and not name.startswith(ours)] == []
    assert {f"{ours[0]}index.html", f"{ours[1]}index.js", f"{ours[0]}admin/transcript_form.html"} <= set(shown)


SHOWN = ("sessions_app/templates/", "sessions_app/static/")
IN_REPOSITORY = ("sessions_app", "agents_app", "templates/holdfast", "static/holdfast")


def in_the_repository() -> set[str]:
    """Return the paths of all files that belong into the wheel."""
    files = (path for folder in IN_REPOSITORY for path in (ROOT / folder).rglob("*") if path.is_file())
    node = ROOT / "agents_app" / "node"  # the npm package holdfast-agent
    return {
        str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts and node not in path.parents
    }


def test_the_metadata_name_the_licence_and_the_publishers_three_packages(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = archive.read(name).decode()
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE)
    assert sorted(required) == ["httpx", "orjson", "websockets"]
    assert "\nLicense-Expression: BSD-3-Clause\n" in metadata
    assert archive.read(name.replace("METADATA", "licenses/LICENSE")) == (ROOT / "LICENSE").read_bytes()


# Setting it up


def test_check_names_all_that_a_new_project_lacks(missing: str) -> None:
    assert sorted(re.findall(r"\(holdfast\.(\w+)\)", missing)) == MISSING
    assert "Traceback" not in missing


def test_check_finds_nothing_in_the_documented_project(site: HostSite) -> None:
    assert "no issues" in site.manage("check")
    assert "No changes" in site.manage("makemigrations", "--check", "--dry-run")


def test_the_first_administrator_is_one_of_the_sites_own_users(site: HostSite, administrator: str) -> None:
    assert "/admin/password_change/" in administrator and "user      admin@localhost" in administrator
    assert site.manage("ensure_admin") == ""


def test_the_bare_distribution_brings_no_django(bare: Environment, tmp_path: Path) -> None:
    assert bare.has("agents_app.remote", cwd=tmp_path)
    assert not any(bare.has(package, cwd=tmp_path) for package in ("django", "channels", "rest_framework", "daphne"))


def test_static_files_are_collected_below_holdfast(site: HostSite, tmp_path: Path) -> None:
    site.variables["TEST_STATIC_ROOT"] = str(tmp_path)
    site.manage("collectstatic", "--no-input")
    others = {"admin", "rest_framework", "drf_spectacular_sidecar"}
    assert {path.name for path in tmp_path.iterdir()} - others == {"holdfast"}


# The page


class Links(HTMLParser):
    """The files that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        link = given.get("src") or (given.get("href") if tag == "link" else None)
        if link:
            self.found.append(link)


IMPORT = re.compile(r"""^(?:import\s*|(?:import|export)\b[^;'"`]*?\bfrom\s*)["'](\.[^"'\n]+)["'];""", re.MULTILINE)


def load_all(visitor: httpx.Client, page: str) -> set[str]:
    """Load what a page loads, and what its modules import; return the addresses. Anything but 200 is an error."""
    waiting, loaded = [urljoin(page, link) for link in Links(visitor.get(page).text).found], set[str]()
    while waiting:
        address = waiting.pop()
        if address in loaded:
            continue
        loaded.add(address)
        answer = visitor.get(address)
        assert answer.status_code == 200, address
        if address.endswith((".js", ".mjs")) and "holdfast/" in address:
            waiting += [urljoin(address, found) for found in IMPORT.findall(answer.text)]
    return loaded


def test_the_page_and_all_that_it_loads_are_there(visitor: httpx.Client) -> None:
    loaded = load_all(visitor, "/chat/")
    assert {f"/static/holdfast/{name}" for name in ("client.js", "page/base.css", "vendor/markdown-it.mjs")} <= loaded
    assert 'data-base="/chat/"' in visitor.get("/chat/").text
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css" in load_all(visitor, "/chat/api/docs/")


def test_guests_are_made_on_its_pages_only(visitor: httpx.Client) -> None:
    for path in ("/", "/accounts/login/", "/api/mine/", "/admin/login/"):
        visitor.get(path)
    assert "holdfast_guest" not in visitor.cookies
    visitor.get("/chat/")
    assert "holdfast_guest" in visitor.cookies


def test_the_sites_own_pages_stay_its_own(visitor: httpx.Client) -> None:
    for path, title in (("/", "Front"), ("/accounts/login/", "Sign in")):
        page = visitor.get(path).text
        assert f"<title>{title} · {OWN}</title>" in page and "Holdfast" not in page
    assert OWN not in visitor.get("/chat/").text
    assert visitor.get("/healthz").text == "the site's own"
    assert visitor.get("/chat/healthz").text == "ok\n"
    assert visitor.get("/chat/readyz").text == "ready\n"
    assert visitor.get("/readyz").status_code == 404


def test_the_sites_own_api_gets_its_own_tokens(visitor: httpx.Client) -> None:
    answer = visitor.get("/api/mine/", headers={"Authorization": "Bearer of-its-own"})
    assert answer.json() == {"authorization": "Bearer of-its-own", "path": "/api/mine/"}
    assert "no_such_address" not in visitor.get("/api/nothing/").text
    refused = visitor.get("/chat/api/sessions/", headers={"Authorization": "Bearer of-its-own"})
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_token")


async def test_the_sites_own_socket_stays_beside(server: HostServer) -> None:
    own = server.url.replace("http", "ws", 1)
    async with connect(f"{own}/own-ws/", open_timeout=DEADLINE_S) as socket:
        await socket.send("Hello")
        assert await asyncio.wait_for(socket.recv(), DEADLINE_S) == "Hello"
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{own}/chat/nothing/", open_timeout=DEADLINE_S)
    assert refused.value.response.status_code == 403


# Sessions


async def test_an_agent_of_the_site_answers_over_a_websocket(server: HostServer) -> None:
    async with Person(server.chat) as person:
        session = await person.create_session()
        await person.connect()
        await person.attach(session)
        await person.say(session, "Pieces of eight")
        answer = await person.wait_for_end(session)
        assert (answer.status, text_of(answer)) == ("complete", "Pieces of eight ")
        history = (await person.http.get(f"/api/sessions/{session}/messages/")).json()["results"]
        assert [message["role"] for message in history] == ["assistant", "user"]


async def test_a_request_publishes_line_by_line_and_a_stream_shows_it(server: HostServer) -> None:
    lines = [
        {"type": "start"},
        {"type": "text-start", "id": "t"},
        {"type": "text-delta", "id": "t", "delta": "Line by line."},
        {"type": "text-end", "id": "t"},
        {"type": "finish"},
    ]
    async with Person(server.chat) as person:
        session = await person.create_session(agent="")
        published = await person.http.post(
            f"/api/sessions/{session}/publish/",
            content="".join(f"{json.dumps(line)}\n" for line in lines),
            headers=bearer(token(sub="agent:billing", scope="publish")) | {"Content-Type": "application/x-ndjson"},
        )
        assert published.status_code == 200, published.text
        async with person.http.stream("GET", f"/api/sessions/{session}/stream/") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            async with asyncio.timeout(DEADLINE_S):
                frames = (json.loads(line[5:]) async for line in stream.aiter_lines() if line.startswith("data:"))
                attached = await anext(frame async for frame in frames if frame["type"] == "attached")
        assert attached["messages"][0]["parts"][0]["text"] == "Line by line."


async def test_a_service_without_django_publishes_to_the_site(
    server: HostServer, bare: Environment, tmp_path: Path
) -> None:
    async with Person(server.chat) as person:
        session = await person.create_session(agent="")
        await (await person.connect()).attach(session)
        by = token(sub="agent:billing", scope="publish")
        await asyncio.to_thread(bare.run, "-c", PUBLISH, server.chat, by, session, cwd=tmp_path)
        answer = await person.wait_for_end(session)
        assert (answer.status, text_of(answer)) == ("complete", "From a service without Django.")


# People


def sign_in(visitor: httpx.Client, path: str, name: str, password: str) -> None:
    """Fill in a login form of the site."""
    form = visitor.get(path).text
    secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert secret
    fields = {"csrfmiddlewaretoken": secret[1], "username": name, "password": password, "next": "/chat/"}
    answer = visitor.post(path, data=fields, headers={"Referer": str(visitor.base_url)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/chat/"), answer.text
    visitor.get("/chat/")


def create(visitor: httpx.Client, title: str) -> None:
    visitor.get("/chat/")
    secret = {"X-CSRFToken": visitor.cookies["csrftoken"]}
    assert visitor.post("/chat/api/sessions/", json={"title": title}, headers=secret).status_code == 201


def titles(visitor: httpx.Client) -> set[str]:
    return {session["title"] for session in visitor.get("/chat/api/sessions/").json()["results"]}


def test_a_guest_who_signs_in_keeps_sessions_over_a_logout(server: HostServer, visitor: httpx.Client) -> None:
    email = f"{server.kind}@people.example"
    create(visitor, "As a guest")
    sign_in(visitor, "/accounts/login/", email, PASSWORD)
    assert "holdfast_guest" not in visitor.cookies
    create(visitor, "Signed in")
    assert titles(visitor) == {"As a guest", "Signed in"}
    page = visitor.get("/chat/").text
    assert email in page and 'action="/accounts/logout/"' in page
    secret = {"csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
    assert visitor.post("/accounts/logout/", data=secret).headers["Location"] == "/"
    visitor.get("/chat/")
    assert titles(visitor) == set()
    sign_in(visitor, "/accounts/login/", email, PASSWORD)
    assert titles(visitor) == {"As a guest", "Signed in"}


def test_a_login_that_names_no_request_works(visitor: httpx.Client) -> None:
    owner = visitor.get("/sign-on/").json()["id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", owner)
    create(visitor, "Signed on")
    assert "Signed on" in titles(visitor)


def test_the_administrator_sees_sessions_connections_and_their_diagnosis(
    administrator: str, visitor: httpx.Client
) -> None:
    sign_in(visitor, "/admin/login/", "admin@localhost", administrator.split("password  ")[1].split()[0])
    create(visitor, "The administrator's")
    session = visitor.get("/chat/api/sessions/").json()["results"][0]["id"]
    pages = ("session/", f"session/{session}/change/", "connectionrecord/", "connectionrecord/diagnosis/", "message/")
    for path in pages:
        page = visitor.get(f"/admin/sessions_app/{path}")
        assert page.status_code == 200 and "Django administration" in page.text, path
    assert "Transcript" in visitor.get(f"/admin/sessions_app/session/{session}/change/").text
    assert visitor.get("/chat/api/policies/").status_code == 200


def test_the_openapi_document_describes_its_operations_where_they_are(visitor: httpx.Client) -> None:
    document: dict[str, Any] = visitor.get("/chat/api/schema/?format=json").json()
    validate_schema(document)
    assert document["info"]["title"] == "Holdfast"
    assert {path.rpartition("/api/")[0] for path in document["paths"]} == {"/chat"}
    for path in ("/chat/api/sessions/", "/chat/api/sessions/{session}/publish/", "/chat/api/poll/"):
        assert path in document["paths"]
