"""The doors of the transports over HTTP: who is let in, how often, and what is named when a request is wrong."""

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
from sessions_app.http.throttling import limiter
from tests.support.requests import GUEST, Browser, Events, a_session_of, limit, running, says, told

__all__ = ["limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

S = "A" * 22
POSTS = ["/api/stream/", "/api/poll/", f"/api/sessions/{S}/signals/"]
GETS = [f"/api/sessions/{S}/stream/", f"/api/sessions/{S}/poll/"]


async def ask(browser: Browser, path: str, **headers: str) -> Any:
    if path in POSTS:
        return await browser.post(path, {"attach": []} if S not in path else says("signal-0001"), **headers)
    return await browser.get(path, **headers)


@pytest.mark.parametrize("path", POSTS + GETS)
async def test_who_is_nobody_is_told_so(path: str) -> None:
    for guest in ("", "nonsense", f"{GUEST}x"):
        response = await ask(Browser(guest=guest), path)
        assert told(response) == (401, "signed_out") and response["WWW-Authenticate"] == "Cookie"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("token", ["", "x" * 32])
async def test_what_changes_something_needs_the_token(path: str, token: str) -> None:
    assert told(await ask(Browser(token=token), path)) == (403, "csrf_failed")


@pytest.mark.parametrize("path", POSTS + GETS)
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://[::1"}, {"Origin": ""},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
async def test_another_sites_page_is_refused_and_gets_no_leave_to_read(path: str, headers: dict[str, str]) -> None:
    response = await ask(Browser(), path, **headers)
    assert told(response) == (403, "forbidden_origin")
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_page_may_read(site: str) -> None:
    session = await a_session_of()
    response = await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0", **{"Sec-Fetch-Site": site})
    assert response.status_code == 200


@pytest.mark.parametrize("path", POSTS + GETS)
async def test_no_other_method_is_taken(path: str) -> None:
    taken = {"get", "head", "post"} if path.endswith("/signals/") else {"post" if path in POSTS else "get"}
    for method in {"get", "post", "put", "delete", "head", "options"} - taken:
        response = await getattr(Browser().client, method)(path)
        assert response.status_code == 405, method


@pytest.mark.parametrize("what", ["stream", "poll"])
async def test_a_strangers_session_is_told_of_as_one_that_does_not_exist(what: str) -> None:
    strangers = await a_session_of("guest:2")
    answers = [await Browser().get(f"/api/sessions/{each}/{what}/") for each in (strangers, S)]
    assert [told(answer) for answer in answers] == [(404, "not_found")] * 2
    assert answers[0].content == answers[1].content
    expired = await a_session_of(hours=100)
    assert told(await Browser().get(f"/api/sessions/{expired}/{what}/")) == (410, "expired")


async def test_streams_and_polls_count_as_connections(limit: Any) -> None:
    limit(CONNECTIONS_PER_OWNER=1, POLL_MS=10_000)
    session = await a_session_of()
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    await events.next()
    assert told(await Browser().post("/api/stream/", {"attach": []})) == (429, "too_many_connections")
    assert told(await Browser().post("/api/poll/", {"attach": []})) == (429, "too_many_connections")
    assert told(await Browser().get(f"/api/sessions/{session}/poll/")) == (429, "too_many_connections")
    await events.close()
    assert (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).status_code == 200


async def test_an_event_source_is_not_driven_away_for_good(limit: Any, running: process.Process) -> None:
    session = await a_session_of()
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


async def test_while_the_database_is_away_it_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **how: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(queries, "readable", fails)
    response = await Browser().get(f"/api/sessions/{S}/stream/")
    assert response.status_code == 200 and b'"storage_unavailable"' in response.content
    monkeypatch.setattr(queries, "view", fails)
    assert told(await Browser().get(f"/api/sessions/{S}/poll/")) == (503, "storage_unavailable")


async def test_while_it_is_not_known_who_asks_they_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(cookies: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(identity, "identify", fails)
    browser = Browser()
    browser.client.cookies["sessionid"] = "a" * 32
    response = await browser.get(f"/api/sessions/{S}/stream/")
    assert response.status_code == 200 and b'"storage_unavailable"' in response.content
    for path in (f"/api/sessions/{S}/poll/", "/api/sessions/"):
        assert told(await browser.get(path)) == (503, "storage_unavailable")
    assert not (await browser.get("/")).cookies.get("holdfast_guest")  # who they are is only unknown


async def test_a_flood_is_refused_and_a_busy_poll_is_not(limit: Any) -> None:
    browser = Browser()

    async def polls(count: int) -> list[Any]:
        return [await browser.post("/api/poll/", {"attach": [], "wait_ms": 0}) for _ in range(count)]

    # Three seconds of a loop that asks 25 times a second; in a minute it takes half of what its owner has.
    assert {answer.status_code for answer in await polls(75)} == {200}
    assert conf.settings.links_per_minute >= 2 * 25 * 60
    limit(LINKS_PER_MINUTE=5)
    limiter.cache_clear()
    refused = (await polls(12))[-1]
    assert told(refused) == (429, "rate_limited") and int(refused["Retry-After"]) >= 1


async def test_a_handshake_without_its_upgrade_is_told_so() -> None:
    for method in ("get", "post"):
        response = await getattr(Browser(guest="").client, method)("/ws/")
        assert told(response) == (426, "upgrade_required") and response["Upgrade"] == "websocket"


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
async def test_what_is_wrong_with_a_body_is_named(path: str, body: Any, code: str) -> None:
    assert told(await Browser().post(path, body))[1] == code


@pytest.mark.parametrize("wait_ms", [-1, 1.5, "100", True, [], {}])
async def test_what_is_no_wait(wait_ms: Any) -> None:
    assert told(await Browser().post("/api/poll/", {"attach": [], "wait_ms": wait_ms}))[1] == "bad_frame"


@pytest.mark.parametrize(
    ("query", "code"),
    [("cursor=x", "bad_cursor"), ("cursor=%00-1", "bad_cursor"), ("rewind=x", "bad_frame"), ("rewind=-1", "bad_frame"),
     (f"rewind={'9' * 30}", "bad_frame"), ("rewind=%C2%B2", "bad_frame")],
)  # fmt: skip
async def test_what_is_wrong_with_a_query_is_named(query: str, code: str) -> None:
    for what in ("stream", "poll"):
        assert told(await Browser().get(f"/api/sessions/{S}/{what}/?{query}"))[1] == code
    assert told(await Browser().get(f"/api/sessions/{S}/poll/?wait_ms=soon"))[1] == "bad_frame"


@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_only_json_is_taken(type_: str) -> None:
    assert told(await Browser().post("/api/stream/", "{}", type=type_)) == (415, "unsupported_media_type")


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
async def test_nonsense_is_always_named(body: Any, query: str, last_id: str) -> None:
    browser = Browser()
    answers = [await browser.post(path, body) for path in POSTS]
    answers += [await browser.get(f"{path}?rewind={query}&cursor={query}") for path in GETS]
    answers += [await browser.get(GETS[0], **{"Last-Event-ID": last_id})]
    for answer in answers:
        assert answer.status_code < 500
        if answer.status_code != 200 and answer.json().get("type") != "receipt":
            told(answer)
        elif hasattr(answer, "_body"):
            await answer._body.aclose()
