"""Signal handlers: what each kind of signal does to its session, in the transaction that stores it.

An invalid signal raises HoldfastError and isn't stored. One that lost to another client's is stored as rejected, so
that all clients see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import orjson

from sessions_app import conf, models
from sessions_app.core import busy, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import MessageState
from sessions_app.core.signals import Sent
from sessions_app.core.text import SurrogateJoiner
from sessions_app.core.wire_types import Chunk, Part, Payload
from sessions_app.database import rows
from sessions_app.event_log import queries, quota
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import Approval, RemoteAgent, Run, Signal, new_id
from sessions_app.runs import claims, lifecycle, retries, run_rows
from sessions_app.runs.run_rows import SignalContext

STOPPED = "It was stopped before an agent began to answer."
STOPPED_ELSEWHERE = "It was stopped. Its agent can't add anything more."
ASKS = ("message", "steer", "retry")  # kinds that ask for more to be stored; the others end what is under way
NO_ACTIVE_AGENT = "No agent was at work on an answer, so this became a question of its own."


class Receipt(NamedTuple):
    """Receipt of a signal: its serial, and the reason if it was rejected."""

    serial: int
    problem: HoldfastError | None = None


class About(NamedTuple):
    """References of a signal. `target` is an approval or a tool call."""

    run: Run | None = None
    message: str = ""
    target: str = ""


NOTHING = About()


def handle(log: SessionLog, sent: Sent) -> Receipt:
    """Store a signal and carry it out. A repeated id gets its first receipt again. Raises HoldfastError."""
    found = run_rows.context(log.session, sent.id, sent.payer)
    if found.is_known:
        return _repeat(log, sent)
    if sent.kind in ASKS:
        quota.check(found.stored)
    return _HANDLERS[sent.kind](log, sent, found)


def _repeat(log: SessionLog, sent: Sent) -> Receipt:
    known = Signal.objects.get(session=log.session, uid=sent.id)
    if known.kind != sent.kind and {known.kind, sent.kind} != {"message", "steer"}:
        raise HoldfastError("conflict", f"it is an earlier {known.kind}'s")
    if _canonical(orjson.loads(known.payload)) != _canonical(sent.payload):
        raise HoldfastError("conflict", f"the earlier {known.kind} is stored and unchanged")
    return Receipt(known.serial, HoldfastError.stored(known.code, known.reason) if _was_refused(known) else None)


def _canonical(payload: object) -> bytes:
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def _was_refused(signal: Signal) -> bool:
    """Return True if the signal was rejected on arrival, not by a later event."""
    return signal.status == signals.REJECTED and signal.serial == signal.last_serial


# Messages, steers and retries


def _message(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    policy = _while_busy(found.agent) if found.has_active else "queue"
    if policy == "reject":
        raise HoldfastError("busy")
    if policy == "steer":
        return _steer(log, replace(sent, kind="steer"), found)
    if policy == "interrupt":
        active = lifecycle.at_work(log.session)
        _stop(log, active, _store(log, Sent(f"stop_{new_id()}", "cancel", sent.actor, issued_by=sent.issued_by)))
    return _turn(log, sent, found.agent)


def _while_busy(agent: str) -> str:
    """Return what becomes of a message while the agent is at work."""
    if claims.is_inside(agent):
        return busy.policy_of(agent)
    return RemoteAgent.objects.filter(pk=agent).values_list("while_busy", flat=True).first() or "queue"


def _steer(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    active = [
        run for run in lifecycle.at_work(log.session) if run.cancel_id is None and not lifecycle.is_elsewhere(run)
    ]
    if not active:
        return _turn(log, sent, found.agent, reason=NO_ACTIVE_AGENT)
    if models.Message.objects.filter(session=log.session, uid=sent.id).exists():
        raise HoldfastError("message_exists")
    signal = _store(log, sent, About(active[0], active[0].uid))
    return Receipt(signal.serial)


def _turn(log: SessionLog, sent: Sent, agent: str, *, reason: str = "") -> Receipt:
    """Add a person's message, and the run that answers it."""
    stored = log.append(sent.id, [signals.turn_chunk(sent.payload)])
    if stored.repeated:  # its message is older than what is known of signals
        written = queries.message(log.session, sent.id)
        if written is None or not _is_same(written, sent.payload):
            raise HoldfastError("conflict", "the earlier message is stored and unchanged")
        return Receipt(stored.serial)
    status = signals.ACCEPTED if agent else signals.APPLIED
    signal = _row(log, sent, serial=stored.serial, status=status, reason=reason)
    if agent:
        _check_waiting(sent.payer)
        lifecycle.create(log, signal, agent=agent, prompt=sent.id)
    else:
        rows.insert([signal])
    if sent.kind != "message":
        lifecycle.announce(log, signal)
    return Receipt(stored.serial)


def _is_same(written: MessageState, payload: Payload) -> bool:
    return written.parts == payload["parts"] and written.metadata == payload.get("metadata")


def _check_waiting(owner: str) -> None:
    """Raise too_many_waiting if as many runs of an owner wait as may."""
    most = conf.settings.waiting_runs_per_owner
    if run_rows.count_waiting(owner) >= most:
        raise HoldfastError("too_many_waiting", f"at most {most}")


def _retry(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    try:
        earlier, mode = retries.read(log, sent)
    except HoldfastError as problem:
        if problem.code != "already_retried":
            raise
        return _refuse(log, sent, problem, About(message=sent.payload["message"]))
    _check_waiting(sent.payer)
    signal = _row(log, sent, serial=log.next_serial)
    lifecycle.create(
        log, signal, agent=found.agent or earlier.agent, prompt=earlier.prompt, mode=mode, earlier=earlier.uid
    )
    lifecycle.announce(log, signal)
    return Receipt(signal.serial)


# Cancelling


def _cancel(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    wanted = sent.payload.get("message")
    active = [run for run in lifecycle.at_work(log.session) if wanted in (None, run.uid)]
    if not active:
        raise HoldfastError("nothing_to_stop")
    signal = _store(log, sent, About(message=wanted or (active[0].uid if len(active) == 1 else "")))
    _stop(log, active, signal)
    return Receipt(signal.serial)


def _stop(log: SessionLog, active: list[Run], signal: Signal) -> None:
    """End waiting runs and request running ones to stop, which `inbox` and `leases` carry out."""
    Run.objects.filter(pk__in=[run.pk for run in active], cancel=None).update(cancel=signal)
    for run in active:
        if run.status == Run.Status.WAITING:
            lifecycle.end_unbegun(log, run, {"type": "abort", "reason": STOPPED})
        elif lifecycle.is_elsewhere(run):
            end: Chunk = {"type": "abort", "reason": STOPPED_ELSEWHERE}
            last = SurrogateJoiner.load(run.halves).join(end)
            log.append(run.uid, last, run=run.pk, worker=run.worker_id or "")


# Approvals and tools


def _decide(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    approval = Approval.objects.select_related("run", "decision").filter(
        session=log.session, uid=sent.payload["approval"]
    ).first()  # fmt: skip
    if approval is None:
        raise HoldfastError("no_such_approval")
    about = About(approval.run, approval.run.uid, approval.uid)
    problem = _undecidable(log, approval, sent)
    if problem:
        return _refuse(log, sent, problem, about)
    signal = _store(log, sent, about)
    approval.status = Approval.Status.APPROVED if sent.kind == "approve" else Approval.Status.DENIED
    approval.decision, approval.decided_at = signal, log.now
    approval.save(update_fields=["status", "decision", "decided_at"])
    return Receipt(signal.serial)


def _undecidable(log: SessionLog, approval: Approval, sent: Sent) -> HoldfastError | None:
    if approval.decision is not None:
        word = "approved" if approval.status == Approval.Status.APPROVED else "denied"
        actor = "you" if approval.decision.actor == sent.actor else approval.decision.actor
        return HoldfastError("already_decided", f"{actor} {word} it")
    late = approval.expires_at is not None and approval.expires_at <= log.now
    if late or approval.status != Approval.Status.PENDING or approval.run.status != Run.Status.RUNNING:
        return HoldfastError("approval_expired", _why_expired(log, approval))
    if sent.kind == "deny":
        return None
    if sent.payload["input_hash"] != approval.input_hash:
        return HoldfastError("input_mismatch")
    if "input" in sent.payload and not approval.editable:
        return HoldfastError("not_editable")
    return None


def _why_expired(log: SessionLog, approval: Approval) -> str:
    replaced = models.Message.objects.filter(session=log.session, uid=approval.run.uid).exclude(replaced_by=None)
    return "its answer was replaced by another one" if replaced.exists() else ""


def _tool_result(log: SessionLog, sent: Sent, found: SignalContext) -> Receipt:
    message, call = sent.payload["message"], sent.payload["call"]
    run = Run.objects.running().filter(session=log.session, uid=message).first()
    if run is None:
        raise HoldfastError("no_such_call", "the answer that called it has ended")
    about = About(run, message, call)
    given = Signal.objects.filter(run=run, kind="tool-result", target=call).exclude(status=signals.REJECTED)
    if given.exists():
        return _refuse(log, sent, HoldfastError("already_decided", "the result was already given"), about)
    response = queries.message(log.session, message)
    if response is None or not any(map(_waits(call), response.parts)):
        raise HoldfastError("no_such_call")
    return Receipt(_store(log, sent, about).serial)


def _waits(call: str) -> Callable[[Part], bool]:
    """Return a test for the part that is this call, without a result yet."""
    return lambda part: part.get("toolCallId") == call and part["state"] in ("input-available", "approval-responded")


_HANDLERS: dict[str, Callable[[SessionLog, Sent, SignalContext], Receipt]] = {
    "message": _message,
    "steer": _steer,
    "cancel": _cancel,
    "approve": _decide,
    "deny": _decide,
    "tool-result": _tool_result,
    "retry": _retry,
}


# Storing


def _store(log: SessionLog, sent: Sent, about: About = NOTHING) -> Signal:
    """Store a signal and announce it."""
    signal = _row(log, sent, about, serial=log.next_serial)
    lifecycle.announce(log, signal)
    return signal


def _refuse(log: SessionLog, sent: Sent, problem: HoldfastError, about: About) -> Receipt:
    """Store a signal as rejected: its sender may have left, and the other clients see it."""
    signal = _row(log, sent, about, serial=log.next_serial, status=signals.REJECTED, reason=problem.message)
    signal.code = problem.code
    lifecycle.announce(log, signal)
    return Receipt(signal.serial, problem)


def _row(
    log: SessionLog,
    sent: Sent,
    about: About = NOTHING,
    *,
    serial: int,
    status: str = signals.ACCEPTED,
    reason: str = "",
) -> Signal:
    payload = orjson.dumps(sent.payload)
    log.add_bytes(len(payload))
    return Signal(
        session_id=log.session,
        uid=sent.id,
        kind=sent.kind,
        actor=sent.actor,
        issued_by=sent.issued_by or None,
        payload=payload.decode(),
        serial=serial,
        last_serial=serial,
        created_at=log.now,
        changed_at=log.now,
        run=about.run,
        message=about.message,
        target=about.target,
        status=status,
        reason=reason,
    )
