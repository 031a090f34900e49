"""The resume plan: what an attach gets, decided from the session's position and the client's cursor alone."""

from __future__ import annotations

from dataclasses import dataclass

from sessions_app.core.cursor import Cursor


@dataclass(frozen=True, slots=True)
class Position:
    """Where a session stands, as one consistent read saw it.

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
    """Every message changed after this serial, and of each only what changed."""

    after: int


@dataclass(frozen=True, slots=True)
class Rewind:
    """The newest messages, whole. With a reason it is a reset."""

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
