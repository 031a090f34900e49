"""Signal records: signals as the wire has them, and the query of those that an attach gets."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import orjson
from django.db import connection

from sessions_app import conf, models
from sessions_app.core import frames, signals
from sessions_app.core.wire_types import SignalRecord
from sessions_app.event_log.moments import aware, milliseconds
from sessions_app.event_log.sql import SqlValue

SETTLED = 32  # settled signals that an answer without a cursor carries: what the newest messages' ticks need

ROWS_AT_ONCE = 10  # read ahead
RECORD_BYTES = 512  # of a record besides its payload, at most but for a long reason


class SignalRow(NamedTuple):
    """The columns of a signal that its record needs."""

    uid: str
    kind: str
    status: str
    code: str
    reason: str
    actor: str
    issued_by: str | None
    created_at: datetime
    message: str
    payload: str
    serial: int


# A signal that readers got only as a message has no record for them.
SELECT_SIGNALS = (
    "SELECT {signal_columns} FROM {signals} WHERE session_id = %s AND NOT (kind = 'message' AND last_serial = serial)"
).format(signal_columns=", ".join(f'"{name}"' for name in SignalRow._fields), signals=models.Signal._meta.db_table)


def record(signal: models.Signal | SignalRow) -> SignalRecord:
    """Return a signal as the wire has it: PROTOCOL.md §5."""
    found: SignalRecord = {
        "id": signal.uid,
        "kind": signal.kind,
        "status": signal.status,
        "code": signal.code or None,
        "reason": signal.reason or None,
        "actor": signal.actor,
        "at": milliseconds(aware(signal.created_at)),
        "message": signal.message or None,
        "payload": signals.shown(signal.kind, orjson.loads(signal.payload)),
    }
    if signal.issued_by:
        found["issued_by"] = signal.issued_by
    return found


class Selected(NamedTuple):
    """Records in order, and their bytes. `more`: there are others that one answer can't hold."""

    records: list[SignalRecord]
    size: int
    more: bool


def changed_since(session_id: str, after: int) -> Selected:
    """Return the signals changed since a serial, if one answer can hold them."""
    rows = _Rows(session_id, conf.settings.snapshot_bytes)
    more = rows.take("last_serial > %s ORDER BY last_serial", after, limit=conf.settings.history_max)
    return rows.selected(more)


def newest(session_id: str, cutoff: datetime) -> Selected:
    """Return the open signals and the newest others, of each the newest. They leave half of the answer to messages."""
    rows = _Rows(session_id, conf.settings.snapshot_bytes // 2)
    since = connection.ops.adapt_datetimefield_value(cutoff)
    order = "ORDER BY last_serial DESC"
    more = rows.take(f"status IN ('accepted', 'delivered') {order}", limit=conf.settings.history_max)
    if not more:
        rows.take(f"status NOT IN ('accepted', 'delivered') AND changed_at >= %s {order}", since, limit=SETTLED)
    return rows.selected(more)


class _Rows:
    """Rows of a session's signals, read while they fit into so many bytes."""

    def __init__(self, session_id: str, most: int) -> None:
        self._session_id = session_id
        self._most = most
        self._taken: list[SignalRow] = []
        self._size = 0

    def take(self, where: str, *values: SqlValue, limit: int) -> bool:
        """Take the next rows; return True if there are others that don't fit."""
        # A server-side cursor where there is one, and few rows at a time: two hundred payloads may have 6 MB.
        with connection.chunked_cursor() as cursor:
            cursor.execute(f"{SELECT_SIGNALS} AND {where} LIMIT %s", [self._session_id, *values, limit + 1])
            count = 0
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                for row in map(SignalRow._make, rows):
                    size = frames.size(row.payload) + RECORD_BYTES
                    if count == limit or self._size + size > self._most:
                        return True
                    self._taken.append(row)
                    self._size += size
                    count += 1
        return False

    def selected(self, more: bool) -> Selected:
        rows = sorted(self._taken, key=lambda signal: signal.serial)
        return Selected([record(signal) for signal in rows], self._size, more)
