"""Approvals and approved calls of a run, within the transaction that stores what tells of them.

The agent's backend calls these: a run in this process, or the site for a worker elsewhere.
"""

from __future__ import annotations

from django.db.models import QuerySet

from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tools import UNKNOWN_OUTCOME, UNTOLD
from sessions_app.event_log import queries
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import Approval, Run, Signal
from sessions_app.runs import lifecycle

Execution = Approval.Execution


def apply_signal(key: int, log: SessionLog) -> None:
    """Give a signal its final receipt."""
    lifecycle.settle_by_key(log, key, signals.APPLIED)


def insert_approval(approval: Approval, log: SessionLog) -> None:
    """Store an approval. Called again if the transaction was rolled back."""
    approval.pk = None  # of the rolled-back attempt: the database may have given it to another row since
    approval.save(force_insert=True)


def begin_call(log: SessionLog, approval: str, run: str, attempt: str) -> bool | None:
    """Record that an approved call begins, the first time; None if its run is to stop. Raises fenced.

    `attempt`: an id by which the same beginning is known when it is repeated.
    """
    running = Run.objects.running().filter(pk=run).first()
    if running is None:
        raise HoldfastError("fenced")
    approved = Approval.objects.filter(run=run, uid=approval, status=Approval.Status.APPROVED)
    begun = approved.filter(execution=Execution.BEGUN, attempt=attempt)  # by a COMMIT whose answer was lost
    if running.cancel_id is not None:
        begun.update(execution=Execution.NONE, attempt=None)  # nothing was called
        return None
    return bool(approved.filter(execution=Execution.NONE).update(execution=Execution.BEGUN, attempt=attempt)) or (
        begun.exists()
    )


def end_call(approval: str, execution: Approval.Execution, log: SessionLog) -> None:
    """Record how a call ended."""
    Approval.objects.filter(session=log.session, uid=approval).update(execution=execution)


def add_usage(run: str, input_tokens: int, output_tokens: int, log: SessionLog) -> None:
    """Add to the tokens that a run's model has read and written."""
    lifecycle.add_usage(run, input_tokens, output_tokens)


# Of a run elsewhere, by what its chunks name


def apply_steer(run: str, uid: str, log: SessionLog) -> None:
    """Give a steer of the run its final receipt."""
    _apply(log, Signal.objects.open().filter(session=log.session, run=run, kind="steer", uid=uid))


def insert_approval_elsewhere(approval: Approval, log: SessionLog) -> None:
    """As `insert_approval`: the response says which tool it is, and a repeat of the request changes nothing."""
    if Approval.objects.filter(session=log.session, uid=approval.uid).exists():
        return
    response = queries.message(log.session, Run.objects.values_list("uid", flat=True).get(pk=approval.run_id))
    part = (
        next((part for part in response.parts if part.get("toolCallId") == approval.call), None) if response else None
    )
    if part is not None:
        approval.tool = part.get("toolName") or part["type"].removeprefix("tool-")
    insert_approval(approval, log)


def end_call_elsewhere(run: str, call: str, error: str | None, log: SessionLog) -> None:
    """Record how a call of the run ended, and give the result that a client has sent for it its final receipt."""
    begun = Approval.objects.filter(run=run, call=call, execution=Execution.BEGUN)
    if error != UNKNOWN_OUTCOME:
        begun.update(execution=Execution.DONE if error in (None, UNTOLD) else Execution.FAILED)
    _apply(log, Signal.objects.open().filter(run=run, kind="tool-result", target=call))


def _apply(log: SessionLog, sent: QuerySet[Signal]) -> None:
    for signal in sent:
        lifecycle.settle(log, signal, signals.APPLIED)
