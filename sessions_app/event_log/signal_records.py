"""Signal records: signals as the wire has them, and the query of those that an attach gets."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import orjson
from django.db import connection

from sessions_app import conf, models
from sessions_app.core import signals
from sessions_app.core.wire_types import SignalRecord
from sessions_app.event_log.moments import aware, milliseconds
from sessions_app.event_log.sql import SqlValue

SETTLED = 32  # settled signals that an answer without a cursor carries: what the newest messages' ticks need


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


def select(session_id: str, cutoff: datetime, after: int | None) -> list[SignalRecord]:
    """Return records of the signals changed since a serial, or of the open and the newest others; in order."""
    if after is not None:
        rows = _select(session_id, "last_serial > %s ORDER BY last_serial", after, conf.settings.history_max + 1)
    else:
        since = connection.ops.adapt_datetimefield_value(cutoff)
        newest = "{} ORDER BY last_serial DESC".format
        rows = [
            *_select(session_id, newest("status IN ('accepted', 'delivered')"), conf.settings.history_max),
            *_select(
                session_id, newest("status NOT IN ('accepted', 'delivered') AND changed_at >= %s"), since, SETTLED
            ),
        ]
    return [record(signal) for signal in sorted(rows, key=lambda signal: signal.serial)]


def _select(session_id: str, where: str, *values: SqlValue) -> list[SignalRow]:
    with connection.cursor() as cursor:
        cursor.execute(f"{SELECT_SIGNALS} AND {where} LIMIT %s", [session_id, *values])
        return list(map(SignalRow._make, cursor.fetchall()))
