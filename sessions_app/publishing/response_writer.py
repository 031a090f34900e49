"""What a response is written with, wherever its agent runs: it rolls chunks up and hands them on, one batch at a time.

Nothing here knows where to: `responses` writes to this site's database, `agents_app.remote` to a site elsewhere.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from sessions_app.core import vocabulary
from sessions_app.core.errors import Fault, HoldfastError
from sessions_app.core.rollup import Rollup
from sessions_app.core.wire_types import Chunk

BUFFER_BYTES = 1 << 18  # of text not yet stored; beyond it `write` waits
BUFFER_CHUNKS = 1024  # likewise

# The end of a response whose own end can't be stored: too long an error, or half of a surrogate pair in it.
UNTOLD: Chunk = {"type": "error", "errorText": "The agent failed, and its message about it can't be stored."}


class Ticker:
    """Flushes all responses that have something to say at the same moment, so that one commit takes them all."""

    def __init__(self, loop: asyncio.AbstractEventLoop, window_ms: int) -> None:
        self._loop = loop
        self._window = window_ms / 1000
        self._due: list[ResponseWriter] = []

    def flush_soon(self, response: ResponseWriter, *, at_once: bool) -> None:
        """Flush at the next tick, or, `at_once`, when the caller's task lets go."""
        if at_once or not self._window:
            self._loop.call_soon(response._send)
            return
        if not self._due:
            self._loop.call_later(self._window, self._tick)
        self._due.append(response)

    def _tick(self) -> None:
        due, self._due = self._due, []
        for response in due:
            response._send()


class ResponseWriter(ABC):
    """One response being written.

    `write` returns at once; `flush` returns when all that was written is stored. Both raise HoldfastError when the
    response can't go on.
    """

    def __init__(self, session: str, uid: str, *, ticker: Ticker, chunk_bytes: int) -> None:
        self.session = session
        self.uid = uid
        self.serial = 0  # of the last stored chunk
        self.end = ""  # the type of the chunk that ended it
        self._chunk_bytes = chunk_bytes
        self._ticker = ticker
        self._rollup = Rollup()
        self._in_flight: list[Chunk] = []
        self._scheduled = False
        self._spoken = False  # has its first token been sent
        self._problem: HoldfastError | None = None
        self._settled = asyncio.Event()  # something was stored or refused

    @abstractmethod
    def _submit(self) -> None:
        """Have `_in_flight` stored, and `_on_result` called with the outcome."""

    async def write(self, chunk: Chunk) -> None:
        """Add one chunk. Waits only when more than BUFFER_BYTES or BUFFER_CHUNKS is not yet stored."""
        self._add(chunk)
        if self._is_full():
            await self._wait_for_room()

    async def flush(self) -> None:
        """Wait until everything written is stored."""
        if self._has_more():
            self._schedule(at_once=True)
        await self._wait(lambda: not self._in_flight and not self._has_more())

    @property
    def ended(self) -> bool:
        """Whether its end was written."""
        return bool(self.end)

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return bool(self.serial or self._in_flight or self._has_more())

    async def close(self, chunk: Chunk) -> None:
        """End the response with this chunk if it hasn't ended, beginning it if it hasn't begun.

        A refused chunk doesn't keep it open: what was written before that is stored, and the end follows. Raises
        HoldfastError if the response can't be ended.
        """
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
                await self.write({"type": "start", "messageId": self.uid})
            await self.write(chunk)
        await self.flush()

    def _check(self, chunk: Chunk) -> None:
        """Refuse what can't be a chunk of this response; nothing has changed then."""
        vocabulary.check(chunk, max_bytes=self._chunk_bytes)

    def _add(self, chunk: Chunk) -> None:
        self._check(chunk)
        if self._problem is not None:
            raise self._problem
        if self.end:
            raise HoldfastError("message_ended")
        kind = chunk["type"]
        if kind in vocabulary.ENDS:
            self.end = kind
        self._rollup.add(chunk)
        if not self._scheduled or not self._spoken or self.end:
            self._schedule(at_once=not self._spoken or self.ended)
            self._spoken = self._spoken or kind in vocabulary.APPENDS

    def _has_more(self) -> bool:
        """Whether something was written that is not in flight yet."""
        return self._rollup.size > 0

    def _take(self) -> list[Chunk]:
        """Take what is to be stored next."""
        return self._rollup.take()

    def _is_full(self) -> bool:
        return self._rollup.size > BUFFER_BYTES or len(self._rollup) > BUFFER_CHUNKS

    async def _wait_for_room(self) -> None:
        await self._wait(lambda: not self._is_full())

    async def _wait(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._problem is not None:
                raise self._problem
            self._settled.clear()
            await self._settled.wait()
        if self._problem is not None:
            raise self._problem

    def _schedule(self, *, at_once: bool) -> None:
        if not self._scheduled or at_once:
            self._scheduled = True
            self._ticker.flush_soon(self, at_once=at_once)

    def _send(self) -> None:
        # One batch at a time: what is written meanwhile is rolled up and goes with the next one, and a retry
        # can't be overtaken.
        self._scheduled = False
        if not self._in_flight and self._has_more() and self._problem is None:
            self._in_flight = self._take()
            self._submit()

    def _stored(self, serial: int, refusal: HoldfastError | None = None) -> None:
        """What was in flight is stored; `refusal`: why not all of it."""
        self.serial, self._in_flight = serial, []
        if refusal:
            self._give_up(refusal)
        if self._has_more() and not self._scheduled:
            self._schedule(at_once=self.ended)
        self._settled.set()

    def _fail(self, problem: HoldfastError) -> None:
        """What was in flight is not stored, and won't be."""
        self._in_flight = []
        self._give_up(problem)
        self._settled.set()

    def _give_up(self, problem: HoldfastError) -> None:
        """What was written after what was refused isn't stored either: an end among it has not ended the response."""
        self._problem = problem
        self._rollup.take()
        self.end = ""


def _refuses_chunk(problem: HoldfastError) -> bool:
    """Whether one chunk was refused, so that others may follow those before it."""
    return problem.kind.fault is Fault.PUBLISHER and problem.code != "fenced"
