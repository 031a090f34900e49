"""Branches: the place of a message among its session's messages, and the conversation as a model is told it.

A message follows its `parent`. Messages with the same parent are alternatives, of which one is on show: PROTOCOL.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sessions_app.core.fold import merge
from sessions_app.core.message import MessageState, nothing_open
from sessions_app.core.wire_types import Part

MOST_REPLACED = 200  # messages that one message may take the place of: their ids are in the event that begins it


class Place(NamedTuple):
    """Where a response is to stand. `continues`: its parent is the answer that it goes on with.

    `instead_of`: it takes the place of this answer, and of what follows that, unless it has ended before it has any
    part: then it follows `parent`, as it does if that answer is gone.
    """

    parent: str
    continues: bool = False
    instead_of: str = ""


class Standing(NamedTuple):
    """Where a message stands: its parent, the answer that it continues, and the ids of the messages it replaces."""

    parent: str | None = None
    continues: str | None = None
    replaces: list[str] = []


ALONE = Standing()


def subtree(root: str, parents: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return a message and all that follow it. `parents`: each message's id and parent, in the order of the result."""
    children: dict[str | None, list[str]] = {}
    for uid, parent in parents:
        children.setdefault(parent, []).append(uid)
    found = [root]
    for uid in found:  # grows meanwhile
        found += children.pop(uid, [])
    return found


def path(messages: list[MessageState], end: str) -> list[MessageState]:
    """Return the messages that lead to `end`, oldest first: its chain of parents.

    `messages` are in order, oldest first; all of them are returned if `end` isn't one. Where a parent is missing, which
    retention may have removed, the message before it in that order takes its place.
    """
    left = {message.id: message for message in messages}
    if end not in left:
        return messages
    chain = []
    at: MessageState | None = left.pop(end)
    while at is not None:
        chain.append(at)
        at = left.pop(at.parent or "", None) or _before(at, left)
    return chain[::-1]


def _before(message: MessageState, left: dict[str, MessageState]) -> MessageState | None:
    older = [other for other in left.values() if other.first_serial < message.first_serial]
    return left.pop(older[-1].id) if older else None


def joined(messages: Iterable[MessageState]) -> list[MessageState]:
    """Return the messages with each chain of continuations as one answer, under the id of the first."""
    answers: list[MessageState] = []
    last = ""
    for message in messages:
        if answers and message.continues == last:
            answers[-1] = _join(answers[-1], message)
        else:
            answers.append(message)
        last = message.id
    return answers


def _join(earlier: MessageState, later: MessageState) -> MessageState:
    metadata = earlier.metadata if later.metadata is None else merge(earlier.metadata or {}, later.metadata)
    parts = _join_parts(earlier.parts, later.parts)
    return MessageState(
        id=earlier.id,
        role=earlier.role,
        status=later.status,
        first_serial=earlier.first_serial,
        last_serial=later.last_serial,
        created_at=earlier.created_at,
        reason=later.reason,
        metadata=metadata,
        parts=parts,
        open=nothing_open(),  # it is told, and not folded any further
        marks=[[earlier.first_serial, later.last_serial] for _ in parts],
        parent=earlier.parent,
        continues=earlier.continues,
        replaced_by=later.replaced_by,
    )


def _join_parts(earlier: list[Part], later: list[Part]) -> list[Part]:
    """Return the parts of both. A text that was broken off and goes on is one part, after the reasoning between."""
    speech = [index for index, part in enumerate(later) if part["type"] not in ("step-start", "reasoning")][:1]
    if not (speech and earlier) or earlier[-1]["type"] != "text" or later[speech[0]]["type"] != "text":
        return [*earlier, *later]
    first = speech[0]
    whole = later[first].copy()
    whole["text"] = earlier[-1]["text"] + later[first]["text"]
    reasoning = [part for part in later[:first] if part["type"] == "reasoning"]
    return [*earlier[:-1], *reasoning, whole, *later[first + 1 :]]
