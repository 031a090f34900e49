"""Local writer: writes the response of an agent in this process to this site's log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sessions_app import conf
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database.retries import RETRY_S, Retries
from sessions_app.event_log.commands import Also, Append, AppendResult
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Run
from sessions_app.publishing.response_writer import ResponseWriter
from sessions_app.publishing.ticker import Ticker


class LocalWriter:
    """The response of a run in this process, written to this site's log. `LocalWriters` makes it.

    `write` and `flush` raise HoldfastError if the response can't continue: fenced (its lease ran out), not_found (the
    session is gone), storage_unavailable (for longer than RETRY_S), or the refusal of a chunk.
    """

    def __init__(self, run: Run, *, starts: bool, log_writer: LogWriter, ticker: Ticker) -> None:
        """`run` is held by this process's worker; `starts`: store it with the first append."""
        self.run = run
        self.session = run.session_id
        self.uid = run.uid
        self._appends = _Appends(run, starts=starts, log_writer=log_writer)
        chunk_bytes = conf.settings.chunk_bytes
        check = partial(vocabulary.check, max_bytes=chunk_bytes)
        self._writer = ResponseWriter(
            run.uid, ticker=ticker, check=check, chunk_bytes=chunk_bytes, submit=self._appends.submit
        )
        self.append = self._writer.append  # not a method: a call more for every token would be felt

    def write(self, chunk: Chunk, *, also: Also | None = None) -> Coroutine[Any, Any, None]:
        """Add one chunk, as `ResponseWriter.write`. `also` is called in the transaction that stores it."""
        return self._writer.write(chunk) if also is None else self._write_with(chunk, also)

    async def _write_with(self, chunk: Chunk, also: Also) -> None:
        self._writer.add(chunk)
        self._appends.also.append((self._writer.last_position, also))
        if self._writer.is_full:
            await self._writer.wait_for_room()

    def with_next(self, also: Also) -> None:
        """Call this in the transaction that stores the next batch."""
        self._appends.also.append((-1, also))

    async def flush(self) -> None:
        """Wait until everything written is stored."""
        await self._writer.flush()

    async def close(self, chunk: Chunk) -> None:
        """End the response; see `ResponseWriter.close`."""
        await self._writer.close(chunk)

    @property
    def serial(self) -> int:
        """The serial of the last stored chunk; 0 if none is stored."""
        return self._writer.serial

    @property
    def end(self) -> str:
        """The type of the chunk that ended it; empty if it hasn't ended."""
        return self._writer.end

    @property
    def failed(self) -> bool:
        """Return whether it can't go on: a chunk was refused once it was on its way, or nothing can be stored."""
        return self._writer.failed

    @property
    def begun(self) -> bool:
        """Return whether anything was written."""
        return self._writer.begun


class _Appends:
    """Stores the batches of one response: each is an append, retried while the database is unavailable.

    Holds no reference to the response's writer between batches: both are freed without the garbage collector.
    """

    def __init__(self, run: Run, *, starts: bool, log_writer: LogWriter) -> None:
        self.also: list[tuple[int, Also]] = []  # for the next batch: each with the position of its chunk, -1 for any
        self._run = run if starts else None  # to store with the first one
        self._session, self._uid = run.session_id, run.uid
        self._run_id, self._worker = run.pk, run.worker_id or ""
        self._place = run.place
        self._log_writer = log_writer
        self._writer: ResponseWriter | None = None  # of the batch in flight
        self._in_flight: Append | None = None
        self._retries: Retries | None = None  # of the batch in flight, once it has failed

    def submit(self, writer: ResponseWriter, chunks: list[Chunk]) -> None:
        """Have a batch stored, and report the outcome to the writer."""
        after = writer.serial
        append = Append(self._session, self._uid, chunks, self._on_result, self._run_id, self._worker, after)
        if not after:
            append.starts = self._run
            append.place = self._place
        if self.also:
            append.also, self.also = tuple(self.also), []
        self._writer, self._in_flight = writer, append
        self._log_writer.submit(append)

    def _on_result(self, outcome: AppendResult | HoldfastError) -> None:
        if isinstance(outcome, HoldfastError) and self._retry(outcome):
            return
        writer, self._writer = self._writer, None
        assert writer is not None  # its batch is what the outcome is of
        self._in_flight = self._retries = None
        if isinstance(outcome, HoldfastError):
            self._drop_work()
            writer.fail(outcome)
            return
        if outcome.refusal is not None:
            self._drop_work()
        writer.stored(outcome.serial, outcome.refusal)

    def _drop_work(self) -> None:
        """Drop the work of the chunks after a refused one, which are dropped themselves."""
        self.also = [each for each in self.also if each[0] < 0]

    def _retry(self, problem: HoldfastError) -> bool:
        assert self._in_flight is not None  # it is what failed
        loop = asyncio.get_running_loop()
        self._retries = self._retries or Retries(loop.time(), limit_s=RETRY_S)
        pause_s = self._retries.next_pause_s(loop.time()) if problem.kind.retryable else None
        if pause_s is None:
            return False
        loop.call_later(pause_s, self._log_writer.submit, self._in_flight)
        return True


class LocalWriters:
    """Makes the writers of one process. `worker` returns its worker's id, which may change; empty if it has none."""

    def __init__(self, log_writer: LogWriter, ticker: Ticker, worker: Callable[[], str]) -> None:
        self._log_writer = log_writer
        self._ticker = ticker
        self._worker = worker

    def unprompted(self, session: str, *, agent: str, uid: str = "") -> LocalWriter:
        """Return a writer for an unprompted response; creates its run.

        `agent`: the name of an agent of this site; empty for one elsewhere. `uid`: its message's id, or empty. Raises
        storage_unavailable while the process holds no lease: it has started without being able to write.
        """
        worker = self._worker()
        if not worker:
            raise HoldfastError("storage_unavailable")
        run = Run(session_id=session, agent=agent, status=Run.Status.RUNNING, worker_id=worker)
        run.uid = uid or run.uid
        return LocalWriter(run, starts=True, log_writer=self._log_writer, ticker=self._ticker)

    def for_run(self, run: Run) -> LocalWriter:
        """Return a writer for the response of a run that this process has claimed."""
        return LocalWriter(run, starts=False, log_writer=self._log_writer, ticker=self._ticker)
