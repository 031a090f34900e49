"""Retries: which answer a retry is about, and what refuses it. Called in a transaction with the session's lock."""

from __future__ import annotations

from typing import NamedTuple

from sessions_app.core.branches import MOST_REPLACED
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import Sent
from sessions_app.event_log import branch_queries
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import Message, Run
from sessions_app.runs import lifecycle

CONTINUE, REGENERATE = Run.Mode.CONTINUE, Run.Mode.REGENERATE


class Retry(NamedTuple):
    """A retry that counts: the run of the answer that it is about, and its mode."""

    earlier: Run
    mode: str


def read(log: SessionLog, sent: Sent) -> Retry:
    """Return what a retry asks for. Raises not_retryable, busy, and already_retried if another retry was first."""
    mode = sent.payload["mode"]
    run, answer = _ended(log, sent.payload["message"])
    about = {answer.uid}
    while _replaced_nothing(run, answer):
        mode = REGENERATE
        run, answer = _ended(log, run.earlier)
        about.add(answer.uid)
    if mode == REGENERATE and answer.continues is not None:
        run, answer = _ended(log, branch_queries.first_of_chain(log.session, answer).uid)
        about.add(answer.uid)
    _check_first(log, answer, about)
    if mode == CONTINUE:
        _check_last(log, answer)
    elif len(branch_queries.subtree(log.session, answer.uid)) > MOST_REPLACED:
        raise HoldfastError("not_retryable", f"more than {MOST_REPLACED - 1} messages follow it")
    return Retry(run, mode)


def _ended(log: SessionLog, uid: str) -> tuple[Run, Message]:
    run = Run.objects.ended().filter(session=log.session, uid=uid).first()
    if run is None or not run.prompt:
        raise HoldfastError("not_retryable", "it isn't an ended answer")
    answer = Message.objects.filter(session=log.session, uid=uid).first()
    if answer is None:
        raise HoldfastError("not_retryable", "the answer has expired")
    return run, answer


def _replaced_nothing(run: Run, answer: Message) -> bool:
    """Return whether it was to replace an answer, and ended before its agent began: see `branches.Place`."""
    return run.mode == REGENERATE and answer.parent == run.parent and answer.parts == "[]"


def _check_first(log: SessionLog, answer: Message, about: set[str]) -> None:
    active = lifecycle.at_work(log.session)
    if answer.replaced_by or any(run.earlier in about for run in active):
        raise HoldfastError("already_retried")
    if active:
        raise HoldfastError("busy")


def _check_last(log: SessionLog, answer: Message) -> None:
    if answer.status == Message.Status.COMPLETE:
        raise HoldfastError("not_retryable", "the answer is complete")
    if Message.objects.on_show().filter(session=log.session, continues=answer.uid).exists():
        raise HoldfastError("already_retried")
    if log.leaf != answer.uid:
        raise HoldfastError("not_retryable", "the conversation has gone on since")
