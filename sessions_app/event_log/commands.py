"""What a publisher hands to `LogWriter`, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sessions_app import models
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError

if TYPE_CHECKING:
    from sessions_app.event_log.transaction import Log

Chunk = dict[str, Any]


class AppendResult(NamedTuple):
    """An append's outcome: the serial of its last chunk. `repeated`: it had been stored before.

    `refusal`: why the chunks after that one were not stored.
    """

    serial: int
    repeated: bool = False
    refusal: HoldfastError | None = None


OnResult = Callable[[AppendResult | HoldfastError], None]


def _nobody(outcome: AppendResult | HoldfastError) -> None:
    """Whoever stages an append within a transaction is given its outcome there."""


@dataclass(slots=True)
class Append:
    """What a publisher adds to one message. Chunks are taken in order; the first that is refused ends it.

    `run` and `worker`: whose response it is; refused as fenced when the run is no longer that worker's.
    `after`: the message's last serial that the publisher knows of, 0 for none. A message that is further has
    the append already (its publisher was not told, because the connection to the database broke at COMMIT).
    `starts`: a run to create in the same transaction. `also`: what else is done in it, each once the chunk at this
    position is taken. `sequence`: of a producer elsewhere, instead of `after`: the number of this append among the
    message's, from 1 on.
    """

    session: str
    uid: str
    chunks: list[Chunk]
    on_result: OnResult = _nobody
    run: str = ""
    worker: str = ""
    after: int | None = None
    starts: models.Run | None = None
    also: tuple[tuple[int, Callable[[Log], None]], ...] = ()
    sequence: int = 0

    @property
    def begins(self) -> bool:
        """Whether it is to create its message."""
        return self.chunks[0]["type"] in vocabulary.BEGINS
