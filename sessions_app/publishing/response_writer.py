"""Response writer: rolls up the chunks of one response and submits them, one batch at a time.

It does not know where to: `local_writer` hands batches to this site's log writer, `agents_app.remote` sends them to
another site.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sessions_app.core import vocabulary
from sessions_app.core.chunk_intake import ChunkIntake
from sessions_app.core.errors import Fault, HoldfastError
from sessions_app.core.rollup import PLAIN_BYTES, Rollup
from sessions_app.core.text import mend_json
from sessions_app.core.wire_types import Chunk
from sessions_app.publishing.ticker import Ticker

BUFFER_BYTES = 1 << 18  # of text not yet submitted; beyond it `write` waits
BUFFER_CHUNKS = 1024  # likewise
PAUSE_S = 0.3  # between two texts; a longer one, as for a tool call, says no more of how fast a response is written

# The end of a response whose own end can't be stored: too long an error.
UNTOLD: Chunk = {"type": "error", "errorText": "The agent failed, and its error message can't be stored."}


class ResponseWriter:
    """One response being written.

    `write` returns at once; `flush` returns when all that was written is stored. Both raise HoldfastError if the
    response can't continue.

    `check` raises bad_chunk or unknown_chunk for a chunk that can't be written; then nothing has changed, and others
    may follow. Appends of more than `chunk_bytes` are divided. `submit` is called with this writer and each batch, and
    must be answered by `stored` or `fail`: the next batch is submitted then.
    """

    def __init__(
        self,
        uid: str,
        *,
        ticker: Ticker,
        check: Callable[[Chunk], None],
        chunk_bytes: int,
        submit: Callable[[ResponseWriter, list[Chunk]], None],
    ) -> None:
        self.serial = 0  # of the last stored chunk
        self.end = ""  # the type of the chunk that ended it
        self._uid = uid
        self._ticker = ticker
        self._check = check
        self._intake = ChunkIntake(check, chunk_bytes)
        self._submit = submit
        self._rollup = Rollup()
        self._in_flight = False
        self._scheduled = False
        self._spoken = False  # has its first token been sent
        # Times of the ticker's clock: when the next batch is due, when the last one was, and when that was submitted.
        self._due = self._was_due = self._sent = 0.0
        self._interval = 0.0  # seconds between its texts, a mean; 0 while unknown
        self._problem: HoldfastError | None = None
        self._changed = asyncio.Event()  # set when a batch was stored or refused

    # Writing

    async def write(self, chunk: Chunk) -> None:
        """Add one chunk. Wait only while more than BUFFER_BYTES or BUFFER_CHUNKS is not submitted."""
        if type(chunk) is dict and len(chunk) == 3 and "delta" in chunk and "id" in chunk and "type" in chunk:
            if self.append(chunk["type"], chunk["id"], chunk["delta"]):
                return
        for piece in self._intake.take(chunk):
            self._add(piece)
            if self.is_full:
                await self.wait_for_room()

    def append(self, kind: str, part: str, text: str) -> bool:
        """Append to a part of text or reasoning, as `write` with the same chunk: a `text-delta` or `reasoning-delta`.

        Return False, with nothing changed, where only `write` can: it may have to wait, to divide the text or to raise.
        """
        size = self._intake.measure(kind, part, text)
        if size < 0 or not self._spoken or self._problem is not None or self.end:
            return False
        waiting = self._rollup
        if waiting.size + size + PLAIN_BYTES > BUFFER_BYTES or len(waiting.chunks) >= BUFFER_CHUNKS:
            return False
        waiting.append(kind, part, text, size)
        if not self._scheduled:
            self._schedule(at_once=False)
        return True

    def add(self, chunk: Chunk) -> None:
        """Add one chunk without waiting. Raises HoldfastError."""
        for piece in self._intake.take(chunk):
            self._add(piece)

    def _add(self, chunk: Chunk) -> None:
        if self._problem is not None:
            raise self._problem
        if self.end:
            raise HoldfastError("message_ended")
        kind = chunk["type"]
        if kind in vocabulary.ENDS:
            self.end = kind
        self._rollup.add(chunk)
        at_once = not self._spoken or kind in vocabulary.AT_ONCE
        if at_once or not self._scheduled:
            self._schedule(at_once=at_once)
            self._spoken = self._spoken or kind in vocabulary.APPENDS

    @property
    def last_position(self) -> int:
        """The position of the last chunk in the next batch."""
        return len(self._rollup) - 1

    @property
    def is_full(self) -> bool:
        """Return whether the buffer is full: then call `wait_for_room`."""
        waiting = self._rollup
        return waiting.size > BUFFER_BYTES or len(waiting) > BUFFER_CHUNKS

    async def wait_for_room(self) -> None:
        """Wait until less waits to be submitted. Raises HoldfastError."""
        await self._wait(lambda: not self.is_full)

    async def flush(self) -> None:
        """Wait until everything written is stored. Raises HoldfastError."""
        if self._rollup.size:
            self._schedule(at_once=True)
        await self._wait(lambda: not self._in_flight and not self._rollup.size)

    @property
    def ended(self) -> bool:
        """Return whether its end was written."""
        return bool(self.end)

    @property
    def failed(self) -> bool:
        """Return whether a batch was refused or couldn't be stored."""
        return self._problem is not None

    @property
    def begun(self) -> bool:
        """Return whether anything was written."""
        return bool(self.serial or self._in_flight or self._rollup.size)

    async def close(self, chunk: Chunk) -> None:
        """End the response with this chunk if it hasn't ended, beginning it if it hasn't begun.

        A refused chunk doesn't keep it open: what was written before that is stored, and the end follows. Raises
        HoldfastError if the response can't be ended.
        """
        chunk = mend_json(chunk)
        try:
            self._check(chunk)
        except HoldfastError:
            chunk = UNTOLD
        try:
            await self._end_with(chunk)
        except HoldfastError as problem:
            if not _refuses_chunk(problem):
                raise
            await self._end_with(chunk)  # the refused one was among those that waited, and took the end with it

    async def _end_with(self, chunk: Chunk) -> None:
        if self._problem is not None and not _refuses_chunk(self._problem):
            raise self._problem
        self._problem = None
        if not self.ended:
            if not self.begun:
                await self.write({"type": "start", "messageId": self._uid})
            await self.write(chunk)
        await self.flush()

    async def _wait(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._problem is not None:
                raise self._problem
            self._changed.clear()
            await self._changed.wait()
        if self._problem is not None:
            raise self._problem

    # Submitting

    def _schedule(self, *, at_once: bool) -> None:
        hold = 0.0 if at_once else self._ticker.window.hold(self._interval)
        self._scheduled = True
        self._due = self._ticker.after(hold, self._send) if hold else self._ticker.soon(self._send)

    def _send(self) -> None:
        # One batch at a time: what is written meanwhile is rolled up and goes with the next one, and a retry
        # can't be overtaken.
        if self._in_flight:
            # For `stored` to send it. Event loops call up to a millisecond early, and this is not called again.
            self._due = min(self._due, self._ticker.now())
            return
        if not self._rollup.size or self._problem is not None:
            return
        self._scheduled = False
        self._in_flight = True
        now = self._ticker.now()
        if self._sent:
            interval = (now - self._sent) / self._rollup.added
            if interval > PAUSE_S:
                interval = PAUSE_S
            self._interval = (self._interval + interval) / 2 if self._interval else interval
        self._sent = now
        self._was_due = self._due if self._due < now else now
        self._submit(self, self._rollup.take())

    def advance(self, serial: int) -> None:
        """Note that a part of the batch is stored, up to this serial; the rest is still in flight."""
        self.serial = serial

    def stored(self, serial: int, refusal: HoldfastError | None = None) -> None:
        """Note that the batch is stored up to this serial. `refusal`: why not all of it."""
        self.serial, self._in_flight = serial, False
        now = self._ticker.now()
        self._ticker.window.observe(now - self._was_due, now)
        if refusal:
            self._give_up(refusal)
        if self._scheduled and self._due <= now:
            self._send()  # it was due while the batch was in flight
        self._changed.set()

    def fail(self, problem: HoldfastError) -> None:
        """Note that the batch is not stored, and won't be."""
        self._in_flight = False
        self._give_up(problem)
        self._changed.set()

    def _give_up(self, problem: HoldfastError) -> None:
        """Drop what was written after the refused chunk: an end among it has not ended the response."""
        self._problem = problem
        self._rollup.take()
        self.end = ""


def _refuses_chunk(problem: HoldfastError) -> bool:
    """Return whether one chunk was refused, so that others may follow those before it."""
    return problem.kind.fault is Fault.PUBLISHER and problem.code != "fenced"
