"""Run lifecycle: creating, beginning and ending runs, and what that does to their signals.

Everything here is called in a transaction that holds the lock of the session's row, through its `SessionLog`.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from django.db.models import F, QuerySet

from sessions_app import models
from sessions_app.core import fold, signals, tools
from sessions_app.core.errors import HoldfastError
from sessions_app.core.text import SurrogateJoiner, without_nul
from sessions_app.core.wire_types import Chunk
from sessions_app.database import rows
from sessions_app.event_log import queries, signal_records
from sessions_app.event_log.commands import OpenLog, RunChanges, SessionLog
from sessions_app.runs import run_rows

UNREAD_STOPPED = "The agent was stopped before it read this. It is kept in the conversation."
UNREAD_NEXT = "It came too late for that answer, and is the next question instead."
ENDED_FIRST = "The agent had ended before it could act on this."
COMPLETE_FIRST = "The answer had ended before it could be stopped."
NO_AGENT = "no_agent"  # code of a message that waits for an agent elsewhere without a worker; see `absence`
NOT_YET = "No agent is there yet. It will be answered when one comes."
# What an empty response's end means for what caused it: a code, and why, if the response doesn't say it.
UNBEGUN = {
    "cancelled": ("stopped", "It was stopped before an agent began to answer."),
    "interrupted": ("interrupted", None),
}

# What changes of a signal once it is stored: attributes of its row.
CHANGEABLE = ("status", "code", "reason", "run_id", "message", "last_serial", "changed_at")

RUNNING, WAITING, ENDED = models.Run.Status.RUNNING, models.Run.Status.WAITING, models.Run.Status.ENDED


def at_work(session: str) -> list[models.Run]:
    """Return a session's runs that have not ended, the running ones first."""
    return run_rows.active(session)


def is_elsewhere(run: models.Run) -> bool:
    """Return whether a remote producer writes it: it receives no signals, and is fenced when it is stopped."""
    return not run.agent


def create(
    log: SessionLog,
    signal: models.Signal,
    *,
    agent: str,
    prompt: str,
    mode: str = models.Run.Mode.ANSWER,
    earlier: str = "",
) -> models.Run:
    """Create a run that a signal causes, and save the signal if it is new. One that isn't is to be announced."""
    run = models.Run(session_id=log.session, agent=agent, prompt=prompt, mode=mode, earlier=earlier, parent=log.leaf)
    log.grow(run.uid)
    signal.run, signal.message = run, run.uid
    if signal._state.adding:
        rows.insert([signal])  # its run follows: foreign keys are checked at COMMIT
    run.cause = signal
    rows.insert([run])
    return run


def end_unbegun(log: SessionLog, run: models.Run, end: Chunk) -> None:
    """End a run that waits, with an empty response."""
    models.Run.objects.filter(pk=run.pk).update(status=ENDED, ended_at=log.now)
    log.append(run.uid, [{"type": "start", "messageId": run.uid}, end], place=run.place)
    message = queries.message(log.session, run.uid)
    assert message is not None  # it has just been written
    _conclude([(run_rows.by_key([run.pk])[run.pk], message)], lambda _: log)


def interrupt(log: SessionLog, run_id: str, reason: str) -> bool:
    """End a run as interrupted; what its worker still writes is fenced. Return False if it has already ended.

    What its agent hasn't read is kept in the conversation, as after a cancel, and begins no run.
    """
    run = models.Run.objects.active().filter(session=log.session, pk=run_id).first()
    if run is None:
        return False
    for steer in _open_signals(run).filter(kind="steer"):
        _conclude_steer(log, steer, run, stopped=True)
    end: Chunk = {"type": "interrupt", "reason": reason}
    if run.status == WAITING:
        end_unbegun(log, run, end)
        return True
    _end_for_worker(log, run, end)
    return True


def end_orphan(log: SessionLog, run_id: str, end: Chunk) -> None:
    """End a run instead of its worker, unless it has ended meanwhile."""
    run = models.Run.objects.running().filter(session=log.session, pk=run_id).first()
    if run is not None:
        _end_for_worker(log, run, end)


def _end_for_worker(log: SessionLog, run: models.Run, end: Chunk) -> None:
    # Under the session's lock: the worker's last commit may have stored the outcome of a call a moment ago.
    response = queries.message(log.session, run.uid)
    if response is None:
        begun: list[Chunk] = [{"type": "start", "messageId": run.uid}, end]
        log.append(run.uid, begun, run=run.pk, worker=run.worker_id or "", place=run.place)
    elif fold.ended(response):
        models.Run.objects.filter(pk=run.pk).update(status=ENDED, ended_at=log.now)
    else:
        unknown = [chunk for chunk in unknown_outcomes(run.pk) if tools.takes(response, chunk)]
        last = SurrogateJoiner.load(run.halves).join(end)  # with what a remote producer has left half
        log.append(run.uid, [*unknown, *last], run=run.pk, worker=run.worker_id or "")


def expire(log: SessionLog, approval: str) -> bool:
    """Expire a pending approval. Return False if it was decided."""
    asked = models.Approval.objects.filter(session=log.session, uid=approval)
    asked.pending().update(status=models.Approval.Status.EXPIRED)
    return asked.filter(status=models.Approval.Status.EXPIRED).exists()


def settle(log: SessionLog, signal: models.Signal, status: str, *, code: str = "", reason: str = "") -> bool:
    """Give a signal its next status, and announce it. Return False if it already has a later one."""
    if not signals.may_follow(signal.status, status):
        return False
    kept = "" if signal.reason == NOT_YET else signal.reason
    signal.status, signal.code, signal.reason = status, code, without_nul(reason) or kept
    announce(log, signal)
    return True


def announce(log: SessionLog, signal: models.Signal) -> None:
    """Save a signal, and add its record to the log for all readers."""
    signal.last_serial, signal.changed_at = log.next_serial, log.now
    if signal._state.adding:
        rows.insert([signal])
    else:
        rows.update(signal, CHANGEABLE)
    log.say(signal_records.record(signal))


def settle_by_key(log: SessionLog, key: int, status: str) -> bool:
    """`settle` the signal with this key."""
    signal = models.Signal.objects.filter(pk=key).first()
    return signal is not None and settle(log, signal, status)


def add_usage(run: str, input_tokens: int, output_tokens: int) -> None:
    """Add to a run's model usage."""
    models.Run.objects.filter(pk=run).update(
        input_tokens=F("input_tokens") + input_tokens,
        output_tokens=F("output_tokens") + output_tokens,
    )


# After a response's beginning and end


def follow(changes: RunChanges, open_log: OpenLog) -> None:
    """Do what follows from the responses that have begun or ended in a transaction. The log writer calls this."""
    begun, ended = changes
    ended_runs = {run for run, _ in ended}
    if began := [run for run in begun if run not in ended_runs]:
        for run in run_rows.by_key(began).values():
            if run.cause is not None:
                settle(open_log(run.session_id), run.cause, signals.APPLIED)
    if not ended:
        return
    found = run_rows.by_key(ended_runs)
    if found:
        _conclude([(found[run], message) for run, message in ended if run in found], open_log)


def _conclude(ended: Sequence[tuple[models.Run, fold.MessageState]], open_log: OpenLog) -> None:
    """Settle ended runs' signals: each gets its final receipt, or becomes the next turn.

    What there is to settle is looked up for all together: nearly always nothing.
    """
    runs = [run for run, _ in ended]
    unsettled = run_rows.unsettled(runs)
    for run, message in ended:
        if run.cause:
            _conclude_cause(open_log(run.session_id), run.cause, message)
        if run.session_id in unsettled:
            _conclude_signals(open_log(run.session_id), run, message)
    run_rows.expire_approvals(runs)


def _conclude_signals(log: SessionLog, run: models.Run, message: fold.MessageState) -> None:
    for cancel in models.Signal.objects.open().filter(session=log.session, kind="cancel"):
        if cancel.message in ("", run.uid):
            _conclude_cancel(log, cancel, message)
    for signal in _open_signals(run):
        if signal.kind == "steer":
            _conclude_steer(log, signal, run, stopped=message.status == "cancelled")
        else:
            settle(log, signal, signals.EXPIRED, reason=ENDED_FIRST)


def _open_signals(run: models.Run) -> QuerySet[models.Signal]:
    """Return a run's open signals, in order, without the one that caused it."""
    sent = models.Signal.objects.open().filter(run=run).exclude(pk=run.cause_id or 0)
    return sent.order_by("serial")


def _conclude_cause(log: SessionLog, cause: models.Signal, message: fold.MessageState) -> None:
    if message.parts or message.status not in UNBEGUN:
        settle(log, cause, signals.APPLIED)
    else:
        code, reason = UNBEGUN[message.status]
        settle(log, cause, signals.REJECTED, code=code, reason=reason or message.reason or "")


def _conclude_cancel(log: SessionLog, cancel: models.Signal, message: fold.MessageState) -> None:
    concerned = models.Run.objects.filter(session=log.session).exclude(cancel=None)
    if not cancel.message and concerned.active().exists():
        return  # it is about others too
    responses = models.Message.objects.filter(
        session=log.session, uid__in=concerned.filter(cancel=cancel).values("uid")
    )
    end = responses.filter(status=models.Message.Status.CANCELLED).first()
    if message.status == "cancelled":
        settle(log, cancel, signals.APPLIED, reason=message.reason or "")
    elif end is not None:
        settle(log, cancel, signals.APPLIED, reason=orjson.loads(end.reason or "null") or "")
    else:
        settle(log, cancel, signals.REJECTED, code="nothing_to_stop", reason=COMPLETE_FIRST)


def _conclude_steer(log: SessionLog, signal: models.Signal, run: models.Run, *, stopped: bool) -> None:
    try:
        say_turn(log, signal)
    except HoldfastError as problem:  # another sender's message has its id
        settle(log, signal, signals.REJECTED, code=problem.code, reason=problem.message)
        return
    if stopped:
        settle(log, signal, signals.REJECTED, code="stopped", reason=UNREAD_STOPPED)
        return
    signal.reason = UNREAD_NEXT
    create(log, signal, agent=run.agent, prompt=signal.uid)
    announce(log, signal)


def say_turn(log: SessionLog, signal: models.Signal) -> int:
    """Add a signal's text as a person's message; return its serial."""
    return log.append(signal.uid, [signals.turn_chunk(orjson.loads(signal.payload))]).serial


# Runs of dead workers


def unknown_outcomes(run: str) -> list[Chunk]:
    """Return chunks that end a dead run's calls as unknown; they come before its response's end."""
    begun = models.Approval.objects.filter(run=run, execution=models.Approval.Execution.BEGUN)
    return [
        {"type": "tool-output-error", "toolCallId": call, "errorText": tools.UNKNOWN_OUTCOME}
        for call in begun.values_list("call", flat=True)
    ]
