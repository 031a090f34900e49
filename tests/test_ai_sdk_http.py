"""Chats of AI SDK clients over HTTP: answers, resumed and stopped ones, other answers."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from agents_app.turn import Turn
from sessions_app import models, process
from sessions_app.database import threads
from sessions_app.diagnostics.connection_records import Ended
from sessions_app.runs import lifecycle
from sessions_app.servers.request_limits import ResponseCut
from sessions_app.transports.ai_sdk import stream as ai_sdk_stream
from tests.support.chat import ONE, TWO, Held, Speaker, Stream, body, chat, messages, parrot, post, send, stored, user
from tests.support.harness import until
from tests.support.requests import Browser, limit, new_session, refusal_of, running
from tests.support.stored import a_message

__all__ = ["chat", "limit", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


# Answers


@pytest.mark.parametrize("slash", ["/", ""])
async def test_a_message_is_answered_by_a_stream(chat: Any, slash: str) -> None:
    session = await chat(parrot)
    response = await post(body(session, user(ONE, "Hi")), slash=slash)
    names = ("content-type", "cache-control", "connection", "x-vercel-ai-ui-message-stream", "x-accel-buffering")
    assert [response[name] for name in names] == ["text/event-stream", "no-cache", "keep-alive", "v1", "no"]
    answer = Stream(response)
    assert (await answer.all())[0]["type"] == "start" and answer.types[-1] == "finish"
    assert answer.text == "Hi" and answer.message is not None
    message = await stored(session, answer.held["id"])
    assert message.parts == answer.message.parts and message.status == answer.message.status == "complete"
    assert await messages(session) == [("user", ONE), ("assistant", answer.held["id"])]
    assert all(int(id.rpartition("-")[2]) for id in answer.ids) and answer.ids  # cursors


async def test_a_stream_that_is_over_was_not_left(chat: Any, running: process.Process) -> None:
    session = await chat(parrot)
    await send(body(session, user(ONE)))
    left = Stream(await post(body(session, user(TWO))))
    await left.until("start")
    ends = [each.end.ended for each in running.connection_recorder._waiting]
    assert ends == [Ended.BY_SERVER, Ended.LEFT]  # what cuts connections is told by the others


async def test_a_repeated_message_joins_its_answer(chat: Any) -> None:
    agent = Held()
    session = await chat(agent)
    first = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: agent.starts)
    second = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: len(process.started().connections) == 2)  # type: ignore[union-attr]
    agent.go_on.set()
    answers = await asyncio.gather(first, second)
    third = await send(body(session, user(ONE)))
    assert {answer.text for answer in (*answers, third)} == {"first second"}
    assert len({answer.held["id"] for answer in (*answers, third)}) == 1 and agent.starts == 1


async def test_a_message_whose_signal_was_removed_joins_its_answer(chat: Any) -> None:
    session = await chat(parrot)
    answer = await send(body(session, user(ONE)))
    await threads.run(models.Signal.objects.filter(session=session).delete)
    assert (await send(body(session, user(ONE)))).held == answer.held


async def test_a_session_without_an_agent_has_an_empty_stream() -> None:
    session = await new_session()
    stream = Stream(await post(body(session, user(ONE))))
    assert await stream.all() == []
    assert await messages(session) == [("user", ONE)]


async def test_a_failed_answer_ends_in_an_error(chat: Any) -> None:
    async def fails(turn: Turn) -> None:
        await turn.text("so far")
        raise RuntimeError("a bug")

    answer = await send(body(await chat(fails), user(ONE)))
    assert answer.types[-1] == "error" and answer.text == "so far"


async def test_the_metadata_of_a_message_is_kept(chat: Any) -> None:
    session = await chat(parrot)
    await send(body(session, user(ONE, metadata={"sent": "by phone"})))
    assert (await stored(session, ONE)).metadata == {"sent": "by phone"}


async def test_metadata_and_the_finish_reason_of_an_answer_are_told_live_and_later(chat: Any) -> None:
    go_on = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("first ")
        await turn.metadata({"model": "m-1", "usage": {"input": 3}})
        await turn.text("second")
        await go_on.wait()
        await turn.metadata({"usage": {"output": 4}})
        turn.finish_reason = "length"

    session = await chat(agent)
    live = Stream(await post(body(session, user(ONE))))
    reading = asyncio.create_task(live.all())
    await until(lambda: "second" in live.text if live.message else False)
    again = Stream(await Browser().get(f"/api/chat/{session}/stream/"))
    resuming = asyncio.create_task(again.all())
    await until(lambda: "text-delta" in again.types)
    go_on.set()
    await asyncio.gather(reading, resuming)
    late = await send(body(session, user(ONE)))
    message = await stored(session, live.held["id"])
    assert message.metadata == {"model": "m-1", "usage": {"input": 3, "output": 4}} and message.reason == "length"
    for stream in (live, again, late):
        assert stream.message is not None and stream.message.metadata == message.metadata
        assert stream.chunks[-1] == {"type": "finish", "finishReason": "length"}
        assert stream.message.parts == message.parts and stream.types.count("text-start") == 1


async def test_metadata_of_a_start_and_of_a_finish_is_told_in_these_chunks(running: process.Process) -> None:
    session = await new_session()
    response = running.writers.unprompted(session, agent="test")
    await response.write({"type": "start", "messageId": response.uid, "messageMetadata": {"model": "m-1"}})
    await response.flush()
    live = Stream(await Browser().get(f"/api/chat/{session}/stream/"))
    reading = asyncio.create_task(live.all())
    await until(lambda: live.chunks)
    end: Any = {"type": "finish", "finishReason": "other", "messageMetadata": {"tokens": 7}}
    await response.write(end)
    await response.flush()
    await reading
    assert live.chunks[-1] == end and live.message is not None
    assert live.message.metadata == (await stored(session, response.uid)).metadata == {"model": "m-1", "tokens": 7}


# Leaving and coming back


async def test_nothing_is_under_way_in_a_chat_at_rest(chat: Any) -> None:
    session = await chat(parrot)
    for slash in ("/", ""):
        assert (await Browser().get(f"/api/chat/{session}/stream{slash}")).status_code == 204
    await send(body(session, user(ONE)))
    assert (await Browser().get(f"/api/chat/{session}/stream")).status_code == 204


async def test_a_cut_stream_is_resumed_whole_with_the_same_id(chat: Any, running: process.Process) -> None:
    agent = Held()
    session = await chat(agent)
    cut = Stream(await post(body(session, user(ONE))))
    await cut.until("text-delta")
    await until(lambda: not running.connections)
    again = Stream(await Browser().get(f"/api/chat/{session}/stream/"))
    reading = asyncio.create_task(again.all())
    await until(lambda: "text-delta" in again.types)
    agent.go_on.set()
    await reading
    assert again.chunks[0]["type"] == "start" and again.chunks[0]["messageId"] == cut.held["id"]
    assert again.text == "first second" and again.types[-1] == "finish"
    assert cut.text == "first " and agent.starts == 1  # leaving stopped nothing


async def test_a_waiting_message_is_followed_from_its_beginning(chat: Any) -> None:
    agent = Held()
    session = await chat(agent)
    first = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: agent.starts)
    second = asyncio.create_task(send(body(session, user(ONE), user(TWO))))
    await until(lambda: len(process.started().connections) == 2)  # type: ignore[union-attr]
    agent.go_on.set()
    one, two = await asyncio.gather(first, second)
    assert one.held["id"] != two.held["id"] and one.text == two.text == "first second"


async def test_a_stop_ends_the_answer_for_all(chat: Any) -> None:
    agent = Held()
    session = await chat(agent)
    reading = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: agent.starts)
    for slash in ("", "/"):
        response = await Browser().post(f"/api/chat/{session}/stop{slash}", {})
        assert (response.status_code, response.content) == (204, b"")
    answer = await reading
    assert answer.types[-1] == "abort" and answer.message is not None and answer.message.status == "cancelled"


async def test_an_interrupted_answer_finishes_as_interrupted(chat: Any, running: process.Process) -> None:
    agent = Held()
    session = await chat(agent)
    reading = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: agent.starts)
    run = await threads.run(models.Run.objects.get, session=session)
    await running.log_writer.change(session, lifecycle.interrupt, run.pk, "The machine burns.")
    answer = await reading
    assert answer.chunks[-1] == {"type": "finish", "finishReason": "interrupted", "reason": "The machine burns."}


async def test_a_stopping_server_breaks_a_stream_off(chat: Any, running: process.Process) -> None:
    """A lost network, and nothing else, lets useChat resume by itself."""
    agent = Held()
    session = await chat(agent)
    answer = Stream(await post(body(session, user(ONE))))
    reading = asyncio.create_task(answer.all())
    await until(lambda: "text-delta" in answer.types)
    running.connections.send_all_away()
    with pytest.raises(ResponseCut):
        await reading
    assert answer.types[-1] == "text-delta" and not answer.is_done
    assert refusal_of(await post(body(session, user(TWO)))) == (503, "going_away")


async def test_comments_keep_a_silent_stream_alive(chat: Any, limit: Any) -> None:
    limit(HEARTBEAT_MS=100)
    session = await chat(Held())
    pieces = (await post(body(session, user(ONE))))._body
    async for piece in pieces:
        if ai_sdk_stream.KEEP_ALIVE.encode() in piece:
            break
    await pieces.aclose()


async def test_a_client_that_does_not_read_gets_the_state_when_it_does(chat: Any, limit: Any) -> None:
    limit(WINDOW_BYTES=2048)
    speaker = Speaker()
    session = await chat(speaker)
    stream = Stream(await post(body(session, user(ONE))))
    pieces = stream.response._body
    await anext(pieces)  # it reads the beginning, and then nothing
    reading = asyncio.create_task(anext(pieces))
    await until(speaker.written.is_set)
    first = await reading

    async def rest() -> Any:
        yield first
        async for piece in pieces:
            yield piece

    stream.response._body = rest()
    await stream.all()
    assert stream.text == speaker.text
    assert len(stream.chunks) < len(speaker.words)


async def test_a_client_that_never_reads_is_left_behind(chat: Any, limit: Any, running: process.Process) -> None:
    limit(WINDOW_BYTES=2048, SLOW_READER_MS=100)

    async def speaker(turn: Turn) -> None:
        for _ in range(400):
            await turn.text("a few words " * 10)
            await turn.flush()

    session = await chat(speaker)
    stream = Stream(await post(body(session, user(ONE))))

    async def serve() -> None:  # as a server does whose client takes the head, and then nothing
        async with aclosing(stream.response._body) as pieces:
            await anext(pieces)
            async for _ in pieces:
                await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    most = 0

    def is_over() -> bool:
        nonlocal most
        most = max([most, *(sum(map(len, connection._queue)) for connection in running.connections)])
        return serving.done() and not running.connections

    await until(is_over)
    assert most < 100_000 and serving.cancelled()
    [(_, _), (_, answer)] = await messages(session)
    assert (await send(body(session, user(ONE)))).held["id"] == answer  # its agent has gone on


# Other answers


async def test_a_regenerated_answer_replaces_the_first(chat: Any) -> None:
    counts: list[int] = []

    async def counting(turn: Turn) -> None:
        counts.append(1)
        await turn.text(f"answer {len(counts)}")

    session = await chat(counting)
    first = await send(body(session, user(ONE)))
    second = await send(body(session, user(ONE), trigger="regenerate-message"))
    third = await send(body(session, user(ONE), trigger="regenerate-message", messageId=second.held["id"]))
    again = await send(body(session, user(ONE), trigger="regenerate-message", messageId=second.held["id"]))
    assert [each.text for each in (first, second, third, again)] == ["answer 1", "answer 2", "answer 3", "answer 3"]
    assert (await stored(session, first.held["id"])).replaced_by == second.held["id"]
    assert (await send(body(session, user(ONE)))).text == "answer 3"  # what takes its place answers the message


async def test_a_request_for_another_answer_joins_the_one_under_way(chat: Any) -> None:
    agent = Held()
    session = await chat(agent)
    first = asyncio.create_task(send(body(session, user(ONE))))
    await until(lambda: agent.starts)
    second = asyncio.create_task(send(body(session, user(ONE), trigger="regenerate-message")))
    await until(lambda: len(process.started().connections) == 2)  # type: ignore[union-attr]
    agent.go_on.set()
    one, two = await asyncio.gather(first, second)
    assert one.held == two.held and agent.starts == 1


@pytest.mark.parametrize("named", [{}, {"messageId": ONE}])
async def test_regenerating_sends_a_message_that_was_lost_on_its_way(
    chat: Any, limit: Any, named: dict[str, str]
) -> None:
    session = await chat(parrot)
    request = body(session, user(TWO, "earlier"), user(ONE, "Hi"), trigger="regenerate-message", **named)
    answer = await send(request)
    assert answer.text == "Hi"
    assert await messages(session) == [("user", ONE), ("assistant", answer.held["id"])]
    browser = Browser()
    limit(DEFAULT_AGENT="")
    assert (await send({**request, "id": "a-new-chat"}, browser=browser)).types == []
    assert len((await browser.get("/api/sessions/?external_id=a-new-chat")).json()["results"]) == 1


async def test_nothing_can_be_regenerated_where_nothing_was_said() -> None:
    session = await new_session()
    answer = {"id": "m_none", "role": "assistant", "parts": []}
    for request in (
        body(session, trigger="regenerate-message"),
        body(session, answer, trigger="regenerate-message"),
        body(session, user(ONE), trigger="regenerate-message", messageId="m_none"),
        body(session, user(""), trigger="regenerate-message"),
        body("never-begun", answer, trigger="regenerate-message"),
    ):
        expected = (404, "not_found") if request["id"] == "never-begun" else (409, "not_retryable")
        assert refusal_of(await post(request)) == expected
    await threads.run(lambda: a_message(models.Session.objects.get(pk=session), uid=ONE))
    assert refusal_of(await post(body(session, user(ONE), trigger="regenerate-message"))) == (409, "not_retryable")
