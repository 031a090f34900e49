"""Message rows: the queries of messages, each with its journal, and the messages that they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import orjson
from django.db import connection

from sessions_app import conf, models
from sessions_app.core import fold
from sessions_app.core.rollup import rollup_events
from sessions_app.core.wire_types import MessageEvent
from sessions_app.event_log.moments import aware, milliseconds
from sessions_app.event_log.sql import SqlValue

MESSAGE_FIELDS = (
    "uid", "role", "status", "reason", "metadata", "parts", "open", "marks",
    "first_serial", "last_serial", "created_at", "parent", "continues", "replaced_by",
)  # fmt: skip
STATUS: Final = 2  # places in MESSAGE_FIELDS
PARTS: Final = 5
REPLACED_BY: Final = 13
ROWS_AT_ONCE = 10  # read ahead: with the largest responses some 40 MB
STREAMING = 1000  # messages of one session that stream at once and are read

# The columns of MESSAGE_FIELDS, and a streaming message's journal. A tuple: a row is made for every message of every
# attach.
MessageRow = tuple[
    str, str, str, str | None, str | None, str, str, str, int, int, datetime, str | None, str | None, str | None,
    str | None,
]  # fmt: skip

_names = {
    "sessions": models.Session._meta.db_table,
    "messages": models.Message._meta.db_table,
    "journal": models.JournalEntry._meta.db_table,
}
# The journal's rows of a session after a serial, from the last one back. It takes the session, and `floor` twice.
SESSION_JOURNAL = (
    "entries(message_id, serial, event, previous) AS (SELECT j.message_id, j.serial, j.event, j.previous"
    " FROM {sessions} s JOIN {journal} j ON j.id = s.journal WHERE s.id = %s AND j.serial > {floor}"
    " UNION ALL SELECT j.message_id, j.serial, j.event, j.previous"
    " FROM entries e JOIN {journal} j ON j.id = e.previous WHERE j.serial > {floor})"
)
# Plain SQL: the ORM takes longer to write such a statement than the database to answer. A streaming message's journal
# comes joined into one value: see `sql` for why. No session has journal rows of use where none of its messages streams.
JOURNALS = {
    vendor: (
        "WITH RECURSIVE folded(serial) AS"
        " (SELECT min(last_serial) FROM {messages} WHERE session_id = %s AND status = 'streaming'),"
        f" {SESSION_JOURNAL.format(floor='(SELECT serial FROM folded)', **_names)},"
        " journals(message_id, events) AS (SELECT message_id, {join}(event, ',') FROM entries GROUP BY message_id) "
    ).format(join=join, **_names)
    for vendor, join in (("sqlite", "group_concat"), ("postgresql", "string_agg"))
}
SELECT_MESSAGES = (
    "SELECT {columns}, CASE WHEN status = 'streaming' THEN events END"
    " FROM {messages} m LEFT JOIN journals j ON j.message_id = m.id"
    " WHERE session_id = %s AND (updated_at >= %s OR status = 'streaming')"
).format(columns=", ".join(f'"{name}"' for name in MESSAGE_FIELDS), **_names)
# Messages of this session alone: a restored database may have used an id twice.
SELECT_JOURNAL = (
    f"WITH RECURSIVE {SESSION_JOURNAL.format(floor='%s', **_names)} SELECT serial, event FROM entries"
    " WHERE message_id IN (SELECT id FROM {messages} WHERE session_id = %s) ORDER BY serial"
).format(**_names)


class Taken:
    """Messages that are taken while they are within the bounds of one answer. `more`: there are others.

    `limit` counts those on show. `used`: bytes of the answer that something else takes.
    """

    def __init__(self, limit: int, used: int = 0) -> None:
        self.rows: list[MessageRow] = []
        self.more = False
        self._limit = limit
        self._on_show = 0
        self._size = used

    def take(self, row: MessageRow) -> None:
        self._size += len(row[PARTS])
        self._on_show += row[REPLACED_BY] is None
        if self._on_show > self._limit or (self.rows and self._size > conf.settings.snapshot_bytes):
            self.more = True
        if not self.more:
            self.rows.append(row)


def changed(session_id: str, cutoff: datetime, limit: int, after: int) -> tuple[list[MessageRow], bool]:
    """Take the messages that were changed after a serial; return whether there are more."""
    # A streaming message's row may be older than its journal, so all of them are read. Two queries in one statement,
    # each by its own index: an OR of the two makes SQLite scan the session. Being replaced is a change.
    one, most_streaming = _query("status = 'streaming'", order="first_serial", limit=STREAMING)
    two, most = _query(
        "status <> 'streaming' AND last_serial > %s", order="last_serial", limit=limit, with_replaced=True
    )
    since = connection.ops.adapt_datetimefield_value(cutoff)
    streaming, ended = Taken(STREAMING), Taken(limit)
    for row in _rows(
        session_id,
        f"SELECT * FROM ({one}) AS streaming UNION ALL SELECT * FROM ({two}) AS ended",
        [session_id, since, most_streaming, session_id, since, after, most],
    ):
        (streaming if row[STATUS] == "streaming" else ended).take(row)
        if ended.more:
            break
    more = streaming.more or ended.more or len(ended.rows) == most
    return streaming.rows + ended.rows, more


def select(
    session_id: str,
    cutoff: datetime,
    limit: int,
    where: str = "",
    values: Iterable[SqlValue] = (),
    *,
    order: str,
    with_replaced: bool = False,
    used: int = 0,
) -> tuple[list[MessageRow], bool]:
    """Take messages while they are within the bounds of one answer; return whether there are more. See `Taken`."""
    query, most = _query(where, order=order, limit=limit, with_replaced=with_replaced)
    since = connection.ops.adapt_datetimefield_value(cutoff)
    taken = Taken(limit, used)
    for row in _rows(session_id, query, [session_id, since, *values, most]):
        taken.take(row)
        if taken.more:
            break
    return taken.rows, taken.more or len(taken.rows) == most


def _query(where: str, *, order: str, limit: int, with_replaced: bool = False) -> tuple[str, int]:
    """Return a query of messages, and its LIMIT: room for one more than `limit`, by which it is known that there are.

    Those that were replaced come in addition `with_replaced`, at most as many as one answer may have of the others.
    """
    shown = "" if with_replaced else " AND replaced_by IS NULL"
    query = SELECT_MESSAGES + shown + (f" AND {where}" if where else "")
    return f"{query} ORDER BY {order} LIMIT %s", limit + 1 + (conf.settings.history_max if with_replaced else 0)


def _rows(session_id: str, query: str, values: list[SqlValue]) -> Iterator[MessageRow]:
    # A server-side cursor where there is one: PostgreSQL's client would fetch all rows before the first is seen.
    with connection.chunked_cursor() as cursor:
        cursor.execute(JOURNALS[connection.vendor] + query, [session_id, session_id, *values])
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from rows


def _first_serial(row: MessageRow) -> int:
    return row[8]


def folded(rows: list[MessageRow]) -> list[fold.MessageState]:
    """Return the messages in order, with their journals folded in."""
    messages = []
    for row in sorted(rows, key=_first_serial):
        message = _message(row)
        for event in rollup_events(_journal(row, message)):  # a long text is copied once, not once per event
            fold.apply(message, event["serial"], event["chunk"])
        messages.append(message)
    return messages


def _journal(row: MessageRow, message: fold.MessageState) -> list[MessageEvent]:
    """Return what the journal has of a message that isn't folded into its row, in order."""
    events: list[MessageEvent] = orjson.loads(f"[{row[-1] or ''}]")
    return sorted((event for event in events if event["serial"] > message.last_serial), key=lambda e: e["serial"])


def journal_after(session_id: str, serial: int) -> list[tuple[int, str]]:
    """Return what the journal holds of a session after a serial: (serial, event JSON), in order."""
    with connection.cursor() as cursor:
        cursor.execute(SELECT_JOURNAL, [session_id, serial, serial, session_id])
        return list(cursor.fetchall())


def _message(row: MessageRow) -> fold.MessageState:
    """Build a message from its row, without its journal."""
    (
        uid, role, status, reason, metadata, parts, open_, marks, first_serial, last_serial, created_at,
        parent, continues, replaced_by, _,
    ) = row  # fmt: skip
    return fold.MessageState(
        id=uid,
        role=role,
        status=status,
        reason=None if reason is None else orjson.loads(reason),
        metadata=None if metadata is None else orjson.loads(metadata),
        parts=orjson.loads(parts),
        open=orjson.loads(open_),
        marks=orjson.loads(marks),
        first_serial=first_serial,
        last_serial=last_serial,
        created_at=milliseconds(aware(created_at)),
        parent=parent,
        continues=continues,
        replaced_by=replaced_by,
    )
