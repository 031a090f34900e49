"""CORS: pages of listed origins may use the API with tokens; the same headers on every response, refusals too."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler

from sessions_app import asgi, process
from sessions_app.event_log import queries
from sessions_app.fairness.rates import limiter
from sessions_app.http import cors
from sessions_app.http.body_limit import limit_bodies
from sessions_app.http.doors import UPLOAD
from sessions_app.transports import ndjson
from tests.support.requests import GUEST, message_signal, new_session, running
from tests.support.tokens import KEYS, SUB, bearer, token

__all__ = ["running"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN, OTHER = "https://app.example.com", "https://evil.example.com"
STREAM = "/api/stream/"
CREDENTIALS = "access-control-allow-credentials"


class Response(NamedTuple):
    status: int
    headers: dict[str, list[str]]
    body: bytes

    @property
    def allowed(self) -> list[str]:
        return self.headers.get("access-control-allow-origin", [])

    def check(self) -> None:
        """Check what holds for every response of the API."""
        assert CREDENTIALS not in self.headers
        assert "*" not in self.allowed
        assert "Origin" in ", ".join(self.headers["vary"])


@pytest.fixture(autouse=True)
def listed(settings: Any, running: process.Process) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS, "ORIGINS": [ORIGIN, "http://localhost:5173"]}


@asynccontextmanager
async def asked(method: str, path: str, body: bytes = b"", **headers: str) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the communicator of a request, and the start of its response."""
    given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    names = {"content-type": "application/json", "host": "testserver"} | given
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in names.items()],
    }  # fmt: skip
    application = cors.share(limit_bodies({UPLOAD.name: ndjson.upload}, ASGIHandler()))
    communicator: Any = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": body})
    try:
        yield communicator, await communicator.receive_output(10)
    finally:
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(10)


async def request(method: str, path: str, body: Any = None, **headers: str) -> Response:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    async with asked(method, path, data, **headers) as (communicator, start):
        content, more = b"", True
        while more:
            part = await communicator.receive_output(10)
            content, more = content + part.get("body", b""), part.get("more_body", False)
    return response_of(start, content)


def response_of(start: Any, body: bytes = b"") -> Response:
    headers: dict[str, list[str]] = {}
    for name, value in start["headers"]:
        headers.setdefault(name.decode().lower(), []).append(value.decode())
    found = Response(start["status"], headers, body)
    found.check()
    return found


async def preflight(origin: str = ORIGIN, path: str = STREAM, method: str = "POST") -> Response:
    return await request("OPTIONS", path, Origin=origin, Access_Control_Request_Method=method)


@pytest.mark.parametrize("path", [STREAM, "/api/poll/", "/api/sessions/", f"/api/sessions/{'A' * 22}/signals/",
                                  f"/api/sessions/{'A' * 22}/publish/", "/api/beat/", "/api/no/such/"])  # fmt: skip
async def test_a_preflight_of_a_listed_origin_is_answered(path: str) -> None:
    answer = await preflight(path=path)
    assert (answer.status, answer.body, answer.allowed) == (204, b"", [ORIGIN])
    assert answer.headers["access-control-allow-methods"] == ["GET, POST, PATCH, DELETE"]
    assert answer.headers["access-control-allow-headers"] == ["Authorization, Content-Type, Last-Event-ID"]
    assert answer.headers["access-control-max-age"] == ["7200"]
    assert "content-type" not in answer.headers and "content-length" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [OTHER, "null", "*", "", "https://app.example.com:8443", "http://app.example.com", "https://app.example.com/",
     "https://app.example.com.evil.example", "https://evil.example/https://app.example.com", "https://x.app.example.com",
     "https://app.example.com, https://evil.example.com", "https://app.example.com@evil.example"],
)  # fmt: skip
async def test_a_preflight_of_another_origin_is_refused_in_words(origin: str) -> None:
    answer = await preflight(origin)
    assert (answer.status, answer.allowed) == (403, [])
    assert json.loads(answer.body)["code"] == "origin_not_allowed"
    assert not any(name.startswith("access-control-") for name in answer.headers)


async def test_nothing_is_listed_by_default(settings: Any) -> None:
    settings.HOLDFAST = {name: value for name, value in settings.HOLDFAST.items() if name != "ORIGINS"}
    assert (await preflight()).status == 403


@pytest.mark.parametrize(
    ("listed", "origin"),
    [("https://APP.example.com:443", ORIGIN), (ORIGIN, "HTTPS://App.Example.com"), (ORIGIN, ORIGIN + ":443")],
)
async def test_an_origin_is_compared_in_its_one_form(settings: Any, listed: str, origin: str) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"ORIGINS": [listed]}
    assert (await preflight(origin)).allowed == [ORIGIN]


async def test_a_wildcard_lists_no_origin(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"ORIGINS": ["https://*.example.com", "*"]}
    assert (await preflight()).status == 403


async def test_options_that_are_no_preflight_reach_the_view() -> None:
    assert (await request("OPTIONS", STREAM, **bearer(token()), Origin=ORIGIN)).status == 405
    assert (await request("OPTIONS", STREAM, **bearer(token()), Access_Control_Request_Method="POST")).status == 405


async def test_a_page_with_a_token_creates_sends_and_reads() -> None:
    page = {**bearer(token()), "Origin": ORIGIN}
    created = await request("POST", "/api/sessions/", {"agent": ""}, **page)
    assert (created.status, created.allowed) == (201, [ORIGIN])
    assert created.headers["access-control-expose-headers"] == ["Retry-After, WWW-Authenticate"]
    session = json.loads(created.body)["id"]
    sent = await request("POST", f"/api/sessions/{session}/signals/", message_signal("signal-0001"), **page)
    assert (sent.status, sent.allowed) == (200, [ORIGIN])
    for path in (f"/api/sessions/{session}/poll/?wait_ms=0", f"/api/sessions/{session}/messages/", "/api/sessions/"):
        read = await request("GET", path, **page)
        assert (read.status, read.allowed) == (200, [ORIGIN])
    changed = await request("PATCH", f"/api/sessions/{session}/", {"title": "x"}, **page)
    deleted = await request("DELETE", f"/api/sessions/{session}/", **page)
    assert [(changed.status, changed.allowed), (deleted.status, deleted.allowed)] == [(200, [ORIGIN]), (204, [ORIGIN])]


async def test_streams_are_shared() -> None:
    session = await new_session(SUB)
    page = {**bearer(token()), "Origin": ORIGIN}
    body = json.dumps({"attach": [{"session": session}]}).encode()
    for method, path in (("POST", STREAM), ("GET", f"/api/sessions/{session}/stream/")):
        async with asked(method, path, body if method == "POST" else b"", **page) as (communicator, start):
            answer = response_of(start)
            assert (answer.status, answer.allowed) == (200, [ORIGIN])
            assert b'"connected"' in (await communicator.receive_output(10))["body"]


async def test_an_upload_is_shared() -> None:
    session = await new_session(SUB)
    page = {**bearer(token()), "Origin": ORIGIN, "Content-Type": "application/x-ndjson"}
    lines = b'{"type":"start"}\n{"type":"finish"}\n'
    stored = await request("POST", f"/api/sessions/{session}/publish/", lines, **page)
    assert (stored.status, stored.allowed) == (200, [ORIGIN])
    refused = await request("POST", f"/api/sessions/{session}/publish/", lines, **page | bearer("x"))
    assert (refused.status, refused.allowed) == (401, [ORIGIN])


async def test_a_page_of_another_origin_cannot_read_responses() -> None:
    for origin in ({"Origin": OTHER}, {}):
        answer = await request("GET", "/api/sessions/", **bearer(token()), **origin)
        assert (answer.status, answer.allowed) == (200, [])
        assert "access-control-expose-headers" not in answer.headers


async def test_refusals_are_shared(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = {**bearer(token()), "Origin": ORIGIN}

    async def refusal(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        answer = await request(method, path, body, **page | headers)
        assert answer.allowed == [ORIGIN], answer
        return answer.status, json.loads(answer.body)["code"]

    poll = f"/api/sessions/{'A' * 22}/poll/"
    assert await refusal("GET", "/api/sessions/", Authorization="Bearer x") == (401, "bad_token")
    assert await refusal("POST", STREAM, {}, Authorization="Bearer x") == (401, "bad_token")
    assert await refusal("POST", STREAM, b"x" * 200_000) == (413, "body_too_large")
    assert await refusal("POST", STREAM, {}, Content_Type="text/plain; charset=utf-16") == (
        415,
        "unsupported_media_type",
    )
    assert await refusal("PUT", STREAM, {}) == (405, "method_not_allowed")
    assert await refusal("GET", "/api/no/such/") == (404, "no_such_address")
    assert await refusal("GET", poll) == (404, "not_found")
    settings.HOLDFAST = settings.HOLDFAST | {"LINKS_PER_MINUTE": 1, "READS_PER_MINUTE": 1}
    limiter.cache_clear()
    assert [await refusal("GET", poll) for _ in range(2)][1] == (429, "rate_limited")
    assert [await refusal("GET", "/api/no/such/") for _ in range(2)][1] == (429, "rate_limited")


async def test_errors_of_the_server_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **how: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(queries, "readable", fails)
    answer = await request("GET", f"/api/sessions/{'A' * 22}/", **bearer(token()), Origin=ORIGIN)
    assert (answer.status, answer.allowed) == (500, [ORIGIN])


async def test_cookies_stay_refused() -> None:
    """For a listed origin too, which may read the refusal."""
    cookies = {"Cookie": f"holdfast_guest={GUEST}; csrftoken={'t' * 32}", "X-CSRFToken": "t" * 32, "Origin": ORIGIN}
    session = await new_session()
    for method, path, body in (
        ("GET", "/api/sessions/", None), ("GET", f"/api/sessions/{session}/poll/?wait_ms=0", None),
        ("POST", STREAM, {"attach": []}), ("POST", f"/api/sessions/{session}/signals/", message_signal("signal-0001")),
    ):  # fmt: skip
        answer = await request(method, path, body, **cookies)
        assert (answer.status, json.loads(answer.body)["code"]) == (403, "forbidden_origin")
        assert answer.allowed == [ORIGIN]


async def test_a_token_in_the_query_is_none() -> None:
    for name in ("token", "access_token", "authorization"):
        assert (await request("GET", f"/api/sessions/?{name}={token()}", Origin=ORIGIN)).status in (401, 403)


async def test_headers_of_the_projects_middleware_are_replaced() -> None:
    async def with_headers(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Access-Control-Allow-Origin", b"*"), (CREDENTIALS.encode(), b"true"), (b"vary", b"Cookie")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/api/sessions/", "headers": [(b"origin", ORIGIN.encode())]}
    await cors.share(with_headers)(scope, send, send)
    found = response_of(sent[0])
    assert (found.allowed, found.headers["vary"]) == ([ORIGIN], ["Cookie", "Origin"])
    sent.clear()
    await cors.share(with_headers)(scope | {"path": "/elsewhere/"}, send, send)
    assert dict(sent[0]["headers"])[CREDENTIALS.encode()] == b"true"


@pytest.mark.parametrize("path", ["/", "/login/", "/admin/", "/ws/", "/healthz", "/static/x.js", "/apix/"])
async def test_other_addresses_are_not_touched(path: str) -> None:
    async with asked("OPTIONS", path, Origin=ORIGIN, Access_Control_Request_Method="GET") as (communicator, start):
        assert not any(name.startswith(b"access-control-") for name, _ in start["headers"])
        while (await communicator.receive_output(10)).get("more_body"):
            pass


def test_two_origins_are_none() -> None:
    scope = {"headers": [(b"origin", ORIGIN.encode()), (b"origin", OTHER.encode())]}
    assert cors.listed_origin(scope) is None


def test_a_request_that_does_not_arrive_in_time_is_told() -> None:
    scope = {"method": "POST", "path": STREAM, "headers": [(b"origin", ORIGIN.encode())]}
    head, _, body = asgi.timeout_response(scope).partition(b"\r\n\r\n")
    assert b"access-control-allow-origin: https://app.example.com\r\n" in head and b"vary: Origin" in head
    assert json.loads(body)["code"] == "request_timeout"
    for other in (None, scope | {"path": "/login/"}):
        assert b"access-control" not in asgi.timeout_response(other)


@pytest.mark.parametrize("path", ["/api/chat/", "/api/chat", "/api/chat/a-chat/stream", "/api/chat/a-chat/stop/"])
async def test_preflights_of_chats_are_answered_by_origin(path: str) -> None:
    method = {"access_control_request_method": "GET" if "stream" in path else "POST"}
    allowed = await request("OPTIONS", path, origin=ORIGIN, **method)
    assert (allowed.status, allowed.allowed) == (204, [ORIGIN])
    refused = await request("OPTIONS", path, origin=OTHER, **method)
    assert (refused.status, refused.allowed) == (403, [])
    assert json.loads(refused.body)["code"] == "origin_not_allowed"
