"""When a response's text is submitted, by a clock of the test: at once if waiting wins nothing, else in time."""

from typing import Any, cast

import pytest

from sessions_app.core.wire_types import Chunk
from sessions_app.publishing.response_writer import ResponseWriter
from sessions_app.publishing.ticker import MOMENT_S, Ticker
from tests.support.manual_loop import ManualLoop
from tests.support.writer import delta, finish, start, text_start

WORDS_MS = 50  # between two words of a model that writes 20 a second
MOST_MS = 150


class Answer:
    """An answer whose batches take `store_ms` to store; `delays_ms` of its words, and its `batches`."""

    def __init__(self, *, store_ms: float, distant: bool = False, rollup_ms: int = 40) -> None:
        self.loop = ManualLoop()
        self.store_ms = store_ms
        self.batches: list[list[Chunk]] = []
        self.delays_ms: list[float] = []
        self._written: list[float] = []
        self.ticker = Ticker(cast(Any, self.loop), rollup_ms, MOST_MS, distant=distant, cpu=lambda: 0.0)
        self._writer = ResponseWriter(
            "m_1", ticker=self.ticker, check=lambda chunk: None, chunk_bytes=60_000, submit=self._submit
        )
        self.write(start("m_1"), text_start(), delta("first"))
        self.wait(1000)
        self.batches.clear()
        self.delays_ms.clear()

    def _submit(self, writer: ResponseWriter, chunks: list[Chunk]) -> None:
        self.batches.append(chunks)
        written, self._written = self._written, []
        self.loop.call_at(self.loop.time() + self.store_ms / 1000, self._stored, writer, written)

    def _stored(self, writer: ResponseWriter, written: list[float]) -> None:
        self.delays_ms += [(self.loop.time() - at) * 1000 for at in written]
        writer.stored(writer.serial + 1)

    def write(self, *chunks: Chunk) -> None:
        for chunk in chunks:
            self._written.append(self.loop.time())
            self._writer.add(chunk)

    def wait(self, ms: float) -> None:
        self.loop.turn_to(self.loop.time() + ms / 1000)

    def words(self, number: int, every_ms: float = WORDS_MS) -> None:
        for word in range(number):
            self.write(delta(f"{word} "))
            self.wait(every_ms)


def test_words_too_rare_to_be_joined_are_not_held() -> None:
    answer = Answer(store_ms=1)
    answer.words(20)
    assert len(answer.batches) == 20
    assert max(answer.delays_ms[1:]) == pytest.approx(1)  # only after the first one is their interval known


def test_fast_words_are_joined_within_the_window() -> None:
    answer = Answer(store_ms=1)
    answer.words(200, every_ms=5)
    answer.wait(100)
    assert len(answer.delays_ms) == 200
    assert len(answer.batches) <= 200 * 5 / 30
    assert max(answer.delays_ms) <= 40 + MOMENT_S * 1000 + 1 + 0.1  # the window, the moments, the store


@pytest.mark.parametrize("rollup_ms", [0, 40])
@pytest.mark.parametrize("store_ms", [25, 40])
def test_under_load_words_are_joined_and_none_is_later_than_the_bound(rollup_ms: int, store_ms: float) -> None:
    answer = Answer(store_ms=store_ms, rollup_ms=rollup_ms)
    answer.words(100)
    answer.wait(500)
    assert len(answer.delays_ms) == 100
    assert len(answer.batches) <= 60
    assert max(answer.delays_ms) <= MOST_MS


def test_words_are_not_held_any_more_when_the_load_is_over() -> None:
    answer = Answer(store_ms=40)
    answer.words(60)
    answer.store_ms = 1
    answer.words(60)
    answer.batches.clear()
    answer.words(20)
    assert len(answer.batches) == 20


def test_a_far_site_is_no_busy_one() -> None:
    answer = Answer(store_ms=30, distant=True)
    answer.words(60)
    assert len(answer.batches) == 60


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "tool-input-available", "toolCallId": "call", "toolName": "act", "input": {}},
        {"type": "tool-output-available", "toolCallId": "call", "output": 1},
        {"type": "tool-approval-request", "toolCallId": "call", "approvalId": "approval"},
        finish(),
        {"type": "error", "errorText": "It failed."},
    ],
    ids=lambda chunk: chunk["type"],
)
def test_a_tool_call_and_an_end_take_waiting_words_along_at_once(chunk: Chunk) -> None:
    answer = Answer(store_ms=1)
    answer.words(50, every_ms=5)
    answer.wait(100)
    answer.write(delta("waits"))
    answer.wait(2)
    assert answer.batches[-1] != [delta("waits")]
    answer.write(chunk)
    answer.wait(1)
    assert answer.batches[-1] == [delta("waits"), chunk]


def test_what_was_due_while_a_batch_was_in_flight_follows_it_at_once() -> None:
    answer = Answer(store_ms=1)
    answer.words(5)
    answer.store_ms = 80
    answer.write(delta("slow"))
    answer.wait(10)
    answer.write(delta("meanwhile"))
    answer.wait(71)
    assert answer.batches[-1] == [delta("meanwhile")]


def test_a_timer_that_fires_early_while_a_batch_is_in_flight_loses_no_text() -> None:
    answer = Answer(store_ms=1)
    answer.words(50, every_ms=5)
    answer.store_ms = 10_000
    answer.write(delta("in flight"))
    answer.wait(60)
    answer.write(delta("due"))
    answer.loop.turn_to(answer._writer._due - 0.0003)
    answer._writer._send()  # as a timer of uvloop's, which counts in whole milliseconds
    answer._writer.stored(99)
    assert answer.batches[-1] == [delta("due")]
