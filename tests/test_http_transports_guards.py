"""The HTTP transports' access checks: identity, Origin, CSRF, rate limits, and errors of malformed requests."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from sessions_app import conf, process
from sessions_app.auth import identity
from sessions_app.event_log import queries
from sessions_app.fairness.rates import limiter
from tests.support.requests import GUEST, Browser, Events, limit, message_signal, new_session, refusal_of, running

__all__ = ["limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

S = "A" * 22
POSTS = ["/api/stream/", "/api/poll/", f"/api/sessions/{S}/signals/"]
GETS = [f"/api/sessions/{S}/stream/", f"/api/sessions/{S}/poll/"]


async def ask(browser: Browser, path: str, **headers: str) -> Any:
    if path in POSTS:
        return await browser.post(path, {"attach": []} if S not in path else message_signal("signal-0001"), **headers)
    return await browser.get(path, **headers)


@pytest.mark.parametrize("path", POSTS + GETS)
async def test_an_unauthenticated_client_is_refused(path: str) -> None:
    for guest in ("", "nonsense", f"{GUEST}x"):
        response = await ask(Browser(guest=guest), path)
        assert refusal_of(response) == (401, "signed_out") and response["WWW-Authenticate"] == "Cookie"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("token", ["", "x" * 32])
async def test_a_change_requires_the_csrf_token(path: str, token: str) -> None:
    assert refusal_of(await ask(Browser(token=token), path)) == (403, "csrf_failed")


@pytest.mark.parametrize("path", POSTS + GETS)
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://[::1"}, {"Origin": ""},
     {"Origin": "https://testserver"}, {"Origin": "http://testserver:8001"}, {"Origin": "http://localhost"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
async def test_another_origin_is_refused_without_cors_headers(path: str, headers: dict[str, str]) -> None:
    response = await ask(Browser(), path, **headers)
    assert refusal_of(response) == (403, "forbidden_origin")
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_origin_may_read(site: str) -> None:
    session = await new_session()
    response = await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0", **{"Sec-Fetch-Site": site})
    assert response.status_code == 200


@pytest.mark.parametrize("path", POSTS + GETS)
async def test_other_methods_are_refused(path: str) -> None:
    taken = {"get", "head", "post"} if path.endswith("/signals/") else {"post" if path in POSTS else "get"}
    for method in {"get", "post", "put", "delete", "head", "options"} - taken:
        response = await getattr(Browser().client, method)(path)
        assert response.status_code == 405, method


@pytest.mark.parametrize("what", ["stream", "poll"])
async def test_another_owners_session_looks_nonexistent(what: str) -> None:
    strangers = await new_session("guest:2")
    answers = [await Browser().get(f"/api/sessions/{each}/{what}/") for each in (strangers, S)]
    assert [refusal_of(answer) for answer in answers] == [(404, "not_found")] * 2
    assert answers[0].content == answers[1].content
    expired = await new_session(hours=100)
    assert refusal_of(await Browser().get(f"/api/sessions/{expired}/{what}/")) == (410, "expired")


async def test_streams_and_polls_count_as_connections(limit: Any) -> None:
    limit(CONNECTIONS_PER_OWNER=1, POLL_MS=10_000)
    session = await new_session()
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    await events.next()
    assert refusal_of(await Browser().post("/api/stream/", {"attach": []})) == (429, "too_many_connections")
    assert refusal_of(await Browser().post("/api/poll/", {"attach": []})) == (429, "too_many_connections")
    assert refusal_of(await Browser().get(f"/api/sessions/{session}/poll/")) == (429, "too_many_connections")
    await events.close()
    assert (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).status_code == 200


async def test_an_event_source_is_not_stopped_from_reconnecting(limit: Any, running: process.Process) -> None:
    session = await new_session()
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    await events.next()
    for refusal, cause in (
        ("too_many_connections", lambda: limit(CONNECTIONS_PER_OWNER=1)),
        ("rate_limited", lambda: limit(LINKS_PER_MINUTE=1)),
        ("going_away", lambda: (limit(LINKS_PER_MINUTE=1000), setattr(running.connections, "closing", True))),
    ):
        cause()
        limiter.cache_clear()
        for _ in range(2):
            response = await Browser().get(f"/api/sessions/{session}/stream/")
        assert response.status_code == 200 and response["Content-Type"] == "text/event-stream"
        lines = response.content.decode().split("\n")
        assert lines[0].startswith("retry: ") and int(lines[0][7:]) > 0
        error = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        assert (error["type"], error["code"], error["retryable"]) == ("error", refusal, True)
    await events.close()
    running.connections.closing = False


async def test_without_the_database_a_request_is_refused_and_may_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **how: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(queries, "readable", fails)
    response = await Browser().get(f"/api/sessions/{S}/stream/")
    assert response.status_code == 200 and b'"storage_unavailable"' in response.content
    monkeypatch.setattr(queries, "view", fails)
    assert refusal_of(await Browser().get(f"/api/sessions/{S}/poll/")) == (503, "storage_unavailable")


async def test_a_request_whose_identity_cannot_be_checked_may_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(cookies: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(identity, "identify", fails)
    browser = Browser()
    browser.client.cookies["sessionid"] = "a" * 32
    response = await browser.get(f"/api/sessions/{S}/stream/")
    assert response.status_code == 200 and b'"storage_unavailable"' in response.content
    for path in (f"/api/sessions/{S}/poll/", "/api/sessions/"):
        assert refusal_of(await browser.get(path)) == (503, "storage_unavailable")
    assert not (await browser.get("/")).cookies.get("holdfast_guest")  # who they are is only unknown


async def test_a_flood_is_refused_and_a_busy_poller_is_not(limit: Any) -> None:
    browser = Browser()

    async def polls(count: int) -> list[Any]:
        return [await browser.post("/api/poll/", {"attach": [], "wait_ms": 0}) for _ in range(count)]

    # Three seconds of a loop that asks 25 times a second; in a minute it takes half of what its owner has.
    assert {answer.status_code for answer in await polls(75)} == {200}
    assert conf.settings.links_per_minute >= 2 * 25 * 60
    limit(LINKS_PER_MINUTE=5)
    limiter.cache_clear()
    refused = (await polls(12))[-1]
    assert refusal_of(refused) == (429, "rate_limited") and int(refused["Retry-After"]) >= 1


async def test_a_handshake_without_its_upgrade_headers_is_refused_with_its_error() -> None:
    for method in ("get", "post"):
        response = await getattr(Browser(guest="").client, method)("/ws/")
        assert refusal_of(response) == (426, "upgrade_required") and response["Upgrade"] == "websocket"


# What is asked


@pytest.mark.parametrize("path", ["/api/stream/", "/api/poll/"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (" ", "bad_json"), ("{", "bad_json"), ("NaN", "bad_json"), (b"\xff", "bad_json"), ("[" * 9000, "bad_json"),
        ([], "bad_frame"), (7, "bad_frame"), ({}, "bad_frame"), ({"attach": {}}, "bad_frame"),
        ({"attach": [7]}, "bad_frame"), ({"attach": [{}]}, "bad_frame"),
        ({"attach": [{"session": S, "type": "detach"}]}, "bad_frame"),
        ({"attach": [{"session": S}, {"session": S}]}, "bad_frame"),
        ({"attach": [{"session": S, "rewind": -1}]}, "bad_frame"),
        ({"attach": [{"session": S, "held": {"m": 1}}]}, "bad_frame"),
        ({"attach": [{"session": "x"}]}, "bad_session_id"),
        ({"attach": [{"session": S, "cursor": "x"}]}, "bad_cursor"),
        ({"attach": [{"session": f"{n:022}"} for n in range(65)]}, "too_many_sessions"),
        ({"attach": [], "x": "x" * 70_000}, "body_too_large"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
async def test_an_invalid_body_is_refused_with_a_named_error(path: str, body: Any, code: str) -> None:
    assert refusal_of(await Browser().post(path, body))[1] == code


@pytest.mark.parametrize("wait_ms", [-1, 1.5, "100", True, [], {}])
async def test_an_invalid_wait_is_refused(wait_ms: Any) -> None:
    assert refusal_of(await Browser().post("/api/poll/", {"attach": [], "wait_ms": wait_ms}))[1] == "bad_frame"


@pytest.mark.parametrize(
    ("query", "code"),
    [("cursor=x", "bad_cursor"), ("cursor=%00-1", "bad_cursor"), ("rewind=x", "bad_frame"), ("rewind=-1", "bad_frame"),
     (f"rewind={'9' * 30}", "bad_frame"), ("rewind=%C2%B2", "bad_frame"),
     ("replaced=maybe", "bad_frame"), ("replaced=1", "bad_frame")],
)  # fmt: skip
async def test_an_invalid_query_is_refused_with_a_named_error(query: str, code: str) -> None:
    for what in ("stream", "poll"):
        assert refusal_of(await Browser().get(f"/api/sessions/{S}/{what}/?{query}"))[1] == code
    assert refusal_of(await Browser().get(f"/api/sessions/{S}/poll/?wait_ms=soon"))[1] == "bad_frame"


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_only_json_bodies_are_accepted(type_: str) -> None:
    assert refusal_of(await Browser().post("/api/stream/", "{}", type=type_)) == (415, "unsupported_media_type")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
attach = st.fixed_dictionaries(
    {},
    optional={
        "session": st.sampled_from([S, "", "x" * 22]) | anything,
        "cursor": st.sampled_from(["e-1", "e-999999999999999", ""]) | anything,
        "rewind": st.integers(-2, 2**70) | anything,
        "held": anything,
        "type": anything,
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "attach": st.lists(attach | anything, max_size=3) | anything,
        "wait_ms": st.integers(-5, 20) | anything,
        "id": st.text(max_size=70) | anything,
        "kind": anything,
        "payload": anything,
    },
)


@hypothesis(suppress_health_check=list(HealthCheck))
@given(body=bodies | anything, query=st.text(max_size=30), last_id=st.text("aZ09-\u00ff %", max_size=12))
async def test_arbitrary_input_gets_a_named_error(body: Any, query: str, last_id: str) -> None:
    browser = Browser()
    answers = [await browser.post(path, body) for path in POSTS]
    answers += [await browser.get(f"{path}?rewind={query}&cursor={query}") for path in GETS]
    answers += [await browser.get(GETS[0], **{"Last-Event-ID": last_id})]
    for answer in answers:
        assert answer.status_code < 500
        if answer.status_code != 200 and answer.json().get("type") != "receipt":
            refusal_of(answer)
        elif hasattr(answer, "_body"):
            await answer._body.aclose()
