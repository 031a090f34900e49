"""Connection records: how connections ended, for `report`. Recorded in bounded memory and off the event loop.

Records are dropped and counted if the database fails or there are more than are worth storing.
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
from sessions_app.database.connection_failures import describe
from sessions_app.models import ConnectionRecord

logger = logging.getLogger(__name__)

Ended = ConnectionRecord.Ended

PROCESS = f"{socket.gethostname()}:{os.getpid()}"
WRITE_EVERY_S = 5.0
ABNORMAL = 1006  # RFC 6455 §7.1.5: no close frame received
BATCH = 500  # records per write: a hundred a second; more would add no information
PER_OWNER = 20  # records per batch, so that one owner can't crowd out the others


@dataclass(slots=True)
class ConnectionStart:
    """Data kept while a connection is open. `at` is the event loop's time, in seconds."""

    transport: str
    at: float
    hints: proxies.Hints


@dataclass(slots=True)
class ConnectionEnd:
    """The end of a connection. Fields as in ConnectionRecord."""

    ended: Ended
    code: int | None = None
    idle_s: float | None = None
    exact: bool = False


@dataclass(slots=True)
class EndedConnection:
    """An ended connection whose ConnectionRecord isn't stored yet."""

    beginning: ConnectionStart
    end: ConnectionEnd
    ended_at: datetime
    life_s: float


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return the request headers that `begin` reads, in an ASGI scope's form."""
    found = request.headers
    return [(name.encode(), found[name].encode("latin1", "replace")) for name in proxies.HEADERS if name in found]


def end_of_socket(message: Message, idle_s: float) -> ConnectionEnd:
    """Interpret a server's `websocket.disconnect`. `idle_s` is used where the server doesn't report an idle time.

    Our protocol under Daphne reports how it ended (`daphne_websocket.SocketProtocol.onClose`). uvicorn gives a `reason`
    only if a close frame was received. Code 1006 always means that none was.
    """
    code = message.get("code")
    if "ended" in message:
        return ConnectionEnd(Ended(message["ended"]), code, message["idle_s"], exact=message["idle_s"] is not None)
    unannounced = code == ABNORMAL or "reason" not in message
    return ConnectionEnd(Ended.CUT if unannounced else Ended.BY_CLIENT, ABNORMAL if unannounced else code, idle_s)


class ConnectionRecorder:
    """Recorder of one process. `dropped` counts records that weren't stored."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.dropped = 0
        self._clock = clock
        self._waiting: list[EndedConnection] = []
        self._owners: Counter[str] = Counter()

    def begin(self, transport: str, headers: Iterable[tuple[bytes, bytes]]) -> ConnectionStart:
        """Record that a connection begins. `headers` are its request's, in an ASGI scope's form."""
        return ConnectionStart(transport, self._clock(), proxies.hints(headers))

    def end(self, beginning: ConnectionStart, end: ConnectionEnd, *, owner: str) -> None:
        """Record that a connection ended. The owner isn't stored."""
        if not conf.settings.evidence_hours:
            return
        if len(self._waiting) >= BATCH or self._owners[owner] >= PER_OWNER:
            self.dropped += 1
            return
        self._owners[owner] += 1
        life_s = self._clock() - beginning.at
        self._waiting.append(EndedConnection(beginning, end, timezone.now(), life_s))

    async def write(self) -> None:
        """Store the waiting records. Calls must not overlap."""
        ended, self._waiting = self._waiting, []
        self._owners.clear()
        if not ended:
            return
        try:
            await threads.run(_store, ended)
        except DatabaseError as error:
            self.dropped += len(ended)
            logger.warning(
                "%d connection records were not stored (%d in all): %s", len(ended), self.dropped, describe(error)
            )


def _store(ended: list[EndedConnection]) -> None:
    ConnectionRecord.objects.bulk_create(_record(connection) for connection in ended)


def _record(connection: EndedConnection) -> ConnectionRecord:
    hints, end = connection.beginning.hints, connection.end
    return ConnectionRecord(
        transport=connection.beginning.transport,
        process=PROCESS,
        ended_at=connection.ended_at,
        ended=end.ended,
        code=end.code,
        life_s=connection.life_s,
        idle_s=end.idle_s,
        exact=end.exact,
        headers=hints.headers,
        hops=hints.hops,
        ray=hints.ray,
    )


def outdated(now: datetime) -> list[QuerySet[ConnectionRecord]]:
    """Return querysets of records past their retention: too old, or beyond the maximum number."""
    records = ConnectionRecord.objects.order_by()
    newest = records.aggregate(newest=Max("pk"))["newest"] or 0
    return [
        records.filter(ended_at__lt=now - timedelta(hours=conf.settings.evidence_hours)),
        records.filter(pk__lte=newest - conf.settings.evidence_rows),
    ]
