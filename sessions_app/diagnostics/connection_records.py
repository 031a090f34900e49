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
from django.http import HttpRequest
from django.utils import timezone

from sessions_app import conf
from sessions_app.core import proxies
from sessions_app.core.asgi_types import Message
from sessions_app.database import threads
from sessions_app.models import ConnectionRecord

logger = logging.getLogger(__name__)

Ended = ConnectionRecord.Ended

PROCESS = f"{socket.gethostname()}:{os.getpid()}"
WRITE_EVERY_S = 5.0
ABNORMAL = 1006  # RFC 6455 §7.1.5: no close frame came
BATCH = 500  # records that wait for the next write: a hundred a second, beyond which more of them tell nothing new
PER_OWNER = 20  # of one batch: nobody can fill the table alone, and so push out what others' connections tell


@dataclass(slots=True)
class ConnectionStart:
    """What is remembered of a connection while it lives; `at` is the loop's time, in seconds."""

    transport: str
    at: float
    hints: proxies.Hints


@dataclass(slots=True)
class ConnectionEnd:
    """How a connection ended, one of `Ended`; the other fields as in ConnectionRecord."""

    ended: Ended
    code: int | None = None
    idle_s: float | None = None
    exact: bool = False


@dataclass(slots=True)
class EndedConnection:
    """A connection that has ended: a ConnectionRecord that is not made yet."""

    beginning: ConnectionStart
    end: ConnectionEnd
    ended_at: datetime
    life_s: float


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return of a request's headers those that `begin` reads, as an ASGI scope has them."""
    found = request.headers
    return [(name.encode(), found[name].encode("latin1", "replace")) for name in proxies.HEADERS if name in found]


def end_of_socket(message: Message, idle_s: float) -> ConnectionEnd:
    """Read a server's `websocket.disconnect`. `idle_s` is what is known where the server doesn't say it.

    Ours under Daphne says how it ended (`sockets_daphne.SocketProtocol.onClose`). Of others, uvicorn gives a reason to
    each close frame that it received, and none to a connection that ended without; code 1006 means that everywhere.
    """
    code = message.get("code")
    if "ended" in message:
        return ConnectionEnd(Ended(message["ended"]), code, message["idle_s"], exact=message["idle_s"] is not None)
    wordless = code == ABNORMAL or "reason" not in message
    return ConnectionEnd(Ended.CUT if wordless else Ended.BY_CLIENT, ABNORMAL if wordless else code, idle_s)


class ConnectionRecorder:
    """One process's notes. `dropped` counts those that were not stored."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._clock = clock
        self._waiting: list[EndedConnection] = []
        self._owners: Counter[str] = Counter()

    def begin(self, transport: str, headers: Iterable[tuple[bytes, bytes]]) -> ConnectionStart:
        """EndedConnection that a connection begins, with its request's headers as an ASGI scope has them."""
        return ConnectionStart(transport, self._clock(), proxies.hints(headers))

    def end(self, beginning: ConnectionStart, end: ConnectionEnd, *, owner: str) -> None:
        """EndedConnection that it ended. Its owner is not stored."""
        if not conf.settings.evidence_hours:
            return
        if len(self._waiting) >= BATCH or self._owners[owner] >= PER_OWNER:
            self.dropped += 1
            return
        self._owners[owner] += 1
        life_s = self._clock() - beginning.at
        self._waiting.append(EndedConnection(beginning, end, timezone.now(), life_s))

    async def write(self) -> None:
        """Store what waits. One call at a time."""
        notes, self._waiting = self._waiting, []
        self._owners.clear()
        if not notes:
            return
        try:
            await threads.run(_store, notes)
        except DatabaseError as error:
            self.dropped += len(notes)
            logger.warning("how %d connections ended is not stored (%d so far): %s", len(notes), self.dropped, error)


def _store(notes: list[EndedConnection]) -> None:
    ConnectionRecord.objects.bulk_create(_record(note) for note in notes)


def _record(note: EndedConnection) -> ConnectionRecord:
    hints, end = note.beginning.hints, note.end
    return ConnectionRecord(
        transport=note.beginning.transport,
        process=PROCESS,
        ended_at=note.ended_at,
        ended=end.ended,
        code=end.code,
        life_s=note.life_s,
        idle_s=end.idle_s,
        exact=end.exact,
        headers=hints.headers,
        hops=hints.hops,
        ray=hints.ray,
    )


def outdated(now: datetime) -> list[QuerySet[ConnectionRecord]]:
    """The records that are kept no longer: the too old ones, and the oldest of too many."""
    records = ConnectionRecord.objects.order_by()
    newest = records.aggregate(newest=Max("pk"))["newest"] or 0
    return [
        records.filter(ended_at__lt=now - timedelta(hours=conf.settings.evidence_hours)),
        records.filter(pk__lte=newest - conf.settings.evidence_rows),
    ]
