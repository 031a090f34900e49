"""Responses written by an agent: first token at once, then rolled up; ended despite refusals and outages."""

import asyncio
from typing import Any

import pytest

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.publishing import response_writer
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.retention import purge
from sessions_app.runs import lifecycle
from tests.support.harness import DEADLINE_S
from tests.support.responses import ERROR, begin, deltas, message_of, respond, session, text_of, write
from tests.support.writer import Writer, delta, finish, start, text_end, text_start, writer

__all__ = ["session", "writer"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("starts", [True, False], ids=["of its own", "of a run that waited"])
def test_flushed_chunks_are_stored(writer: Writer, session: models.Session, starts: bool) -> None:
    response = respond(writer, session, starts=starts)

    async def agent() -> None:
        await begin(response)
        await write(response, delta("Hello"), delta(" world"), finish())
        await response.flush()

    writer.run(agent())
    assert (text_of(response), message_of(response).status) == ("Hello world", "complete")
    assert models.Run.objects.get().status == "ended"


def test_the_first_token_is_sent_at_once_and_later_ones_are_joined(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session, window_ms=500)

    async def agent() -> None:
        await begin(response)
        await response.write(delta("first"))
        while response.serial < 3:  # committed long before the window ends
            await asyncio.sleep(0.005)
        began = asyncio.get_running_loop().time()
        for number in range(10):
            await response.write(delta(f" {number}"))
        while response.serial < 4:
            await asyncio.sleep(0.005)
        assert asyncio.get_running_loop().time() - began > 0.4

    writer.run(agent())
    assert deltas(writer)[-2:] == [["first"], [" 0 1 2 3 4 5 6 7 8 9"]]


def test_without_a_window_every_token_is_sent_at_once(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session, window_ms=0)

    async def agent() -> None:
        await begin(response)
        for number in range(3):
            await response.write(delta(str(number)))
            while response.serial < 3 + number:
                await asyncio.sleep(0.005)

    writer.run(agent())
    assert deltas(writer)[1:] == [["0"], ["1"], ["2"]]


def test_an_end_is_sent_at_once(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session, window_ms=600_000)  # longer than the test may take

    async def agent() -> None:
        await begin(response)
        await write(response, delta("first"))
        await response.flush()
        await write(response, delta(" last"), finish())
        await response._writer._wait(lambda: not response._writer._in_flight and not response._writer._rollup)

    writer.run(agent())
    assert text_of(response) == "first last"


def test_a_fast_writer_waits_for_the_database(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        for _ in range(200):
            await response.write(delta("x" * 10_000))
            assert response._writer._rollup.size < response_writer.BUFFER_BYTES + 20_000
        await response.flush()

    writer.run(agent())
    assert len(text_of(response)) == 2_000_000


# What is refused


def test_a_malformed_chunk_raises_where_it_is_written(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        with pytest.raises(HoldfastError, match="bad_chunk"):
            await response.write({"type": "text-delta", "id": "t"})
        with pytest.raises(HoldfastError, match="unknown_chunk"):
            await response.write({"type": "no-such-type"})
        await write(response, delta("and on"), finish())
        await response.flush()

    writer.run(agent())
    assert (text_of(response), message_of(response).status) == ("and on", "complete")


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "with its beginning"])
def test_an_answer_with_a_refused_chunk_keeps_its_earlier_text_and_can_be_ended(
    writer: Writer, session: models.Session, begun: bool
) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        if begun:
            await begin(response)
        else:
            await write(response, start(response.uid), text_start())
        await write(response, delta("before"), delta("lost", part="unknown"), delta(" after"))
        with pytest.raises(HoldfastError, match="unknown_part"):
            await response.flush()
        with pytest.raises(HoldfastError, match="unknown_part"):
            await response.write(delta(" after"))
        await response.close(ERROR)

    writer.run(agent())
    message = message_of(response)
    assert (text_of(response), message.status, message.reason) == ("before", "failed", "It failed.")
    assert models.Run.objects.get().status == "ended"


def test_an_end_refused_along_with_earlier_chunks_ends_nothing(
    writer: Writer, session: models.Session, settings: Any
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"RESPONSE_BYTES": 4096}
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        await write(response, delta("so far"), text_end(), text_start("long"), delta("x" * 5000, "long"), finish())
        with pytest.raises(HoldfastError, match="response_too_large"):
            await response.flush()
        await response.close(ERROR)

    writer.run(agent())
    assert (text_of(response), message_of(response).status) == ("so far", "failed")
    assert models.Run.objects.get().status == "ended"


def too_long(response: LocalWriter) -> Any:
    return response.write({"type": "tool-output-available", "toolCallId": "c", "output": "y" * 70_000})


@pytest.mark.parametrize(
    "refused",
    [
        too_long,
        lambda response: response.write({"type": "tool-output-available", "toolCallId": "c", "output": "\ud83d"}),
        lambda response: response.write(delta(7)),
        lambda response: response.write({"type": "data-x", "data": b"bytes"}),
        lambda response: response.write({"type": "data-x", "data": float("nan")}),
        lambda response: response.write({"type": "data-x", "data": {1: 2}}),
    ],
    ids=["a long output", "half a surrogate pair", "no text", "bytes", "no number", "no key"],
)
def test_a_chunk_refused_at_once_leaves_waiting_chunks_to_be_ended(
    writer: Writer, session: models.Session, refused: Any
) -> None:
    response = respond(writer, session, window_ms=600_000)  # nothing is stored by itself

    async def agent() -> None:
        await begin(response)
        await write(response, delta("be"))
        await response.flush()
        await write(response, delta("fore"))
        with pytest.raises(HoldfastError, match="bad_chunk"):
            await refused(response)
        await response.close(ERROR)

    writer.run(agent())
    message = message_of(response)
    assert (text_of(response), message.status, message.reason) == ("before", "failed", "It failed.")


def test_a_refused_waiting_chunk_does_not_keep_an_answer_open(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        await write(response, delta("before"), delta("lost", part="unknown"), delta(" after"))
        await response.close(ERROR)

    writer.run(agent())
    message = message_of(response)
    assert (text_of(response), message.status, message.reason) == ("before", "failed", "It failed.")
    assert models.Run.objects.get().status == "ended"


def test_an_answer_goes_on_after_an_output_that_was_refused(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        await write(response, delta("before"))
        with pytest.raises(HoldfastError, match=r"has 700\d\d bytes of at most 65536"):
            await too_long(response)
        await write(response, delta(" and after"), finish())
        await response.flush()

    writer.run(agent())
    assert (text_of(response), message_of(response).status) == ("before and after", "complete")


def test_any_length_and_any_pieces_of_text_are_stored_whole(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)
    long = "ä€😀" * 100_000

    async def agent() -> None:
        await begin(response)
        await write(response, delta("\ud83d"), delta("\ude00 "), delta(long), delta("\ud83d"), finish())
        await response.flush()

    writer.run(agent())
    assert text_of(response) == f"😀 {long}\ufffd"


@pytest.mark.parametrize(
    ("words", "told"),
    [("No \ud83d", "No \ufffd"), ("w" * 70_000, response_writer.UNTOLD["errorText"])],
    ids=["half", "long"],
)
def test_text_that_cannot_be_stored_does_not_keep_an_answer_open(
    writer: Writer, session: models.Session, words: str, told: str
) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        await response.close({"type": "error", "errorText": words})

    writer.run(agent())
    message = message_of(response)
    assert (message.status, message.reason) == ("failed", told)


def test_a_chunks_side_effect_happens_when_the_chunk_is_sent(
    writer: Writer, session: models.Session, settings: Any
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"RESPONSE_BYTES": 4096}
    response = respond(writer, session)
    done: list[str] = []

    async def agent() -> None:
        await begin(response)
        await response.write(delta("so "))
        await response.write(delta("far"), also=lambda log: done.append("taken"))
        await response.write(text_end())
        await response.write(text_start("long"))
        await response.write(delta("x" * 5000, "long"), also=lambda log: done.append("refused"))
        with pytest.raises(HoldfastError, match="response_too_large"):
            await response.flush()

    writer.run(agent())
    assert done == ["taken"]


def test_an_answer_that_never_began_can_be_ended(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)
    writer.run(response.close(ERROR))
    assert (message_of(response).status, message_of(response).parts) == ("failed", [])


def test_nothing_is_written_after_the_end(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)

    async def agent() -> None:
        await begin(response)
        await response.write(finish())
        with pytest.raises(HoldfastError, match="message_ended"):
            await response.write(delta("more"))
        await response.close(ERROR)  # it has ended already

    writer.run(agent())
    assert message_of(response).status == "complete"


def test_a_publisher_that_lost_its_run_gets_an_error(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)
    writer.run(begin(response))
    with Writer() as other:  # of another process
        end = {"type": "interrupt", "reason": "It lost its worker."}
        other.change(session, lifecycle.end_orphan, response.run.pk, end).result(DEADLINE_S)

    async def go_on() -> None:
        await response.write(delta("too late"))
        with pytest.raises(HoldfastError, match="fenced"):
            await response.flush()
        with pytest.raises(HoldfastError, match="fenced"):
            await response.close(ERROR)

    writer.run(go_on())
    assert text_of(response) == ""


def test_a_deleted_session_ends_its_publishers(writer: Writer, session: models.Session) -> None:
    response = respond(writer, session)
    writer.run(begin(response))
    purge.delete_sessions([session.pk])

    async def go_on() -> None:
        await response.write(delta("to nobody"))
        with pytest.raises(HoldfastError, match="not_found"):
            await response.flush()

    writer.run(go_on())
