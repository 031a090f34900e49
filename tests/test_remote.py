"""The remote response writer: batches that fit into a frame, bounded memory, refusals, and the answer's end."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents_app.remote import Fenced, Publisher, RemoteAnswer, Worker
from agents_app.remote.answer import CHUNK_BYTES, REFUSE_WHOLE, RemoteResponse, batches
from agents_app.remote.publisher import problem_of
from sessions_app import conf
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import BATCH_CHUNKS
from sessions_app.core.rollup import rollup
from sessions_app.publishing.response_writer import BUFFER_BYTES, UNTOLD
from sessions_app.publishing.ticker import Ticker
from tests.support.writer import Chunk, delta, start, text_start

ROOM = 1024  # for a frame's other fields


class Site:
    """A site that records batches and leaves the answers to the test."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[Chunk]]] = []
        self.response = RemoteResponse(
            "S" * 22, "m_1", ticker=Ticker(asyncio.get_running_loop(), 0, 0), submit=self._submit
        )

    def _submit(self, response: RemoteResponse) -> None:
        self.batches.append((response.sequence, response.batch))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.batches) < count:
                await asyncio.sleep(0)

    async def serve(self, block: Coroutine[Any, Any, None], *refusals: tuple[str, str]) -> BaseException | None:
        """Run an agent, and answer its batches until it is through; return what it raised.

        Each refusal is a code and a text: a batch with that text is refused. Malformed chunks refuse it whole.
        """
        running = asyncio.create_task(block)
        self.stored: list[Chunk] = []
        answered = 0
        async with asyncio.timeout(10):
            while not running.done():
                if len(self.batches) > answered:
                    answered += 1
                    self._answer(self.batches[-1][1], refusals)
                await asyncio.sleep(0)
        return running.exception()

    def _answer(self, batch: list[Chunk], refusals: tuple[tuple[str, str], ...]) -> None:
        for position, chunk in enumerate(batch):
            for code, text in refusals:
                if text in json.dumps(chunk):
                    self.stored += [] if code in REFUSE_WHOLE else batch[:position]
                    self.response.refuse(HoldfastError(code))
                    return
        self.stored += batch
        self.response.take(len(self.stored))


def repr_of(value: object) -> str:
    return ascii(value)[:12]


texts = st.text(max_size=200) | st.sampled_from(["\x00" * 20_000, "😀" * 20_000, '"' * 70_000, "x" * 300_000])
chunks = st.lists(texts.map(delta) | st.just(text_start()) | texts.map(lambda text: delta(text, "other")), max_size=30)


@given(chunks)
def test_batches_fit_into_a_frame_and_keep_the_content(given_: list[Chunk]) -> None:
    made = list(batches(given_))
    for batch in made:
        assert 0 < len(batch) <= BATCH_CHUNKS
        assert (
            len(json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode())
            <= conf.settings.frame_bytes - ROOM
        )
    assert rollup(chunk for batch in made for chunk in batch) == rollup(given_)


async def test_one_batch_is_in_flight_and_the_next_holds_everything_written_meanwhile() -> None:
    site = Site()
    await site.response.write(start("m_1"))
    await site.until(1)
    for word in ("a", "b", "c"):
        await site.response.write(delta(word))
    site.response.take(1)
    await site.until(2)
    assert site.batches == [(1, [start("m_1")]), (2, [delta("abc")])]


async def test_a_large_batch_is_divided_into_numbered_batches() -> None:
    site = Site()
    text = "x" * 50_000
    for _ in range(4):
        await site.response.write(delta(text))
    for number in range(1, 6):
        await site.until(number)
        site.response.take(number)
    assert [sequence for sequence, _ in site.batches] == [1, 2, 3, 4, 5]
    assert "".join(chunk["delta"] for _, batch in site.batches for chunk in batch) == 4 * text
    await site.response.flush()


async def test_unstored_text_is_bounded_and_writers_wait() -> None:
    site = Site()
    await site.response.write(start("m_1"))
    await site.until(1)
    writing = asyncio.create_task(write_much(site.response))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while site.response._writer._rollup.size < BUFFER_BYTES:
            await asyncio.sleep(0)
    assert not writing.done() and site.response._writer._rollup.size < BUFFER_BYTES + 60_000
    answered = 0
    async with asyncio.timeout(10):
        while not writing.done():
            if len(site.batches) > answered:
                answered += 1
                site.response.take(answered)
            await asyncio.sleep(0)


async def write_much(response: RemoteResponse) -> None:
    for _ in range(20):
        await response.write(delta("x" * 50_000))


async def test_a_chunk_too_large_for_a_frame_is_refused_at_once() -> None:
    site = Site()
    output = {"type": "tool-output-available", "toolCallId": "c", "output": "\n" * (CHUNK_BYTES // 2)}
    with pytest.raises(HoldfastError, match="bad_chunk"):
        await site.response.write(output)


async def test_a_refusal_is_raised_at_the_next_write() -> None:
    site = Site()
    await site.response.write(start("m_1"))
    await site.until(1)
    await site.response.write(delta("a"))
    site.response.refuse(Fenced("fenced"))
    with pytest.raises(Fenced):
        await site.response.write(delta("b"))
    assert len(site.batches) == 1


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, {"type": "finish", "finishReason": "stop"}),
        (RuntimeError("boom"), {"type": "error", "errorText": "The agent failed."}),
        (asyncio.CancelledError(), {"type": "interrupt", "reason": "The agent was stopped before it finished."}),
    ],
)
async def test_an_answer_ends_with_its_block(error: BaseException | None, end: Chunk) -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("a")
            if error:
                raise error

    running = asyncio.create_task(block())
    answered: Any = 0
    async with asyncio.timeout(10):
        while not running.done():
            if len(site.batches) > answered:
                answered += 1
                site.response.take(answered)
            await asyncio.sleep(0)
    assert site.batches[-1][1][-1] == end
    assert running.cancelled() if isinstance(error, asyncio.CancelledError) else running.exception() is error


async def test_metadata_and_the_finish_reason_are_sent_and_cut_no_text() -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("a")
            await answer.metadata({"model": "m-1"})
            await answer.text("b")
            with pytest.raises(ValueError, match="a finish reason is one of stop, length, "):
                answer.finish_reason = "done"
            answer.finish_reason = "content-filter"

    running = asyncio.create_task(block())
    answered = 0
    async with asyncio.timeout(10):
        while not running.done():
            if len(site.batches) > answered:
                answered += 1
                site.response.take(answered)
            await asyncio.sleep(0)
    chunks = [chunk for _, batch in site.batches for chunk in batch]
    assert [chunk["type"] for chunk in chunks].count("text-start") == 1 and text_in(chunks) == "ab"
    assert {"type": "message-metadata", "messageMetadata": {"model": "m-1"}} in chunks
    assert chunks[-1] == {"type": "finish", "finishReason": "content-filter"}


# A refused chunk


def text_in(chunks: list[Chunk]) -> str:
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


@pytest.mark.parametrize("output", ["y" * (CHUNK_BYTES + 1), "\ud83d", float("nan"), {1: 2}], ids=repr_of)
async def test_a_chunk_refused_at_once_ends_the_answer_and_keeps_what_came_before(output: Any) -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("before")
            call = await answer.tool("read", {})
            await call.output(output)

    problem = await site.serve(block())
    assert isinstance(problem, HoldfastError) and problem.code == "bad_chunk"
    assert text_in(site.stored) == "before"
    assert site.stored[-1] == {"type": "error", "errorText": problem.message}


@pytest.mark.parametrize("text", [7, None, b"text"], ids=repr_of)
async def test_a_refused_text_ends_the_answer_and_keeps_what_came_before(text: Any) -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("before")
            await answer.text(text)

    assert isinstance(await site.serve(block()), HoldfastError)
    assert (text_in(site.stored), site.stored[-1]["type"]) == ("before", "error")


async def test_any_length_and_any_pieces_of_text_are_sent_whole() -> None:
    site = Site()
    long = "z" * 80_000 + "👩‍👩‍👧" * 20_000

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            for text in (long, "\ud83d", "\ude00", "\ud83d"):
                await answer.text(text)

    assert await site.serve(block()) is None
    assert text_in(site.stored) == f"{long}😀\ufffd"
    assert all(not chunk.get("delta", "").startswith("\u200d") for chunk in site.stored)


async def test_an_answer_goes_on_after_an_output_that_was_refused() -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            call = await answer.tool("read_log", {})
            for output in ("y" * 70_000, float("nan"), {1: 2}, "\ud83d"):
                with pytest.raises(HoldfastError, match="bad_chunk"):
                    await call.output(output)
            await call.error("too much")
            with pytest.raises(HoldfastError, match="it has failed"):
                await call.output("late")
            await answer.text("after")

    assert await site.serve(block()) is None
    assert (text_in(site.stored), site.stored[-1]["type"]) == ("after", "finish")
    assert [chunk["type"] for chunk in site.stored if "output" in chunk["type"]] == ["tool-output-error"]


@pytest.mark.parametrize("code", ["unknown_part", "response_too_large", "bad_chunk", "unknown_chunk"])
@pytest.mark.parametrize("error", [None, RuntimeError("boom")])
async def test_a_chunk_that_the_site_refuses_ends_the_answer(code: str, error: Exception | None) -> None:
    """Also if it waits for the end of the block, whether that fails or not."""
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("before ")
            await answer.flush()
            await answer.text("it")
            await answer.data("wrong", 1)
            await answer.text(" after")
            if error:
                raise error

    problem = await site.serve(block(), (code, "data-wrong"))
    assert problem is error or (isinstance(problem, HoldfastError) and problem.code == code)
    assert text_in(site.stored) == "before it"
    assert site.stored[-1] == {"type": "error", "errorText": "The agent failed." if error else problem.message}  # type: ignore[union-attr]


async def test_a_batch_that_is_refused_whole_does_not_count() -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.data("fine", 1)
            await answer.data("wrong", 1)

    await site.serve(block(), ("unknown_chunk", "data-wrong"))
    counted = [number for number, batch in site.batches if "data-wrong" not in json.dumps(batch)]
    assert counted == list(range(1, len(counted) + 1))
    assert [chunk["type"] for chunk in site.stored] == ["start", "start-step", "data-fine", "error"]


async def test_text_that_cannot_be_stored_does_not_keep_an_answer_open() -> None:
    site = Site()

    async def agent() -> None:
        await site.response.close({"type": "error", "errorText": "w" * 70_000})

    assert await site.serve(agent()) is None
    assert site.stored[-1] == UNTOLD


async def test_an_answer_ended_by_another_is_left_alone() -> None:
    site = Site()

    async def block() -> None:
        async with RemoteAnswer(site.response) as answer:
            await answer.text("zombie")
            await answer.flush()

    problem = await site.serve(block(), ("fenced", "start"))
    assert isinstance(problem, HoldfastError) and problem.code == "fenced"
    assert len(site.batches) == 1


@pytest.mark.parametrize("name", ["bench", "a b c d e f", "x" * 65])
def test_a_name_that_sites_refuse_is_refused_at_its_line(name: str) -> None:
    with pytest.raises(ValueError, match="8 to 64 of A-Z"):
        Publisher("http://site", token="t", producer=name)
    with pytest.raises(ValueError, match="8 to 64 of A-Z"):
        Worker("http://site", token="t", name=name, agents=["demo"])


def test_a_traceback_shows_what_the_site_said() -> None:
    problem = problem_of({"type": "error", "code": "bad_frame", "message": "`epoch` is a whole number"})
    assert "`epoch` is a whole number" in str(problem)
