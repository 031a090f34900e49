"""Publishing transports: batches over HTTP and on a socket, with their access checks."""

import asyncio
import json
from typing import Any

import pytest

from sessions_app.database import threads
from sessions_app.models import Worker
from sessions_app.process import Process
from sessions_app.transports.frame_dispatch import MAX_PUBLISHING
from tests.support.producers import UID, keys, run_of, session, stored
from tests.support.requests import new_session, refusal_of, running
from tests.support.token_socket import TokenSocket
from tests.support.tokens import bearer, token
from tests.support.writer import Chunk, begun, delta, finish

__all__ = ["keys", "running", "session"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

# Over HTTP


async def post(path: str, body: Any, text: str) -> Any:
    from django.test import AsyncClient

    client = AsyncClient(enforce_csrf_checks=True)
    return await client.post(path, json.dumps(body), content_type="application/json", headers=bearer(text))


def batch(sequence: int, *chunks: Chunk, **changes: Any) -> dict[str, Any]:
    return {"message": UID, "producer": "producer", "epoch": 1, "sequence": sequence, "chunks": list(chunks)} | changes


async def test_a_batch_is_posted(session: str) -> None:
    path, agent = f"/api/sessions/{session}/publish/", token(sub="agent:billing", scope="publish")
    for _ in range(2):
        response = await post(path, batch(1, *begun(UID, "a")), agent)
        assert response.json() == {"type": "published", "session": session, "message": UID, "sequence": 1, "serial": 3}
    assert refusal_of(await post(path, batch(3, delta("x")), agent)) == (409, "out_of_order")
    assert refusal_of(await post(path, batch(2, delta("x")), token(scope="read"))) == (403, "forbidden_scope")
    assert (await post("/api/beat/", {"producer": "producer", "epoch": 1}, agent)).status_code == 204
    assert (await run_of(session)).worker.beats == 4
    assert (await post(path, batch(1, *begun("m_2"), message="m_2", epoch=2), agent)).status_code == 200
    assert refusal_of(await post("/api/beat/", {"producer": "producer", "epoch": 1}, agent)) == (409, "fenced")


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "answer"}, {"message": "m_"}, {"message": "m_" + "x" * 63}, {"message": "m_é"}, {"message": 7},
        {"producer": "short"}, {"producer": "x" * 65}, {"producer": "a b c d e"}, {"producer": None},
        {"epoch": -1}, {"epoch": 2**53 + 1}, {"epoch": True}, {"epoch": "1"}, {"epoch": 1.5},
        {"sequence": 0}, {"sequence": -1}, {"sequence": True}, {"sequence": "1"}, {"sequence": 2**31 + 1},
        {"chunks": []}, {"chunks": {}}, {"chunks": [delta("x")] * 1025}, {"chunks": None},
    ],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
async def test_a_malformed_batch_is_refused_with_a_named_error(session: str, changes: dict[str, Any]) -> None:
    response = await post(f"/api/sessions/{session}/publish/", batch(1, *begun(UID)) | changes, token())
    assert refusal_of(response) == (400, "bad_frame")


async def test_a_flood_over_http_is_refused(session: str, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"PUBLISHES_PER_SECOND": 1}
    for _ in range(500):  # a minute's worth at once, and what comes while they are sent
        answer = await post("/api/beat/", {"producer": "producer", "epoch": 1}, token())
        if answer.status_code != 204:
            break
    assert refusal_of(answer) == (429, "rate_limited")


# On a socket


def frame(session: str, sequence: int, *chunks: Chunk, **changes: Any) -> dict[str, Any]:
    return {"type": "publish", "session": session, **batch(sequence, *chunks), **changes}


async def test_a_socket_publishes_to_many_sessions_without_waiting_for_answers(session: str) -> None:
    sessions = [session, await new_session("ext:bob")]
    async with TokenSocket(token(sub="agent:billing", scope="publish")) as socket:
        for sequence, chunks in enumerate([begun(UID), *([delta(f"{n} ")] for n in range(100)), [finish()]], 1):
            for each in sessions:
                socket.send(frame(each, sequence, *chunks))
        await socket.until(lambda: len(socket.said) == 1 + 2 * 102)
        for each in sessions:
            told_ = [one for one in socket.said[1:] if one["session"] == each]
            assert [one["sequence"] for one in told_] == list(range(1, 103))
            assert {one["type"] for one in told_} == {"published"} and told_[-1]["serial"] == 103
            assert await stored(each) == ("complete", "".join(f"{n} " for n in range(100)))


async def test_a_sockets_errors_name_the_batch_and_keep_it_open(session: str) -> None:
    async with TokenSocket(token(scope="read publish", sessions=[session])) as socket:
        for sent, code in (
            (frame(session, 2, delta("x")), "out_of_order"), (frame(session, 1, delta("x")), "bad_chunk"),
            (frame(session, 1, *begun(UID), epoch="1"), "bad_frame"), (frame("B" * 22, 1, *begun(UID)), "not_found"),
        ):  # fmt: skip
            answer = await socket.ask(sent)
            named = (answer["session"], answer["id"], answer["sequence"])
            assert answer["code"] == code and named == (sent["session"], UID, sent["sequence"])
        assert (await socket.ask({"type": "publish", "message": 7, "sequence": "x"})).keys() == {
            "type", "code", "message", "retryable",
        }  # fmt: skip
        assert (await socket.ask({"type": "beat", "producer": "producer"}))["code"] == "bad_frame"
        assert socket.code is None


async def test_a_heartbeat_on_a_socket_renews_the_lease(session: str) -> None:
    beat = {"type": "beat", "producer": "producer", "epoch": 2}
    async with TokenSocket(token(sub="agent:billing", scope="publish")) as socket:
        socket.send(beat)
        assert (await socket.ask({"type": "ping"}))["type"] == "heartbeat"  # nothing is said to a beat
        worker = await threads.run(Worker.objects.get, producer="agent:billing producer")
        assert (worker.epoch, worker.beats) == (2, 1)
        assert (await socket.ask(beat | {"epoch": 1}))["code"] == "fenced"
    async with TokenSocket(token(scope="read")) as socket:
        assert (await socket.ask(beat))["code"] == "forbidden_scope"


async def test_a_socket_that_publishes_too_fast_is_read_more_slowly(session: str, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"PUBLISHES_PER_SECOND": 100, "FRAMES_PER_SECOND": 1}
    async with TokenSocket(token(scope="publish")) as socket, TokenSocket(token(scope="read")) as reader:
        for each in (socket, reader):
            for _ in range(250):
                each.send({"type": "ping"})
        await socket.until(lambda: len(socket.said) == 251)
        assert socket.code is None
        assert await reader.end() == ("rate_limited", 4429)


async def test_unstored_batches_are_bounded(session: str, running: Process) -> None:
    async with TokenSocket(token(scope="publish")) as socket:
        await socket.ask(frame(session, 1, *begun(UID)))
        with running.log_writer._changed:  # the writer stands still
            for sequence in range(2, 202):
                socket.send(frame(session, sequence, delta("x")))
            async with asyncio.timeout(10):
                while running.log_writer.waiting < MAX_PUBLISHING:
                    await asyncio.sleep(0.01)
            assert socket.inbox.qsize() >= 200 - MAX_PUBLISHING - 1
        await socket.until(lambda: socket.said[-1].get("sequence") == 201)
        assert await stored(session) == ("streaming", "x" * 200)


# Halves of characters, as `JSON.stringify` writes them


async def test_a_character_in_two_batches_is_whole_over_http_and_on_a_socket(session: str) -> None:
    path, agent = f"/api/sessions/{session}/publish/", token(sub="agent:billing", scope="publish")
    assert (await post(path, batch(1, *begun(UID, "a\ud83d")), agent)).status_code == 200
    async with TokenSocket(agent) as socket:
        assert (await socket.ask(frame(session, 2, delta("\ude00\ud83c"))))["type"] == "published"
    assert (await post(path, batch(3, delta("\udf08"), finish()), agent)).status_code == 200
    assert await stored(session) == ("complete", "a😀🌈")


@pytest.mark.parametrize("name", ["session", "message", "producer", "type"])
async def test_a_half_in_a_name_is_refused_by_name(session: str, name: str) -> None:
    async with TokenSocket(token(sub="agent:billing", scope="publish")) as socket:
        refused = await socket.ask(frame(session, 1, *begun(UID, "a")) | {name: "m_\ud83d"})
        assert refused["type"] == "error" and refused["code"] in ("bad_frame", "bad_session_id", "bad_json")
        assert (await socket.ask(frame(session, 1, *begun(UID, "a"))))["type"] == "published"
