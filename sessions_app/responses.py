"""What an agent writes a response with: it rolls chunks up and hands them to ingest, one append at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sessions_app import conf
from sessions_app.core import vocabulary
from sessions_app.core.errors import Fault, HoldfastError
from sessions_app.core.rollup import Rollup
from sessions_app.ingest import Ingest
from sessions_app.models import Run
from sessions_app.staging import Append, Log, Stored

BUFFER_BYTES = 1 << 18  # of text not yet committed; beyond it `write` waits for the database
BUFFER_CHUNKS = 1024  # likewise
RETRY_S = 30.0  # how long a commit that fails is tried again before the publisher is told
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0

Chunk = dict[str, Any]
Also = Callable[[Log], None]


class Ticker:
    """Flushes all responses that have something to say at the same moment, so that one commit takes them all."""

    def __init__(self, loop: asyncio.AbstractEventLoop, window_ms: int) -> None:
        self._loop = loop
        self._window = window_ms / 1000
        self._due: list[Response] = []

    def flush_soon(self, response: Response, *, at_once: bool) -> None:
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


class Response:
    """One response being written. `Process.respond` and `Process.response` make them.

    `write` returns at once; `flush` returns when all that was written is committed. Both raise HoldfastError when
    the response can't go on: fenced (its lease ran out), not_found (the session is gone), storage_unavailable
    (for longer than RETRY_S), or a chunk of the publisher's that was refused.
    """

    def __init__(self, run: Run, *, starts: bool, ingest: Ingest, ticker: Ticker) -> None:
        """`run` is held by this process's worker; `starts` says that it is to be stored with the first append."""
        self.run = run
        self.session = run.session_id
        self.uid = run.uid
        self.serial = 0  # of the last committed chunk
        self.ended = False
        self._starts = starts
        self._chunk_bytes = conf.CHUNK_BYTES
        self._ingest = ingest
        self._ticker = ticker
        self._rollup = Rollup()
        self._in_flight: list[Chunk] = []
        self._also: list[Also] = []
        self._also_in_flight: tuple[Also, ...] = ()
        self._scheduled = False
        self._spoken = False  # has its first token been sent
        self._problem: HoldfastError | None = None
        self._settled = asyncio.Event()  # something was committed or refused
        self._retry_s = RETRY_FIRST_S
        self._retry_until: float | None = None

    async def write(self, chunk: Chunk, *, also: Also | None = None) -> None:
        """Add one chunk. Waits only when more than BUFFER_BYTES or BUFFER_CHUNKS is not yet committed.

        `also` is done in the transaction that stores the chunk.
        """
        vocabulary.check(chunk, max_bytes=self._chunk_bytes)
        if self._problem is not None:
            raise self._problem
        if self.ended:
            raise HoldfastError("message_ended")
        self.ended = chunk["type"] in vocabulary.ENDS
        self._rollup.add(chunk)
        if also is not None:
            self._also.append(also)
        self._schedule(at_once=not self._spoken or self.ended)
        if chunk["type"] in vocabulary.APPENDS:
            self._spoken = True
        if self._is_full():
            await self._wait(lambda: not self._is_full())

    async def flush(self) -> None:
        """Wait until everything written is committed."""
        if self._rollup:
            self._schedule(at_once=True)
        await self._wait(lambda: not self._in_flight and not self._rollup)

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return bool(self.serial or self._in_flight or self._rollup)

    async def close(self, chunk: Chunk) -> None:
        """End the response with this chunk if it hasn't ended, beginning it if it hasn't begun."""
        if self._problem is not None and self._problem.kind.fault is not Fault.PUBLISHER:
            raise self._problem
        self._problem = None  # a chunk was refused; what came before it is stored
        if not self.ended:
            if not self.begun:
                await self.write({"type": "start", "messageId": self.uid})
            await self.write(chunk)
        await self.flush()

    def _is_full(self) -> bool:
        return self._rollup.size > BUFFER_BYTES or len(self._rollup) > BUFFER_CHUNKS

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
        # One append at a time: what is written meanwhile is rolled up and goes with the next one, and a retry
        # can't be overtaken.
        self._scheduled = False
        if not self._in_flight and self._rollup and self._problem is None:
            self._in_flight, self._also_in_flight = self._rollup.take(), tuple(self._also)
            self._also.clear()
            self._submit()

    def _submit(self) -> None:
        self._ingest.submit(
            Append(
                session=self.session,
                uid=self.uid,
                chunks=self._in_flight,
                settle=self._settle,
                run=self.run.pk,
                worker=self.run.worker_id or "",
                after=self.serial,
                starts=self.run if self._starts and not self.serial else None,
                also=self._also_in_flight,
            )
        )

    def _settle(self, outcome: Stored | HoldfastError) -> None:
        if isinstance(outcome, Stored):
            self.serial, self._in_flight = outcome.serial, []
            self._problem = outcome.refusal
            self._retry_s, self._retry_until = RETRY_FIRST_S, None
            if self._rollup and not self._scheduled:
                self._schedule(at_once=self.ended)
        elif not self._retry(outcome):
            self._problem, self._in_flight = outcome, []
        self._settled.set()

    def _retry(self, problem: HoldfastError) -> bool:
        loop = asyncio.get_running_loop()
        if self._retry_until is None:
            self._retry_until = loop.time() + RETRY_S
        if not problem.kind.retryable or loop.time() > self._retry_until:
            return False
        loop.call_later(self._retry_s, self._submit)
        self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)
        return True
