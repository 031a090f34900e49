"""Signal intake: authorizes, checks and stores signals, and returns their receipts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from django.db import DatabaseError, DataError

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import scope_of
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.event_log.writer import LogWriter
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer, payer_of
from sessions_app.runs import signal_handlers, turns
from sessions_app.runs.claims import Claim, Claims
from sessions_app.telemetry import metrics, tracing


class SignalIntake:
    """Signal intake of one process. `on_stored` is called after each stored signal that is left for others to find."""

    def __init__(self, log_writer: LogWriter, claims: Claims, on_stored: Callable[[], None]) -> None:
        self._log_writer = log_writer
        self._claims = claims
        self._on_stored = on_stored

    async def accept(self, identity: Identity, frame: ClientFrame, *, address: str) -> tuple[str, HoldfastError | None]:
        """Store a signal. Return its receipt frame, and the reason if it was rejected.

        A repeated id gets its first receipt again. `address` is the key of the sender's (`addresses.client_key`).
        """
        kind = frame.kind if frame.kind in signals.KINDS else "unknown"
        try:
            identity.check(scope_of(frame.kind), frame.session)
            with tracing.span("signal", session=frame.session, signal=frame.id, kind=kind):
                receipt = await self._store_checked(identity, payer_of(identity, address), frame)
        except HoldfastError as error:
            problem: HoldfastError | None = error
        except DatabaseError as error:
            problem = HoldfastError("unstorable" if isinstance(error, DataError) else "storage_unavailable")
        else:
            problem = receipt.problem
        metrics.signals.labels(kind, problem.code if problem else "accepted").inc()
        if problem:
            return frames.rejection(frame.session, frame.id, problem), problem
        return frames.receipt(frame.session, frame.id, serial=receipt.serial), None

    async def _store_checked(self, identity: Identity, payer: Payer, frame: ClientFrame) -> signal_handlers.Receipt:
        owner, issued_by = identity.owner, identity.grant.issued_by if identity.grant else ""
        limits = signals.Limits(conf.settings.message_bytes, conf.settings.chunk_bytes)
        sent = signals.read(frame.id, frame.kind, frame.payload or {}, actor=owner, limits=limits, issued_by=issued_by)
        session = await threads.run(queries.readable, frame.session, owner)
        _count(payer, sent)
        return await self.store(session.id, sent, agent=session.agent)

    async def begin(self, identity: Identity, frame: ClientFrame) -> turns.Begun:
        """Begin a turn for a back end that may work as the session's agent. Raises HoldfastError."""
        identity.check("work", frame.session)
        assert identity.grant is not None  # no owner has the scope
        at = await threads.run(turns.target, frame.session)
        if not identity.grant.names(at.agent):
            raise HoldfastError("forbidden_agent", f"its `agents` don't name {at.agent!r}")
        by, issued_by = identity.owner, identity.grant.issued_by
        sent = turns.read(frame.id, frame.payload or {}, at, by=by, issued_by=issued_by)
        receipt = await self.store(frame.session, sent, agent=at.agent)
        if receipt.problem:
            raise receipt.problem
        metrics.signals.labels("message", "accepted").inc()
        return await threads.run(turns.begun, frame.session, frame.id)

    def store(self, session: str, sent: signals.Sent, *, agent: str) -> Awaitable[signal_handlers.Receipt]:
        """Store a signal and carry it out. If it creates a run, a free agent claims it at once. `agent`: the session's.

        It is queued immediately, before it is awaited, so a sender that disconnects can't undo it.
        """
        stored = self._log_writer.change(session, signal_handlers.handle, sent)
        claim = self._claims.claim_at_once(session, agent) if sent.kind in signals.CAUSES else None
        return self._announced(stored, claim)

    async def _announced(
        self, stored: Awaitable[signal_handlers.Receipt], claim: Claim | None
    ) -> signal_handlers.Receipt:
        receipt = await stored
        if claim is None:
            self._on_stored()
        else:
            claim.add_done_callback(self._announce_unclaimed)
        return receipt

    def _announce_unclaimed(self, claim: Claim) -> None:
        # Who has claimed the session's run knows all that there is. None was at work beside it, which had to hear.
        if claim.cancelled() or claim.result() is None:
            self._on_stored()


def _count(payer: Payer, sent: signals.Sent) -> None:
    """Count a signal for its sender's rates. Raises rate_limited."""
    per_minute, per_hour = conf.settings.signals_per_minute, rates.RATES["sent"].count(conf.settings)
    if rates.take("signal", payer):
        raise HoldfastError("rate_limited", f"at most {per_minute} signals a minute")
    if rates.take("sent", payer, len(orjson.dumps(sent.payload))):
        raise HoldfastError("rate_limited", f"at most {per_hour} bytes an hour")
