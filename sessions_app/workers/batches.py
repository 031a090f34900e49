"""Batches of runs elsewhere: as any producer's, for a run that its worker has claimed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import DatabaseError

from sessions_app.auth.identity import Identity
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.database import threads
from sessions_app.event_log.commands import Also, Append, AppendResult, OnResult
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Run
from sessions_app.publishing.producers import Producers, check_chunks, digest
from sessions_app.runs import calls
from sessions_app.telemetry import metrics
from sessions_app.workers import batch_work
from sessions_app.workers.batch_work import ClaimedRun

REMEMBERED = 10_000  # runs; beyond it all are looked up again


class ClaimedBatches:
    """The batches that remote workers publish at one process. `on_end` is called with a run whose end is stored,
    and its status."""

    def __init__(self, log_writer: LogWriter, producers: Producers, on_end: Callable[[str, str], None]) -> None:
        self._log_writer = log_writer
        self._producers = producers
        self._on_end = on_end
        self._known: dict[str, ClaimedRun] = {}

    async def submit(self, who: Identity, frame: ClientFrame, on_result: OnResult) -> None:
        """As `Producers.submit`, for a frame that names a run. Raises HoldfastError."""
        who.check("work", frame.session)
        check_chunks(frame.chunks)
        try:
            run = await self._run(frame)
            if who.grant is None or not who.grant.names(run.agent):
                raise HoldfastError("not_found")
            worker = await self._producers.worker_of(who.owner, frame)
            chunks, also = frame.chunks, list[tuple[int, Also]]()
            if batch_work.has_meaning(chunks):
                chunks, also = await threads.run(batch_work.prepare, run, chunks)
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        if frame.usage:
            counts = frame.usage.get("input_tokens", 0), frame.usage.get("output_tokens", 0)
            also.append((-1, partial(calls.add_usage, run.run, *counts)))
        append = Append(
            session=run.session,
            uid=run.uid,
            chunks=chunks,
            run=run.run,
            worker=worker,
            also=tuple(also),
            sequence=frame.sequence,
            digest=digest(frame.chunks),
            place=run.place,
        )
        append.on_result = partial(self._stored, append, on_result)
        self._log_writer.submit(append)

    async def _run(self, frame: ClientFrame) -> ClaimedRun:
        """Return what the site knows of the frame's run. Raises not_found if the rest of the frame isn't about it."""
        known = self._known.get(frame.run)
        if known is None:
            known = await threads.run(_claimed_run, frame.run)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[frame.run] = known
        if (known.session, known.uid) != (frame.session, frame.message):
            raise HoldfastError("not_found")
        return known

    def _stored(self, append: Append, on_result: OnResult, outcome: AppendResult | HoldfastError) -> None:
        if append.ends and isinstance(outcome, AppendResult) and outcome.refusal is None:
            status = vocabulary.ENDS[append.chunks[-1]["type"]]
            known = self._known.pop(append.run, None)
            if known is not None and not outcome.repeated:
                metrics.ended_elsewhere(known.agent, status, known.claimed_at)
            self._on_end(append.run, status)
        elif isinstance(outcome, HoldfastError):
            self._known.pop(append.run, None)  # another worker may claim it
        on_result(outcome)


def _claimed_run(run: str) -> ClaimedRun:
    found = Run.objects.filter(pk=run).exclude(agent="").first()
    if found is None:
        raise HoldfastError("not_found")
    return ClaimedRun(found.pk, found.session_id, found.uid, found.place, found.agent, found.started_at)
