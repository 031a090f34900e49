"""Signal intake: checked, authorised, stored with what it causes, receipted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from django.db import DatabaseError

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.limits import RateLimiter
from sessions_app.core.tokens import scope_of
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.event_log.writer import LogWriter
from sessions_app.runs import signal_handlers
from sessions_app.runs.claims import Claims
from sessions_app.telemetry import metrics, tracing

OWNERS = 10_000  # whose signals are counted apart


class SignalIntake:
    """The signals that one process takes. `on_stored` is called once one is stored."""

    def __init__(self, log_writer: LogWriter, claims: Claims, on_stored: Callable[[], None]) -> None:
        self._log_writer = log_writer
        self._claims = claims
        self._on_stored = on_stored
        self.rates = RateLimiter.per_minute(conf.settings.signals_per_minute, OWNERS)  # by owner

    async def accept(self, who: Identity, frame: ClientFrame, *, now: float) -> tuple[str, HoldfastError | None]:
        """Store a signal; return its receipt's frame, and the reason if it was rejected.

        A repeated id gets the first time's receipt. `now`: the loop's time, in seconds.
        """
        kind = frame.kind if frame.kind in signals.KINDS else "unknown"
        try:
            who.check(scope_of(frame.kind), frame.session)
            with tracing.span("signal", session=frame.session, signal=frame.id, kind=kind):
                receipt = await self._take(who.owner, frame, now=now)
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

    async def _take(self, owner: str, frame: ClientFrame, *, now: float) -> signal_handlers.Receipt:
        limits = signals.Limits(conf.settings.message_bytes, conf.settings.chunk_bytes)
        sent = signals.read(frame.id, frame.kind, frame.payload or {}, actor=owner, limits=limits)
        session = await threads.run(queries.readable, frame.session, owner)
        if self.rates.take(owner, now):
            raise HoldfastError("rate_limited", f"at most {conf.settings.signals_per_minute} signals a minute")
        receipt = await self.store(session.id, sent)
        self._on_stored()
        return receipt

    def store(self, session: str, sent: signals.Sent) -> Awaitable[signal_handlers.Receipt]:
        """Store a signal and do what it asks for; a run that it causes begins at once if an agent is free here.

        It is queued at once, before it is awaited: a sender who leaves undoes nothing.
        """
        stored = self._log_writer.change(session, signal_handlers.handle, sent)
        if sent.kind in signals.CAUSES:
            self._claims.claim_at_once(session)
        return stored
