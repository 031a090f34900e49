"""The HTTP transports: responses to streams, polls and signals."""

import asyncio
import json
from typing import Any

import pytest

from sessions_app import models, process
from sessions_app.database import threads
from sessions_app.transports import sse
from tests.support.requests import (
    Browser,
    Events,
    limit,
    message_signal,
    new_session,
    publish_answer,
    refusal_of,
    running,
    until_live,
)

__all__ = ["limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

# Streams


async def test_a_stream_has_the_same_frames_as_a_socket(running: process.Process) -> None:
    session = await new_session()
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
    await publish_answer(running, session, "word")
    assert (await events.frame())["events"][0]["serial"] == 1
    await events.close()
    assert len(running.connections) == 0 and running.connections._per_owner == {} and running.feeds._feeds == {}


async def test_the_first_piece_is_large_enough_for_proxies() -> None:
    response = await Browser().post("/api/stream/", {"attach": []})
    first = await anext(response._body)
    assert len(first) > 2048 and b'"connected"' in first
    await response._body.aclose()


async def test_an_event_source_resumes_by_the_last_id(running: process.Process) -> None:
    session = await new_session()
    await publish_answer(running, session, "before")
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    await events.next()
    first = await events.next()
    assert first["id"] == json.loads(first["data"])["cursor"]
    await events.close()
    await publish_answer(running, session, "after")
    stale = "AAAA-1"  # in the address, which an EventSource can't change
    response = await Browser().get(f"/api/sessions/{session}/stream/?cursor={stale}", **{"Last-Event-ID": first["id"]})
    again = Events(response)
    await again.next()
    attached = await again.frame()
    assert attached["resumed"] and [m["parts"][0]["text"] for m in attached["messages"]] == ["after"]
    await again.close()


async def test_a_stream_of_several_sessions_continues_without_one(running: process.Process) -> None:
    own, strangers = await new_session(), await new_session("guest:2")
    events = Events(await Browser().post("/api/stream/", {"attach": [{"session": strangers}, {"session": own}]}))
    await events.next()
    refusal = await events.frame()
    assert (refusal["type"], refusal["code"], refusal["session"]) == ("error", "not_found", strangers)
    assert (await events.frame())["session"] == own
    await publish_answer(running, own, "word")
    assert (await events.frame())["type"] == "events"
    await events.close()


async def test_a_stream_ends_when_no_session_is_left() -> None:
    session = await new_session()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    await threads.run(models.Session.objects.filter(pk=session).delete)
    assert (await events.frame())["type"] == "detached"
    with pytest.raises(StopAsyncIteration):
        await events.next()


async def test_a_server_fault_is_reported_and_leaves_nothing_behind(
    running: process.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(sse, "release_thread", fails)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    error = await events.frame()
    assert (error["type"], error["code"], error["retryable"]) == ("error", "internal", True)
    with pytest.raises(StopAsyncIteration):
        await events.next()
    assert len(running.connections) == 0


async def test_a_stream_without_sessions_stays_open() -> None:
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert (await events.frame())["type"] == "connected"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(events.next(), 0.3)
    await events.close()


async def test_heartbeats_are_frequent_enough_for_any_proxy(limit: Any) -> None:
    limit(HEARTBEAT_MS=600_000)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert (await events.frame())["heartbeat_ms"] == 15_000
    await events.close()
    limit(HEARTBEAT_MS=100)
    events = Events(await Browser().post("/api/stream/", {"attach": []}))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "heartbeat"]
    await events.close()


async def test_a_streams_duration_is_bounded(limit: Any) -> None:
    limit(STREAM_MS=1000)
    session = await new_session()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    farewell = await events.next()
    assert farewell["retry"] == "0" and json.loads(farewell["data"]) == {"type": "going-away", "reconnect_in_ms": 0}
    with pytest.raises(StopAsyncIteration):
        await events.next()


async def test_a_stopping_process_ends_a_stream_with_a_reconnection_time(running: process.Process) -> None:
    session = await new_session()
    events = Events(await Browser().get(f"/api/sessions/{session}/stream/"))
    assert [(await events.frame())["type"] for _ in range(2)] == ["connected", "attached"]
    stopping = asyncio.create_task(running.stop())
    farewell = await events.next()
    assert json.loads(farewell["data"])["type"] == "going-away" and "retry" in farewell
    with pytest.raises(StopAsyncIteration):
        await events.next()
    await asyncio.wait_for(stopping, 40)


# Polls


async def test_a_poll_waits_for_news(running: process.Process, limit: Any) -> None:
    limit(POLL_MS=10_000)
    session = await new_session()
    first = (await Browser().get(f"/api/sessions/{session}/poll/")).json()
    assert [frame["type"] for frame in first["frames"]] == ["connected", "attached"]
    assert first["frames"][0]["transport"] == "poll"
    asking = asyncio.create_task(Browser().get(f"/api/sessions/{session}/poll/?cursor={first['cursor']}"))
    await until_live(running)
    assert not asking.done()
    await publish_answer(running, session, "word")
    second = (await asyncio.wait_for(asking, 40)).json()
    assert [frame["type"] for frame in second["frames"]][:3] == ["connected", "attached", "events"]
    assert second["cursor"] == second["frames"][-1]["cursor"] != first["cursor"]
    assert len(running.connections) == 0


async def test_a_poll_without_news_ends_with_a_heartbeat() -> None:
    session = await new_session()
    cursor = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
    answer = (await Browser().get(f"/api/sessions/{session}/poll/?cursor={cursor}&wait_ms=99999999")).json()
    assert [frame["type"] for frame in answer["frames"]] == ["connected", "attached", "heartbeat"]
    assert answer["cursor"] == cursor and answer["frames"][-1]["tails"] == {session: cursor}


@pytest.mark.parametrize("cursor", ["other-1", "ahead"])
async def test_a_reset_ends_a_poll(limit: Any, cursor: str) -> None:
    limit(POLL_MS=10_000)
    session = await new_session()
    if cursor == "ahead":
        now = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
        cursor = now.rpartition("-")[0] + "-99"
    body = {"attach": [{"session": session, "cursor": cursor}]}
    frames = (await asyncio.wait_for(Browser().post("/api/poll/", body), 40)).json()["frames"]
    assert frames[1]["reason"] in ("epoch-changed", "ahead")


async def test_a_refusal_is_a_frame_among_several_sessions_and_a_status_alone(limit: Any) -> None:
    limit(POLL_MS=10_000)
    own, strangers = await new_session(), await new_session("guest:2")
    cursor = (await Browser().get(f"/api/sessions/{own}/poll/?wait_ms=0")).json()["cursor"]
    body = {"attach": [{"session": own, "cursor": cursor}, {"session": strangers}]}
    frames = (await asyncio.wait_for(Browser().post("/api/poll/", body), 40)).json()["frames"]
    assert [frame["type"] for frame in frames] == ["connected", "attached", "error"]
    assert refusal_of(await Browser().get(f"/api/sessions/{strangers}/poll/")) == (404, "not_found")


async def test_a_poll_is_bounded_and_the_next_returns_the_rest(running: process.Process, limit: Any) -> None:
    sessions = [await new_session() for _ in range(4)]
    for session in sessions:
        await publish_answer(running, session, "x" * 3000)
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
    session = await new_session()
    cursor = (await Browser().get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
    asking = asyncio.create_task(Browser().get(f"/api/sessions/{session}/poll/?cursor={cursor}"))
    await until_live(running)
    await asyncio.wait_for(running.stop(), 40)
    frames = (await asyncio.wait_for(asking, 40)).json()["frames"]
    assert [frame["type"] for frame in frames] == ["connected", "attached", "going-away"]


async def test_an_abandoned_poll_leaves_nothing_behind(running: process.Process, limit: Any) -> None:
    limit(POLL_MS=10_000)
    asking = asyncio.create_task(Browser().post("/api/poll/", {"attach": []}))
    while not running.connections:
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert len(running.connections) == 0 and running.connections._per_owner == {}


# Signals


async def test_a_signal_is_receipted_once() -> None:
    session = await new_session()
    for _ in range(2):
        response = await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0001"))
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
async def test_a_rejection_has_the_status_of_its_error(change: dict[str, Any], status: int, code: str) -> None:
    session = await new_session()
    response = await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0001") | change)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["status"] == "rejected" and response.json()["id"] == "signal-0001"


async def test_a_signal_to_another_owners_session_is_rejected_as_nonexistent() -> None:
    answers = [
        await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0001"))
        for session in (await new_session("guest:2"), "A" * 22)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    one, other = (answer.json() | {"session": ""} for answer in answers)
    assert one == other


async def test_signals_have_the_same_rate_limit_as_on_a_socket(limit: Any) -> None:
    limit(SIGNALS_PER_MINUTE=1)
    session = await new_session()
    first = await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0001"))
    second = await Browser().post(f"/api/sessions/{session}/signals/", message_signal("signal-0002"))
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["error"] | {"message": ""} == {"code": "rate_limited", "message": "", "retryable": True}
