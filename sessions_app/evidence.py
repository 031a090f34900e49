"""Notes how connections end, for `diagnosis`: in bounded memory, off the event loop, and never at a connection's cost.

What can't be noted, because the database fails or more comes than is worth storing, is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Max, QuerySet
from django.utils import timezone

from sessions_app import conf, executor
from sessions_app.core import proxies
from sessions_app.models import ConnectionRecord

logger = logging.getLogger(__name__)

Ended = ConnectionRecord.Ended

PROCESS = f"{socket.gethostname()}:{os.getpid()}"
WRITE_EVERY_S = 5.0
BATCH = 500  # records that wait for the next write: a hundred a second, beyond which more of them tell nothing new
PER_OWNER = 20  # of one batch: nobody can fill the table alone, and so push out what others' connections tell


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is remembered of a connection while it lives; `at` is the loop's time, in seconds."""

    transport: str
    at: float
    hints: proxies.Hints


@dataclass(frozen=True, slots=True)
class Note:
    """A connection that has ended: a ConnectionRecord that is not made yet."""

    beginning: Beginning
    ended_at: datetime
    ended: str
    code: int | None
    life_s: float
    idle_s: float | None
    exact: bool


class Evidence:
    """One process's notes. `dropped` counts those that were not stored."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._clock = clock
        self._waiting: list[Note] = []
        self._owners: Counter[str] = Counter()

    def begin(self, transport: str, headers: Iterable[tuple[bytes, bytes]]) -> Beginning:
        """Note that a connection begins, with its request's headers as an ASGI scope has them."""
        return Beginning(transport, self._clock(), proxies.hints(headers))

    def end(
        self,
        beginning: Beginning,
        ended: str,
        *,
        owner: str,
        code: int | None = None,
        idle_s: float | None = None,
        exact: bool = False,
    ) -> None:
        """Note how it ended: one of `Ended`. The owner is not stored."""
        if not conf.EVIDENCE_HOURS:
            return
        if len(self._waiting) >= BATCH or self._owners[owner] >= PER_OWNER:
            self.dropped += 1
            return
        self._owners[owner] += 1
        life_s = self._clock() - beginning.at
        self._waiting.append(Note(beginning, timezone.now(), ended, code, life_s, idle_s, exact))

    async def write(self) -> None:
        """Store what waits. One call at a time."""
        notes, self._waiting = self._waiting, []
        self._owners.clear()
        if not notes:
            return
        try:
            await executor.run(_store, notes)
        except DatabaseError as error:
            self.dropped += len(notes)
            logger.warning("how %d connections ended is not stored (%d so far): %s", len(notes), self.dropped, error)


def _store(notes: list[Note]) -> None:
    ConnectionRecord.objects.bulk_create(_record(note) for note in notes)


def _record(note: Note) -> ConnectionRecord:
    hints = note.beginning.hints
    return ConnectionRecord(
        transport=note.beginning.transport,
        process=PROCESS,
        ended_at=note.ended_at,
        ended=note.ended,
        code=note.code,
        life_s=note.life_s,
        idle_s=note.idle_s,
        exact=note.exact,
        headers=hints.headers,
        hops=hints.hops,
        ray=hints.ray,
    )


def outdated(now: datetime) -> list[QuerySet[ConnectionRecord]]:
    """The records that are kept no longer: the too old ones, and the oldest of too many."""
    records = ConnectionRecord.objects.order_by()
    newest = records.aggregate(newest=Max("pk"))["newest"] or 0
    return [
        records.filter(ended_at__lt=now - timedelta(hours=conf.EVIDENCE_HOURS)),
        records.filter(pk__lte=newest - conf.EVIDENCE_ROWS),
    ]
