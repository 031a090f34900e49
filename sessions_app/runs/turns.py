"""Turns that a back end begins, for a schedule or an event: as a person's message, marked with who began it.

    from sessions_app.runs import turns
    turns.begin(session, "What happened today?", id="daily-2026-12-01")

The same id again begins nothing, and returns the first turn. `begin` is for synchronous code in any process of the
site, such as a task of Celery's or a signal receiver of Django's.
"""

from __future__ import annotations

from typing import NamedTuple

from sessions_app import conf
from sessions_app.core import frames, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import Sent
from sessions_app.core.tokens import subject_problem
from sessions_app.core.wire_types import JsonObject
from sessions_app.event_log import queries
from sessions_app.models import Session, Signal
from sessions_app.runs import admin_changes, signal_handlers

SITE = "agent:site"  # who begins a turn that says nothing else


class Target(NamedTuple):
    """The session that a turn is begun in."""

    owner: str
    agent: str


class Begun(NamedTuple):
    """A turn: the id that it was begun with, the serial of its message, its run, and the id of the answer."""

    session: str
    id: str
    serial: int
    run: str | None
    message: str


def begin(session: str, text: str, *, id: str, by: str = SITE, metadata: JsonObject | None = None) -> Begun:
    """Begin a turn with this text in a session that has an agent. Raises HoldfastError.

    `id`: 8 to 64 characters of A-Z a-z 0-9 _ -. `by`: an identity such as agent:scheduler, which readers are told.
    """
    if not frames.SIGNAL_ID.match(id):
        raise HoldfastError("bad_signal", "its `id` is 8 to 64 characters of A-Z a-z 0-9 _ -")
    if problem := subject_problem(by):
        raise HoldfastError("bad_signal", problem)
    payload: JsonObject = {"parts": [{"type": "text", "text": text}]}
    if metadata is not None:
        payload["metadata"] = metadata
    sent = read(id, payload, target(session), by=by)
    receipt = admin_changes.change_session(session, signal_handlers.handle, sent)
    if receipt.problem:
        raise receipt.problem
    return begun(session, id)


def target(session: str) -> Target:
    """Return the owner and the agent of a session. Raises not_found, expired, and bad_signal without an agent."""
    queries.writable(session)
    owner, agent = Session.objects.values_list("owner", "agent").get(pk=session)
    if not agent:
        raise HoldfastError("bad_signal", "the session has no agent that could answer")
    return Target(owner, agent)


def read(id: str, payload: JsonObject, at: Target, *, by: str, issued_by: str = "") -> Sent:
    """Check what a turn is begun with. Raises bad_signal and message_too_large."""
    limits = signals.Limits(conf.settings.message_bytes, conf.settings.chunk_bytes)
    asked = signals.read(id, "message", payload, actor=by, limits=limits, issued_by=issued_by)
    marked = {**asked.payload.get("metadata", {}), "holdfast": {"begun_by": by}}
    return Sent(id, "message", by, {**asked.payload, "metadata": marked}, issued_by, owner=at.owner)


def begun(session: str, id: str) -> Begun:
    """Return the turn that was begun with this id."""
    signal = Signal.objects.get(session=session, uid=id)
    return Begun(session, id, signal.serial, signal.run_id, signal.message)
