"""Commands of the log writer: appends, session changes, database jobs, and their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from sessions_app import models
from sessions_app.core import fold, vocabulary
from sessions_app.core.branches import Place
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, SignalRecord

T = TypeVar("T")


class SessionLog(Protocol):
    """One session's log within a transaction that holds the lock of its row. `now` is the transaction's time."""

    @property
    def session(self) -> str: ...

    @property
    def now(self) -> datetime: ...

    @property
    def next_serial(self) -> int: ...

    @property
    def leaf(self) -> str | None:
        """What the next message follows: a message, or the response of a run that waits; None in an empty session."""

    def grow(self, uid: str) -> None:
        """Make the next message follow this response, which a run is to write."""

    def append(
        self, uid: str, chunks: list[Chunk], *, run: str = "", worker: str = "", place: Place | None = None
    ) -> AppendResult:
        """Append chunks to a message and write them. Raises HoldfastError if one is refused."""

    def add_bytes(self, size: int) -> None:
        """Count bytes that the session stores besides its messages."""

    def say(self, signal: SignalRecord) -> None:
        """Append an event with a signal's new record."""


class AppendResult(NamedTuple):
    """An append's outcome: the serial of its last chunk. `repeated`: it had been stored before.

    `refusal`: why the chunks after that one were not stored.
    """

    serial: int
    repeated: bool = False
    refusal: HoldfastError | None = None


OnResult = Callable[[AppendResult | HoldfastError], None]
Also = Callable[[SessionLog], None]  # work for the transaction that stores a chunk


def _ignore(outcome: AppendResult | HoldfastError) -> None:
    """The default `on_result`: within a transaction the outcome is returned."""


@dataclass(slots=True)
class Append:
    """Chunks for one message, applied in order up to the first that is refused.

    `run` and `worker`: the run that writes the message; refused as fenced unless the run is that worker's.
    `after`: the message's last serial known to the publisher, 0 for none. A message that is further already holds the
    append: the connection to the database broke at COMMIT, so its publisher was not told.
    `starts`: a run to create in the same transaction. `also`: work for the transaction, each item done once the chunk
    at its position is applied. `sequence`: a remote producer's number for this append to the message, from 1; it
    replaces `after`. `digest`: of its chunks, by which a repeat of that number is recognized. `place`: where the
    message is to stand, if not after the last one.
    """

    session: str
    uid: str
    chunks: list[Chunk]
    on_result: OnResult = _ignore
    run: str = ""
    worker: str = ""
    after: int | None = None
    starts: models.Run | None = None
    also: tuple[tuple[int, Also], ...] = ()
    sequence: int = 0
    digest: str = ""
    place: Place | None = None

    @property
    def begins(self) -> bool:
        """Return whether it creates its message."""
        return self.chunks[0]["type"] in vocabulary.BEGINS

    @property
    def ends(self) -> bool:
        """Return whether it ends its message."""
        return self.chunks[-1]["type"] in vocabulary.ENDS

    @property
    def is_empty(self) -> bool:
        """Return whether it ends the message that it creates, which has no part."""
        kinds = [chunk["type"] for chunk in self.chunks]
        return kinds[-1] in vocabulary.ENDS and set(kinds[:-1]) <= {"start", "message-metadata"}


@dataclass(slots=True)
class SessionChange(Generic[T]):
    """A change of a session's log other than an append, such as a signal. `work` makes it in the transaction.

    Session changes follow the appends of their transaction. A HoldfastError raised by `work` is its outcome, and what
    `work` has done is undone.
    """

    session: str
    work: Callable[[SessionLog], T]
    on_result: Callable[[T | HoldfastError], None]


@dataclass(slots=True)
class DatabaseJob(Generic[T]):
    """A small write of this process that shares the transaction of what is published meanwhile.

    SQLite has one write lock and no queue for it: a process that competes with itself can starve its own lease.
    Jobs come last in their transaction, those with an `order` in that order, the same in every process: see
    `database.locking`. `at_once`: `on_result` is called in the writer's thread, however long the loop is held.
    """

    work: Callable[[], T]
    on_result: Callable[[T | HoldfastError], None]
    order: str = ""
    at_once: bool = False


Outcome = Any  # an AppendResult, or what `work` has returned; or the HoldfastError that refused it
Write = Append | SessionChange[Outcome] | DatabaseJob[Outcome]


class RunChanges(NamedTuple):
    """Runs whose responses began or ended in a transaction; those that ended with their message."""

    begun: list[str]
    ended: list[tuple[str, fold.MessageState]]


OpenLog = Callable[[str], SessionLog]  # of a session that the transaction has locked; raises not_found
Follow = Callable[[RunChanges, OpenLog], None]  # does what follows from them, in their transaction
