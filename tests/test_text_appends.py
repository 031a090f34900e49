"""Text is appended the short way where that is possible: nothing tells it from the way of every other chunk."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents_app.answer import Answer
from sessions_app.core.errors import HoldfastError
from sessions_app.core.vocabulary import check
from sessions_app.core.wire_types import Chunk
from sessions_app.publishing import response_writer
from sessions_app.publishing.response_writer import ResponseWriter
from sessions_app.publishing.ticker import Ticker
from tests.core.sequences import folded
from tests.support.manual_loop import ManualLoop
from tests.support.writer import delta, start

LIMIT = 1024


class Words(str):
    pass


class Response:
    """A response of a ticker of its own, written the short way or not, with a log of all that can be seen of it."""

    session, uid = "S" * 22, "m_1"

    def __init__(self, *, short: bool) -> None:
        self.loop = ManualLoop()
        self.log: list[Any] = []
        self.stored: list[Chunk] = []
        self.writer = ResponseWriter(
            self.uid,
            ticker=Ticker(cast(Any, self.loop), 40, 150, cpu=lambda: 0.0),
            check=partial(check, max_bytes=LIMIT),
            chunk_bytes=LIMIT,
            submit=self._submit,
        )
        if not short:
            cast(Any, self.writer).append = lambda kind, part, text: False
        self.append = self.writer.append
        self.write, self.flush = self.writer.write, self.writer.flush
        self.answer = Answer(self)
        self._in_flight = False
        self._tasks: list[asyncio.Task[None]] = []

    def _submit(self, writer: ResponseWriter, chunks: list[Chunk]) -> None:
        self._in_flight = True
        self.log.append((self.loop.time(), chunks))
        self.stored += chunks

    async def say(self, verb: Callable[[Answer], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(verb(self.answer)))
        await asyncio.sleep(0)
        self.note()

    async def wait(self, ms: int) -> None:
        self.loop.turn_to(self.loop.time() + ms / 1000)
        self.note()

    async def settle(self, code: str) -> None:
        """Store the batch in flight; refuse a part of it, or fail, for a `code`."""
        if self._in_flight:
            self._in_flight = False
            if code == "storage_unavailable":
                self.writer.fail(HoldfastError(code))
            else:
                self.writer.stored(self.writer.serial + 1, HoldfastError(code) if code else None)
        for _ in range(3):  # for writers who wait
            await asyncio.sleep(0)
        self.note()

    def note(self) -> None:
        ends = [(type(task.exception()), str(task.exception())) if task.done() else "waits" for task in self._tasks]
        waiting = self.writer._rollup
        self.log.append((ends, waiting.size, waiting.added, len(waiting), self.writer._due, self.writer.end))

    async def stop(self) -> list[Any]:
        """Return the log, at its end what was not submitted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return [*self.log, self.writer._rollup.take()]


Step = Callable[[Response], Coroutine[Any, Any, None]]


def said(verb: str, *arguments: Any) -> Step:
    return lambda response: response.say(lambda answer: getattr(answer, verb)(*arguments))


def waited(ms: int) -> Step:
    return lambda response: response.wait(ms)


def settled(code: str = "") -> Step:
    return lambda response: response.settle(code)


async def outcome(steps: list[Step], *, short: bool) -> list[Any]:
    response = Response(short=short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response_writer, "BUFFER_BYTES", 1500)
        patch.setattr(response_writer, "BUFFER_CHUNKS", 6)
        for step in steps:
            await step(response)
        return await response.stop()


LENGTHS = ["z" * 128, "z" * 129, "ä" * 128, "😀" * 128, "y" * 3000]  # around what one chunk takes
PIECES = ["", "word ", "é", "😀", "\ud83d", "\ude00", "x\ud83d", "\0", "👩‍👩‍👧", *LENGTHS]
TEXTS = st.sampled_from([*PIECES, Words("words")]) | st.text(max_size=5)
WRONG = st.sampled_from([7, None, b"bytes", ["list"], {"a": 1}])
IDS = ["t", "text_1", "reasoning_1", "", "é" * 200, "p" * 480, "p" * 1000, "\ud83d", Words("t"), 7, None]
DELTAS: st.SearchStrategy[Any] = st.builds(
    lambda kind, part, text, more: {"type": kind, "id": part, "delta": text} | more,
    st.sampled_from(["text-delta", "reasoning-delta", "tool-input-delta", "no-such-type"]),
    st.sampled_from(IDS),
    TEXTS | WRONG,
    st.sampled_from([{}, {}, {"providerMetadata": {"p": {"n": 1}}}, {"providerMetadata": 7}]),
)
CHUNKS = DELTAS | st.sampled_from([
    {"type": "text-start", "id": "t"}, {"type": "text-end", "id": "t"}, {"type": "data-x", "data": "z" * 500},
    {"type": "tool-input-start", "toolCallId": "c", "toolName": "look"},
    {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{"},
    {"type": "finish"}, {"type": "text-delta", "id": "t"}, None, "text", {"type": [], "id": "t", "delta": "x"},
])  # fmt: skip
STEPS = st.one_of(
    TEXTS.map(partial(said, "text")),
    TEXTS.map(partial(said, "text")),
    (TEXTS | WRONG).map(partial(said, "reasoning")),
    WRONG.map(partial(said, "text")),
    CHUNKS.map(partial(said, "write")),
    st.integers(0, 120).map(waited),
    st.just(settled()),
    st.sampled_from(["unknown_part", "fenced", "storage_unavailable"]).map(settled),
)
BEGUN = [said("text", "first"), waited(1), settled()]


@given(st.lists(STEPS, max_size=40))
@example([*BEGUN, *[said("text", "word ")] * 400])  # until the buffer is full
@example([*BEGUN, *[said("text", "a"), said("reasoning", "b")] * 5])  # of chunks
@example([*BEGUN, said("text", "\ud83d"), said("text", "x"), said("text", "y"), waited(99)])
@example([*BEGUN, said("write", {"type": "finish"}), said("write", delta("y"))])
@example([*BEGUN, said("text", "x"), waited(99), settled("unknown_part"), said("text", "y"), said("text", "z")])
@example([*BEGUN, *[said("write", delta(text, "p" * 950)) for text in ("", "z" * 99)]])
def test_the_short_way_and_the_long_one_differ_in_nothing(steps: list[Step]) -> None:
    steps = [*BEGUN, *steps, waited(200), settled(), waited(200)]
    assert asyncio.run(outcome(steps, short=True)) == asyncio.run(outcome(steps, short=False))


def test_text_is_appended_the_short_way_after_the_first_token() -> None:
    response = Response(short=True)
    assert not response.append("text-delta", "t", "first")
    response.writer.add(delta("first"))
    assert [response.append("text-delta", "t", text) for text in ("a", "é", "😀", "\0")] == [True] * 4
    refused = ["\ud83d", "z" * 129, Words("words"), cast(Any, 7)]
    assert [response.append("text-delta", "t", text) for text in refused] == [False] * 4
    assert response.writer._rollup.take() == [delta("firstaé😀\0")]


async def test_two_tasks_that_write_one_answer_open_a_part_for_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_writer, "BUFFER_BYTES", 10)  # every chunk waits
    response = Response(short=True)
    await response.say(lambda answer: answer.text("thus"))
    await response.say(lambda answer: answer.reasoning("hm"))
    for _ in range(9):
        await response.wait(50)
        await response.settle("")
    await response.stop()
    message = folded([start(response.uid), *response.stored])
    assert [(part["type"], part["text"]) for part in message.parts if part["text"]] == [
        ("text", "thus"), ("reasoning", "hm"),
    ]  # fmt: skip
