"""What an agent in this process writes a response with: it hands what is written to the log writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sessions_app import conf
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.event_log.commands import Also, Append, AppendResult
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Run
from sessions_app.publishing.response_writer import ResponseWriter, Ticker

RETRY_S = 30.0  # how long a commit that fails is tried again before the publisher is told
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0


class LocalWriter(ResponseWriter):
    """One response being written. `LocalWriters` makes them.

    `write` and `flush` raise HoldfastError when the response can't go on: fenced (its lease ran out), not_found (the
    session is gone), storage_unavailable (for longer than RETRY_S), or a chunk of the publisher's that was refused.
    """

    def __init__(self, run: Run, *, starts: bool, log_writer: LogWriter, ticker: Ticker) -> None:
        """`run` is held by this process's worker; `starts` says that it is to be stored with the first append."""
        super().__init__(run.session_id, run.uid, ticker=ticker, chunk_bytes=conf.settings.chunk_bytes)
        self.run = run
        self._starts = starts
        self._log_writer = log_writer
        self._also: list[tuple[int, Also]] = []  # each with the position of its chunk, -1 for any
        self._also_in_flight: tuple[tuple[int, Also], ...] = ()
        self._retry_s = RETRY_FIRST_S
        self._retry_until: float | None = None

    async def write(self, chunk: Chunk, *, also: Also | None = None) -> None:
        """Add one chunk, as `ResponseWriter.write`. `also` is done in the transaction that stores it."""
        self._add(chunk)
        if also is not None:
            self._also.append((len(self._rollup) - 1, also))
        if self._is_full():
            await self._wait_for_room()

    def with_next(self, also: Also) -> None:
        """Do this in the transaction that stores the next chunk, or what waits now."""
        self._also.append((-1, also))

    def _take(self) -> list[Chunk]:
        self._also_in_flight = tuple(self._also)
        self._also.clear()
        return super()._take()

    def _submit(self) -> None:
        self._log_writer.submit(
            Append(
                session=self.session,
                uid=self.uid,
                chunks=self._in_flight,
                on_result=self._on_result,
                run=self.run.pk,
                worker=self.run.worker_id or "",
                after=self.serial,
                starts=self.run if self._starts and not self.serial else None,
                also=self._also_in_flight,
            )
        )

    def _on_result(self, outcome: AppendResult | HoldfastError) -> None:
        if isinstance(outcome, AppendResult):
            self._retry_s, self._retry_until = RETRY_FIRST_S, None
            self._stored(outcome.serial, outcome.refusal)
        elif not self._retry(outcome):
            self._fail(outcome)

    def _give_up(self, problem: HoldfastError) -> None:
        super()._give_up(problem)
        self._also = [each for each in self._also if each[0] < 0]

    def _retry(self, problem: HoldfastError) -> bool:
        loop = asyncio.get_running_loop()
        if self._retry_until is None:
            self._retry_until = loop.time() + RETRY_S
        if not problem.kind.retryable or loop.time() > self._retry_until:
            return False
        loop.call_later(self._retry_s, self._submit)
        self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)
        return True


class LocalWriters:
    """Makes the writers of one process. `worker` returns the id of its worker, which may change."""

    def __init__(self, log_writer: LogWriter, ticker: Ticker, worker: Callable[[], str]) -> None:
        self._log_writer = log_writer
        self._ticker = ticker
        self._worker = worker

    def unprompted(self, session: str, *, agent: str, uid: str = "") -> LocalWriter:
        """Return a writer for an unprompted response; creates its run.

        `agent`: the name of an agent of this site; empty for one elsewhere. `uid`: its message's id, or empty.
        """
        run = Run(session_id=session, agent=agent, status=Run.Status.RUNNING, worker_id=self._worker())
        run.uid = uid or run.uid
        return LocalWriter(run, starts=True, log_writer=self._log_writer, ticker=self._ticker)

    def for_run(self, run: Run) -> LocalWriter:
        """Return a writer for the response of a run that this process has claimed."""
        return LocalWriter(run, starts=False, log_writer=self._log_writer, ticker=self._ticker)
