"""Answers that a chat request is about: queries, each for a database thread."""

from __future__ import annotations

from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import MessageState
from sessions_app.event_log import queries
from sessions_app.models import Message, Run, Signal
from sessions_app.runs import lifecycle


def stored(session: str, uid: str) -> MessageState | None:
    """Return a message as it is stored now."""
    with queries.consistent_read():
        return queries.message(session, uid)


def held(session: str, uid: object) -> MessageState:
    """Return the answer that a client sends back. Raises no_such_call."""
    found = stored(session, uid) if isinstance(uid, str) else None
    if found is None or found.role != "assistant":
        raise HoldfastError("no_such_call", "this chat has no such answer")
    return found


def to_signal(session: str, signal: str) -> str:
    """Return the response that answers a signal, or the one that has taken its place; empty if no agent answers."""
    uid = Signal.objects.filter(session=session, uid=signal).values_list("message", flat=True).first()
    if uid is None:  # retention has removed the signal, and not yet its message
        answers = Message.objects.on_show().filter(session=session, parent=signal, role="assistant")
        return answers.values_list("uid", flat=True).first() or ""
    while newer := Message.objects.filter(session=session, uid=uid).values_list("replaced_by", flat=True).first():
        uid = newer
    return uid


def active(session: str) -> str | None:
    """Return the response that an agent is at work on, else the one that waits for an agent next."""
    at_work = lifecycle.at_work(session)
    return at_work[0].uid if at_work else None


class Regeneration:
    """What a client wants to have again: `answer`, for the `attempt`th time; or `under_way`, which it already gets."""

    def __init__(self, answer: str = "", attempt: int = 0, under_way: str = "") -> None:
        self.answer = answer
        self.attempt = attempt
        self.under_way = under_way


def to_regenerate(session: str, wanted: str | None, last: str | None) -> Regeneration:
    """Find the answer to regenerate: `wanted`, or the one on show to a person's message: `wanted` too, else `last`.

    Raises not_retryable.
    """
    messages = Message.objects.filter(session=session)
    if wanted is not None and messages.filter(uid=wanted, role="assistant").exists():
        return _again(session, wanted)
    prompt = last if wanted is None else wanted
    if prompt is None or not messages.filter(uid=prompt, role="user").exists():
        raise HoldfastError("not_retryable", "this chat has no such message")
    run = Run.objects.active().filter(session=session, prompt=prompt).first()
    if run is not None:
        return Regeneration(under_way=run.uid)
    answer = messages.on_show().filter(role="assistant", parent=prompt).order_by("-first_serial").first()
    if answer is None:
        raise HoldfastError("not_retryable", "nothing has answered this message")
    return _again(session, answer.uid)


def _again(session: str, answer: str) -> Regeneration:
    attempts = Run.objects.ended().filter(session=session, earlier=answer, mode=Run.Mode.REGENERATE)
    return Regeneration(answer, attempts.exclude(uid__in=_replacing(session, answer)).count())


def _replacing(session: str, answer: str) -> list[str]:
    """Return the message that has taken an answer's place: the request for it, sent again, gets it."""
    found = Message.objects.filter(session=session, uid=answer).values_list("replaced_by", flat=True)
    return [uid for uid in found if uid]
