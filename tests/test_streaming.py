"""The transports over HTTP: who is let in, what each request is answered, and what is named when it is wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core import signing
from django.db import OperationalError
from django.test import AsyncClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from sessions_app import conf, event_stream, executor, identity, models, process, store
from sessions_app.api.errors import HTTP_ERRORS
from sessions_app.api.throttles import buckets
from sessions_app.core.attachment import State
from sessions_app.core.errors import ERRORS
from tests.support.stored import a_session
from tests.support.writer import delta, finish, start, text_start

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = f"guest:{'0' * 32}"
GUEST = signing.TimestampSigner(salt="holdfast.guest").sign("0" * 32)
TOKEN = "t" * 32
QUICK = {"POLL_MS": 200, "POLL_GATHER_MS": 10, "TAIL_POLL_MS": 50}


@pytest.fixture(autouse=True)
async def running(monkeypatch: pytest.MonkeyPatch, settings: Any) -> AsyncIterator[process.Process]:
    """The process that the views find, in this test's event loop."""
    settings.HOLDFAST = settings.HOLDFAST | QUICK
    monkeypatch.setattr(process, "_current", None)
    monkeypatch.setattr(process, "_starting", None)
    buckets.clear()
    yield await process.current()
    await process.stop(0)


@pytest.fixture
def limit(settings: Any) -> Any:
    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


class Browser:
    """A guest's page, with its cookies and token."""

    def __init__(self, *, guest: str = GUEST, token: str = TOKEN) -> None:
        self.client = AsyncClient(enforce_csrf_checks=True)
        if guest:
            self.client.cookies["holdfast_guest"] = guest
        self.client.cookies["csrftoken"] = TOKEN
        self.headers = {"X-CSRFToken": token} if token else {}

    async def get(self, path: str, **headers: str) -> Any:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, body: Any, **headers: str) -> Any:
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        type_ = headers.pop("type", "application/json")
        return await self.client.post(path, data, content_type=type_, headers=self.headers | headers)


class Events:
    """A stream's events as they come."""

    def __init__(self, response: Any) -> None:
        assert response.status_code == 200, response.content
        self._body = response._body
        self._rest = ""

    async def next(self) -> dict[str, str]:
        """The next event with data; raises StopAsyncIteration at the end."""
        while True:
            block, end, rest = self._rest.partition("\n\n")
            if not end:
                self._rest += (await asyncio.wait_for(anext(self._body), 10)).decode()
                continue
            self._rest = rest
            event = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in event:
                return event

    async def frame(self) -> Any:
        return json.loads((await self.next())["data"])

    async def close(self) -> None:
        await self._body.aclose()


async def a_session_of(owner: str = OWNER, **fields: Any) -> str:
    return (await executor.run(lambda: a_session(owner, **fields))).pk


async def speak(here: process.Process, session: str, text: str) -> None:
    response = here.respond(session, agent="test")
    for chunk in (start(response.uid), text_start(), delta(text), finish()):
        await response.write(chunk)
    await response.flush()


async def until_live(here: process.Process) -> None:
    """Waits until somebody follows something and has all of it."""
    async with asyncio.timeout(10):
        while not any(
            following.attachment.state is State.LIVE
            for connection in here.connections
            for following in connection._followed.values()
        ):
            await asyncio.sleep(0.01)


def says(id: str, text: str = "Hello") -> dict[str, Any]:
    return {"id": id, "kind": "message", "payload": {"parts": [{"type": "text", "text": text}]}}


def told(response: Any) -> tuple[int, str]:
    """The status and the code of a refusal, which has nothing else."""
    body = response.json()
    assert body.keys() == {"code", "message", "retryable"}, body
    kind = ERRORS.get(body["code"]) or HTTP_ERRORS[body["code"]]
    assert (kind.status, kind.retryable) == (response.status_code, body["retryable"])
    return response.status_code, body["code"]


# Streams


async def test_a_stream_has_what_a_socket_has(running: process.Process) -> None:
    session = await a_session_of()
    response = await Browser().post("/api/stream/", {"attach": [{"session": session}]})
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-store, no-transform"
    assert response["X-Accel-Buffering"] == "no" and response["Content-Encoding"] == "identity"
    events = Events(response)
    connected = await events.frame()
    assert (connected["type"], connected["transport"]) == ("connected", "stream")
    assert connected["heartbeat_ms"] <= 15_000
    attached = await events.frame()
    assert (attached["type"], attached["session"], attached["resumed"]) == ("attached", session, False)
    await speak(running, session, "word")
    assert (await events.frame())["events"][0]["serial"] == 1
    await events.close()
    assert running.connections == set() and running._per_owner == {} and running.feeds._feeds == {}


async def test_its_first_piece_is_large_enough_for_proxies() -> None:
    response = await Browser().post("/api/stream/", {"attach": []})
    first = await anext(response._body)
    assert len(first) > 2048 and b'"connected"' in first
    await response._body.aclose()


async def test_an_event_source_resumes_by_the_last_id(running: process.Process) -> None:
    session = await a_session_of()
    await speak(running, session, "before")
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    await events.next()
    first = await events.next()
    assert first["id"] == json.loads(first["data"])["cursor"]
    await events.close()
    await speak(running, session, "after")
    stale = "AAAA-1"  # in the address, which an EventSource can't change
    response = await Browser().get(f"/api/sessions/{session}/stream/?cursor={stale}", **{"Last-Event-ID": first["id"]})
    again = Events(response)
    await again.next()
    attached = await again.frame()
    assert attached["resumed"] and [m["parts"][0]["text"] for m in attached["messages"]] == ["after"]
    await again.close()


async def test_a_stream_of_several_sessions_goes_on_without_one(running: process.Process) -> None:
    own, strangers = await a_session_of(), await a_session_of("guest:2")
    events = Events(await Browser().post("/api/stream/", {"attach": [{"session": strangers}, {"session": own}]}))
    await events.next()
    refusal = await events.frame()
    assert (refusal["type"], refusal["code"], refusal["session"]) == ("error", "not_found", strangers)
    assert (await events.frame())["session"] == own
    await speak(running, own, "word")
    assert (await events.frame())["type"] == "events"
    await events.close()


async def test_it_ends_when_nothing_is_left_to_follow() -> None:
    session = await a_session_of()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    await executor.run(models.Session.objects.filter(pk=session).delete)
    assert (await events.frame())["type"] == "detached"
    with pytest.raises(StopAsyncIteration):
        await events.next()


async def test_a_fault_of_ours_is_told_and_leaves_nothing(
    running: process.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(event_stream, "release_thread", fails)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    told = await events.frame()
    assert (told["type"], told["code"], told["retryable"]) == ("error", "internal", True)
    with pytest.raises(StopAsyncIteration):
        await events.next()
    assert running.connections == set()


async def test_one_without_sessions_stays() -> None:
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert (await events.frame())["type"] == "connected"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(events.next(), 0.3)
    await events.close()


async def test_it_beats_often_enough_for_any_proxy(limit: Any) -> None:
    limit(HEARTBEAT_MS=600_000)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert (await events.frame())["heartbeat_ms"] == 15_000
    await events.close()
    limit(HEARTBEAT_MS=100)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "heartbeat"]
    await events.close()


async def test_its_time_is_bounded(limit: Any) -> None:
    limit(STREAM_MS=500)
    session = await a_session_of()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    farewell = await events.next()
    assert farewell["retry"] == "0" and json.loads(farewell["data"]) == {"type": "going-away", "reconnect_in_ms": 0}
    with pytest.raises(StopAsyncIteration):
        await events.next()


async def test_a_stopping_process_ends_it_and_says_when_to_come_back(running: process.Process) -> None:
    session = await a_session_of()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    stopping = asyncio.create_task(running.stop())
    farewell = await events.next()
    assert json.loads(farewell["data"])["type"] == "going-away" and "retry" in farewell
    with pytest.raises(StopAsyncIteration):
        await events.next()
    await asyncio.wait_for(stopping, 10)


# Polls


async def test_a_poll_waits_for_news(running: process.Process, limit: Any) -> None:
    limit(POLL_MS=10_000)
    session = await a_session_of()
    first = (await Browser().get(f"/api/sessions/{session}/poll/")).json()
    assert [frame["type"] for frame in first["frames"]] == ["connected", "attached"]
    assert first["frames"][0]["transport"] == "poll"
    asking = asyncio.create_task(Browser().get(f"/api/sessions/{session}/poll/?cursor={first['cursor']}"))
    await until_live(running)
    assert not asking.done()
    await speak(running, session, "word")
    second = (await asyncio.wait_for(asking, 5)).json()
    assert [frame["type"] for frame in second["frames"]][:3] == ["connected", "attached", "events"]
    assert second["cursor"] == second["frames"][-1]["cursor"] != first["cursor"]
    assert running.connections == set()


async def test_a_poll_without_news_ends_with_a_heartbeat() -> None:
    session = await a_session_of()
    cursor = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
    answer = (await Browser().get(f"/api/sessions/{session}/poll/?cursor={cursor}&wait_ms=99999999")).json()
    assert [frame["type"] for frame in answer["frames"]] == ["connected", "attached", "heartbeat"]
    assert answer["cursor"] == cursor and answer["frames"][-1]["tails"] == {session: cursor}


@pytest.mark.parametrize("cursor", ["other-1", "ahead"])
async def test_a_reset_is_news(limit: Any, cursor: str) -> None:
    limit(POLL_MS=10_000)
    session = await a_session_of()
    if cursor == "ahead":
        now = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
        cursor = now.rpartition("-")[0] + "-99"
    body = {"attach": [{"session": session, "cursor": cursor}]}
    frames = (await asyncio.wait_for(Browser().post("/api/poll/", body), 5)).json()["frames"]
    assert frames[1]["reason"] in ("epoch-changed", "ahead")


async def test_a_refusal_is_news_among_many_and_a_status_alone(limit: Any) -> None:
    limit(POLL_MS=10_000)
    own, strangers = await a_session_of(), await a_session_of("guest:2")
    cursor = (await Browser().get(f"/api/sessions/{own}/poll/?wait_ms=0")).json()["cursor"]
    body = {"attach": [{"session": own, "cursor": cursor}, {"session": strangers}]}
    frames = (await asyncio.wait_for(Browser().post("/api/poll/", body), 5)).json()["frames"]
    assert [frame["type"] for frame in frames] == ["connected", "attached", "error"]
    assert told(await Browser().get(f"/api/sessions/{strangers}/poll/")) == (404, "not_found")


async def test_a_poll_answers_with_so_much_and_the_next_with_the_rest(running: process.Process, limit: Any) -> None:
    sessions = [await a_session_of() for _ in range(4)]
    for session in sessions:
        await speak(running, session, "x" * 3000)
    limit(SNAPSHOT_BYTES=5000)
    cursors: dict[str, str] = {}
    for _ in range(4):
        body = {"attach": [{"session": each, "cursor": cursors.get(each)} for each in sessions], "wait_ms": 0}
        answer = await Browser().post("/api/poll/", body)
        assert len(answer.content) < 10_000
        for frame in answer.json()["frames"]:
            cursors |= {frame["session"]: frame["cursor"]} if frame["type"] == "attached" else {}
    assert cursors.keys() == set(sessions)


async def test_a_stopping_process_ends_a_poll(running: process.Process, limit: Any) -> None:
    limit(POLL_MS=10_000)
    session = await a_session_of()
    cursor = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
    asking = asyncio.create_task(Browser().get(f"/api/sessions/{session}/poll/?cursor={cursor}"))
    await until_live(running)
    await asyncio.wait_for(running.stop(), 10)
    frames = (await asyncio.wait_for(asking, 5)).json()["frames"]
    assert [frame["type"] for frame in frames] == ["connected", "attached", "going-away"]


async def test_a_poll_that_is_given_up_leaves_nothing_behind(running: process.Process, limit: Any) -> None:
    limit(POLL_MS=10_000)
    asking = asyncio.create_task(Browser().post("/api/poll/", {"attach": []}))
    while not running.connections:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert running.connections == set() and running._per_owner == {}


# Signals


async def test_a_signal_is_receipted_once() -> None:
    session = await a_session_of()
    for _ in range(2):
        response = await Browser().post(f"/api/sessions/{session}/signals/", says("signal-0001"))
        assert response.status_code == 200 and response["Content-Type"] == "application/json"
        assert response.json() == {
            "type": "receipt", "session": session, "id": "signal-0001", "status": "accepted", "serial": 1,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"kind": "dance"}, 400, "unknown_kind"),
        ({"payload": {}}, 400, "bad_signal"),
        ({"payload": {"parts": [{"type": "text", "text": "x" * 33_000}]}}, 413, "message_too_large"),
    ],
)
async def test_a_rejection_has_its_errors_status(change: dict[str, Any], status: int, code: str) -> None:
    session = await a_session_of()
    response = await Browser().post(f"/api/sessions/{session}/signals/", says("signal-0001") | change)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["status"] == "rejected" and response.json()["id"] == "signal-0001"


async def test_a_signal_into_a_strangers_session_is_rejected_as_into_none() -> None:
    answers = [
        await Browser().post(f"/api/sessions/{session}/signals/", says("signal-0001"))
        for session in (await a_session_of("guest:2"), "A" * 22)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    one, other = (answer.json() | {"session": ""} for answer in answers)
    assert one == other


async def test_signals_are_limited_as_on_a_socket(limit: Any) -> None:
    limit(SIGNALS_PER_MINUTE=1)
    session = await a_session_of()
    first = await Browser().post(f"/api/sessions/{session}/signals/", says("signal-0001"))
    second = await Browser().post(f"/api/sessions/{session}/signals/", says("signal-0002"))
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["error"] | {"message": ""} == {"code": "rate_limited", "message": "", "retryable": True}


# Doors

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
    for method in {"get", "post", "put", "delete", "head", "options"} - {"post" if path in POSTS else "get"}:
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
    for refusal, cause in (
        ("too_many_connections", lambda: limit(CONNECTIONS_PER_OWNER=0)),
        ("rate_limited", lambda: limit(LINKS_PER_MINUTE=1)),
        ("going_away", lambda: (limit(LINKS_PER_MINUTE=1000), setattr(running, "stopping", True))),
    ):
        cause()
        buckets.clear()
        for _ in range(2):
            response = await Browser().get(f"/api/sessions/{session}/stream/")
        assert response.status_code == 200 and response["Content-Type"] == "text/event-stream"
        lines = response.content.decode().split("\n")
        assert lines[0].startswith("retry: ") and int(lines[0][7:]) > 0
        error = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        assert (error["type"], error["code"], error["retryable"]) == ("error", refusal, True)
    running.stopping = False


async def test_while_the_database_is_away_it_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **how: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(store, "readable", fails)
    response = await Browser().get(f"/api/sessions/{S}/stream/")
    assert response.status_code == 200 and b'"storage_unavailable"' in response.content
    monkeypatch.setattr(store, "view", fails)
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
    assert conf.LINKS_PER_MINUTE >= 2 * 25 * 60
    limit(LINKS_PER_MINUTE=5)
    buckets.clear()
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


@hypothesis(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
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
