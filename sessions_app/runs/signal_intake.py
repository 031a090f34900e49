"""What people send into a session: checked, authorised, stored with what it causes, receipted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import scope_of
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.runs import signal_handlers
from sessions_app.telemetry import metrics, tracing

if TYPE_CHECKING:
    from sessions_app.process import Process


async def accept(
    process: Process, who: Identity, frame: ClientFrame, *, now: float
) -> tuple[str, HoldfastError | None]:
    """Store a signal; return its receipt's frame, and what rejected it. A repeated id gets the first time's receipt."""
    kind = frame.kind if frame.kind in signals.KINDS else "unknown"
    try:
        who.check(scope_of(frame.kind), frame.session)
        with tracing.span("signal", session=frame.session, signal=frame.id, kind=kind):
            receipt = await _take(process, who.owner, frame, now=now)
    except HoldfastError as error:
        problem: HoldfastError | None = error
    except DatabaseError:
        problem = HoldfastError("storage_unavailable")
    else:
        problem = receipt.problem
    metrics.signals.labels(kind, problem.code if problem else "accepted").inc()
    if problem:
        return frames.rejection(frame.session, frame.id, problem), problem
    return frames.receipt(frame.session, frame.id, serial=receipt.serial), None


async def _take(process: Process, owner: str, frame: ClientFrame, *, now: float) -> signal_handlers.Receipt:
    limits = signals.Limits(conf.MESSAGE_BYTES, conf.CHUNK_BYTES)
    sent = signals.read(frame.id, frame.kind, frame.payload or {}, actor=owner, limits=limits)
    session = await threads.run(queries.readable, frame.session, owner)
    if process.signal_rates.take(owner, now):
        raise HoldfastError("rate_limited", f"at most {conf.SIGNALS_PER_MINUTE} signals a minute")
    receipt = await process.take(session.id, sent)
    process.signal_came()
    return receipt
