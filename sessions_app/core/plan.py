"""The resume plan: decides what an attach gets, from the session's position and the client's cursor."""

from __future__ import annotations

from dataclasses import dataclass

from sessions_app.core.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Position:
    """A session's position in one consistent read.

    `trimmed` is the highest last serial among the messages and signals that retention has removed or hides.
    """

    epoch: str
    tail: int
    trimmed: int

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epoch, self.tail)


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume: every message changed after this serial, and only what changed of each."""

    after: int


@dataclass(frozen=True, slots=True)
class Rewind:
    """Rewind: the newest messages, whole. With a reason it is a reset."""

    reason: str | None = None


def plan(position: Position, cursor: Cursor | None) -> Resume | Rewind:
    """Decide between resume, rewind and reset; PROTOCOL.md §6 lists the reasons."""
    if cursor is None:
        return Rewind()
    if cursor.epoch != position.epoch:
        return Rewind("epoch-changed")
    if cursor.serial > position.tail:
        return Rewind("ahead")
    if cursor.serial < position.trimmed:
        return Rewind("trimmed")
    return Resume(cursor.serial)
