"""Chats of AI SDK clients over WebSocket: the vendor's frames, many requests on one socket, and its end."""

import asyncio
import json
from typing import Any

import pytest

from agents_app.turn import Turn
from sessions_app import models, process
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from tests.support.chat import ONE, TWO, Held, Speaker, body, chat, messages, parrot, stored, user
from tests.support.chat_socket import ChatSocket, Request
from tests.support.harness import until
from tests.support.requests import limit, new_session, running

__all__ = ["chat", "limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


async def asks(turn: Turn) -> None:
    await turn.text("May I? ")
    call = await turn.tool("send_mail", {"to": "ann@example.com"})
    decision = await call.approval("It leaves the house.")
    await turn.text("Done." if decision.approved else "No.")


# Requests


async def test_a_message_is_answered_by_numbered_chunks(chat: Any) -> None:
    session = await chat(parrot)
    async with ChatSocket() as socket:
        request = socket.send(body(session, user(ONE, "Hi")))
        assert (await request.all())[0]["type"] == "start" and request.types[-1] == "finish"
        answer = request.message()
    message = await stored(session, answer.held["id"])
    assert message.parts == answer.message.parts and message.status == "complete"  # type: ignore[union-attr]
    assert await messages(session) == [("user", ONE), ("assistant", answer.held["id"])]


async def test_a_first_message_begins_a_chat_with_the_clients_id_and_agent(chat: Any, limit: Any) -> None:
    await chat(parrot)
    limit(AGENTS=("test",), DEFAULT_AGENT="")
    async with ChatSocket() as socket:
        await socket.send(body("aB3dE6gH9jK2mN5p", user(ONE), agent="test")).all()
        assert await socket.send(body("another-chat", user(TWO), agent="other"), "r2").code() == "invalid"
    session = await threads.run(models.Session.objects.get, external_id="aB3dE6gH9jK2mN5p")
    assert session.agent == "test"


async def test_a_chat_without_an_agent_has_an_empty_answer() -> None:
    async with ChatSocket() as socket:
        assert await socket.send(body(await new_session(), user(ONE))).all() == []


async def test_nothing_is_under_way_in_a_chat_at_rest(chat: Any) -> None:
    session = await chat(parrot)
    async with ChatSocket() as socket:
        for chat_id in (session, "not-begun", await new_session("guest:2")):
            request = socket.resume(chat_id)
            await socket.until(lambda: request.end == "no-active")  # noqa: B023


async def test_a_cut_answer_is_resumed_whole_on_another_socket(chat: Any, running: process.Process) -> None:
    agent = Held()
    session = await chat(agent)
    async with ChatSocket() as socket:
        cut = socket.send(body(session, user(ONE)))
        await cut.until("text-delta")
        begun = cut.message().held
    await until(lambda: not running.connections)
    async with ChatSocket() as socket:
        again = socket.resume(session)
        await again.until("text-delta")
        agent.go_on.set()
        await again.all()
    assert again.message().held["id"] == begun["id"] and again.message().text == "first second"
    assert agent.starts == 1  # the closed socket has stopped nothing


async def test_an_abort_stops_nothing_but_its_stream(chat: Any, running: process.Process) -> None:
    agent = Held()
    session = await chat(agent)
    async with ChatSocket() as socket:
        aborted = socket.send(body(session, user(ONE)))
        other = socket.resume(session, "r2")
        await other.until("text-delta")
        socket.abort()
        [connection] = running.connections
        alone = socket.resume(session, "r3")  # handled after the abort
        await alone.until("text-delta")
        told = len(aborted.frames)
        agent.go_on.set()
        await asyncio.gather(other.all(), alone.all())
        assert len(aborted.frames) == told and other.message().text == "first second"
        await until(lambda: not connection._followed)


async def test_a_decision_continues_the_answer(chat: Any) -> None:
    session = await chat(asks)
    async with ChatSocket() as socket:
        asked = socket.send(body(session, user(ONE)))
        await asked.all()
        message = asked.message().held
        for part in message["parts"]:
            if part.get("state") == "approval-requested":
                part["state"] = "approval-responded"
                part["approval"] |= {"approved": True}
        on = socket.send(body(session, user(ONE), message, messageId=message["id"]), "r2")
        await on.all()
    assert on.chunks[0] == {"type": "start", "messageId": message["id"]}
    assert on.message(message).text == "May I? Done."


async def test_requests_of_one_socket_are_told_apart(chat: Any) -> None:
    agent = Held()
    session = await chat(agent)
    other = await new_session(agent="test")
    async with ChatSocket() as socket:
        requests = [socket.send(body(session, user(ONE))), socket.send(body(other, user(TWO)), "r2")]
        requests += [socket.send(body(session, user(ONE)), "r3"), socket.send(body("x" * 200, user(ONE)), "r4")]
        assert await requests.pop().code() == "bad_session_id"
        for request in requests:
            await request.until("text-delta")
        agent.go_on.set()
        for request in requests:
            await request.all()
            assert request.message().text == "first second"
    assert requests[0].message().held["id"] == requests[2].message().held["id"] != requests[1].message().held["id"]


# The end of a socket


async def test_a_stopping_server_leaves_requests_to_the_sockets_end(chat: Any, running: process.Process) -> None:
    """A lost network, and nothing else, lets useChat resume by itself."""
    session = await chat(Held())
    async with ChatSocket() as socket:
        request = socket.send(body(session, user(ONE)))
        await request.until("text-delta")
        running.connections.send_all_away()
        await running.connections.close_sockets(0)
        await socket.until(lambda: socket.code)
    assert socket.code == 1012 and not request.end and "error" not in request.types


@pytest.mark.parametrize("code", ["signed_out", "token_expired"])
async def test_who_has_lost_access_is_told_in_each_request(chat: Any, running: process.Process, code: str) -> None:
    session = await chat(Held())
    async with ChatSocket() as socket:
        requests = [socket.send(body(session, user(ONE))), socket.resume(session, "r2")]
        await requests[1].until("text-delta")
        [connection] = running.connections
        await connection.fail(HoldfastError(code))
        await socket.until(lambda: socket.code)
    for request in requests:
        assert request.end == "error" and json.loads(request.frames[-1]["errorText"])["code"] == code
    assert socket.code == 4401


async def test_a_deleted_session_ends_its_requests_only(chat: Any, running: process.Process) -> None:
    agent = Held()
    session, other = await chat(agent), await new_session(agent="test")
    async with ChatSocket() as socket:
        lost, kept = socket.send(body(session, user(ONE))), socket.send(body(other, user(TWO)), "r2")
        await lost.until("text-delta")
        await kept.until("text-delta")
        [connection] = running.connections
        connection._followed[session].end(HoldfastError("not_found"))
        await lost.all()
        assert lost.types[-1] == "error"
        agent.go_on.set()
        await kept.all()


async def test_a_client_that_does_not_read_gets_the_state_when_it_does(chat: Any, limit: Any) -> None:
    limit(WINDOW_BYTES=2048)
    speaker = Speaker()
    session = await chat(speaker)
    async with ChatSocket() as socket:
        request = socket.send(body(session, user(ONE)))
        await request.until("start")
        socket.reads.clear()
        await until(speaker.written.is_set)
        socket.reads.set()
        await request.all()
    assert request.message().text == speaker.text and len(request.chunks) < len(speaker.words)


async def test_a_client_that_never_reads_is_left_behind(chat: Any, limit: Any, running: process.Process) -> None:
    limit(WINDOW_BYTES=2048, SLOW_READER_MS=100)

    async def speaker(turn: Turn) -> None:
        for _ in range(400):
            await turn.text("a few words " * 10)
            await turn.flush()

    session = await chat(speaker)
    socket = await ChatSocket().__aenter__()
    request = socket.send(body(session, user(ONE)))
    await request.until("start")
    [connection] = running.connections
    socket.reads.clear()
    most = 0

    def is_over() -> bool:
        nonlocal most
        most = max(most, sum(map(len, connection._queue)))
        return bool(socket.code)

    await until(is_over)
    assert most < 100_000 and not request.end
    await socket.__aexit__()


async def test_a_socket_counts_as_a_connection(running: process.Process, limit: Any) -> None:
    limit(CONNECTIONS_PER_OWNER=1)
    async with ChatSocket():
        async with ChatSocket() as second:
            assert await Request(second, "r1").socket.resume("any-chat").code() == "too_many_connections"
            await second.until(lambda: second.code == 4429)
    async with ChatSocket() as third:
        await third.until(lambda: third.accepted)
    ended = [each.beginning.transport for each in running.connection_recorder._waiting]
    assert ended == ["websocket", "websocket"]
