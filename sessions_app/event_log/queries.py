"""Queries of the log: the only module that reads it. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import orjson
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Length
from django.utils import timezone

from sessions_app import conf, models
from sessions_app.core import fold, signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.plan import Position
from sessions_app.core.rollup import rollup_events
from sessions_app.core.wire_types import MessageEvent, SignalRecord
from sessions_app.database.functions import Bytes
from sessions_app.event_log import signal_records
from sessions_app.event_log.moments import aware, milliseconds
from sessions_app.event_log.sql import SqlValue

MESSAGE_FIELDS = (
    "uid", "role", "status", "reason", "metadata", "parts", "open", "marks",
    "first_serial", "last_serial", "created_at", "parent", "continues", "replaced_by",
)  # fmt: skip
PARTS, REPLACED_BY = MESSAGE_FIELDS.index("parts"), MESSAGE_FIELDS.index("replaced_by")
ROWS_AT_ONCE = 10  # read ahead: with the largest responses some 40 MB

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
STREAMING = 1000  # messages of one session that stream at once and are read

# The columns of MESSAGE_FIELDS. A tuple: a row is made for every message of every attach.
MessageRow = tuple[
    str, str, str, str | None, str | None, str, str, str, int, int, datetime, str | None, str | None, str | None
]


# Plain SQL for what every attach reads: the ORM takes longer to write these statements than the database to answer.
_names = {
    "messages": models.Message._meta.db_table,
    "journal": models.JournalEntry._meta.db_table,
    "signals": models.Signal._meta.db_table,
    "sessions": models.Session._meta.db_table,
    "policies": models.RetentionPolicy._meta.db_table,
    "columns": ", ".join(f'"{name}"' for name in MESSAGE_FIELDS),
}
SELECT_SESSION = (
    "SELECT s.id, s.owner, s.title, s.agent, s.epoch, s.tail, s.trimmed, s.held, p.hours, s.active_at, s.removed_at"
    " FROM {sessions} s JOIN {policies} p ON p.id = s.policy_id WHERE s.id = %s"
).format(**_names)
SELECT_MESSAGES = (
    "SELECT {columns} FROM {messages} WHERE session_id = %s AND (updated_at >= %s OR status = 'streaming')"
).format(**_names)
SELECT_HIDDEN = (
    "SELECT max(last) FROM ("
    "SELECT max(last_serial) AS last FROM {messages}"
    " WHERE session_id = %s AND updated_at < %s AND status <> 'streaming' UNION ALL "
    "SELECT max(last_serial) FROM {signals}"
    " WHERE session_id = %s AND changed_at < %s AND status NOT IN ('accepted', 'delivered')) AS hidden"
).format(**_names)
SELECT_JOURNAL = {
    vendor: (
        "SELECT {join}(event, ',') FROM {messages} m JOIN {journal} j ON j.message_id = m.id"
        " WHERE m.session_id = %s AND m.status = 'streaming'"
    ).format(join=join, **_names)
    for vendor, join in (("sqlite", "group_concat"), ("postgresql", "string_agg"))
}


class SessionRow(NamedTuple):
    """The columns of a session that its readers need, and the hours of its policy."""

    id: str
    owner: str
    title: str
    agent: str
    epoch: str
    tail: int
    trimmed: int
    held: bool
    hours: int
    active_at: datetime
    removed_at: object  # None, or when its removal began, as the database has it


class Tail(NamedTuple):
    """A session's tail, epoch and owner, as the feeds watch them."""

    epoch: str
    serial: int
    owner: str


@dataclass(frozen=True, slots=True)
class View:
    """A session and some of its messages in order, in one consistent read.

    `replaced`: ids of messages that were replaced since, unless they are among the messages.
    `more`: there are others that were asked for and that one answer can't hold. `signal_bytes`: of the signals.
    """

    position: Position
    title: str
    messages: list[fold.MessageState]
    replaced: list[str]
    signals: list[SignalRecord]
    signal_bytes: int
    more: bool


class SignalPage(NamedTuple):
    """Signals in order, each with its serial. `more`: there are others beyond, in the direction that was asked for."""

    records: list[tuple[int, SignalRecord]]
    more: bool


class Page(NamedTuple):
    """Messages in order. `more`: there are others beyond, in the direction that was asked for."""

    messages: list[fold.MessageState]
    more: bool


@contextmanager
def consistent_read() -> Iterator[None]:
    """Let all queries within see one state of the database.

    `atomic()` won't do: on SQLite it takes the write lock (IMMEDIATE), so that readers would wait for writers.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("BEGIN DEFERRED")
        else:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def readable(session_id: str, owner: str) -> SessionRow:
    """Return the owner's session. Raises not_found, also for a stranger, and expired for its owner."""
    session = _session(session_id)
    if session.owner != owner or session.removed_at is not None:
        raise HoldfastError("not_found")
    if session.active_at < _cutoff(session):
        raise HoldfastError("expired")
    return session


def writable(session_id: str) -> None:
    """Raise not_found or expired unless the session can be published to. Its owner is not checked."""
    session = _session(session_id)
    if session.removed_at is not None:
        raise HoldfastError("not_found")
    if session.active_at < _cutoff(session):
        raise HoldfastError("expired")


def view(session_id: str, owner: str, *, changed_after: int | None, limit: int, with_replaced: bool = False) -> View:
    """Read the owner's session's position and messages at one moment.

    With `changed_after`, the messages and signals changed since that serial; without it, the newest. Ended ones on
    show are at most `limit` and, but for the first message, at most SNAPSHOT_BYTES. Raises as `readable`.
    """
    with consistent_read():
        session = readable(session_id, owner)
        cutoff = _cutoff(session)
        position = Position(session.epoch, session.tail, max(session.trimmed, _hidden_serial(session_id, cutoff)))
        if changed_after is None:
            sent = signal_records.newest(session_id, cutoff)
            rows, more = _select(
                session_id,
                cutoff,
                limit,
                order="first_serial DESC",
                with_replaced=with_replaced,
                used=sent.size,
            )
        else:
            sent = signal_records.changed_since(session_id, changed_after)
            rows, more = _changed(session_id, cutoff, limit, changed_after)
        messages = _folded(session_id, rows)
    if changed_after is not None:
        messages = [message for message in messages if message.last_serial > changed_after]
    replaced = [] if with_replaced else [message.id for message in messages if message.replaced_by]
    messages = [message for message in messages if with_replaced or not message.replaced_by]
    return View(position, session.title, messages, replaced, sent.records, sent.size, more or sent.more)


def history(
    session_id: str,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    with_replaced: bool = False,
) -> Page:
    """Return up to `limit` messages on show: the newest, those next before, or next after a first serial.

    A page of large messages has fewer: but for the first, at most SNAPSHOT_BYTES. Replaced ones among them come in
    addition if they are asked for. Raises not_found.
    """
    read = partial(_select, session_id, with_replaced=with_replaced)
    with consistent_read():
        cutoff = _cutoff(_session(session_id))
        if after is not None:
            rows, more = read(cutoff, limit, "first_serial > %s", [after], order="first_serial")
        elif before is not None:
            rows, more = read(cutoff, limit, "first_serial < %s", [before], order="first_serial DESC")
        else:
            rows, more = read(cutoff, limit, order="first_serial DESC")
        return Page(_folded(session_id, rows), more)


def signal_history(session_id: str, *, limit: int, before: int | None = None, after: int | None = None) -> SignalPage:
    """Return up to `limit` signals, as `history` does messages, by the serials at which they were stored."""
    with consistent_read():
        cutoff = _cutoff(_session(session_id))
        kept = Q(changed_at__gte=cutoff) | Q(status__in=signals.OPEN)
        found = models.Signal.objects.filter(kept, session=session_id)
        if after is not None:
            found = found.filter(serial__gt=after).order_by("serial")
        else:
            found = (found if before is None else found.filter(serial__lt=before)).order_by("-serial")
        sizes = list(found.values_list("pk", Length("payload"))[: limit + 1])
        keys = _that_fit(sizes[:limit])
        rows = models.Signal.objects.filter(pk__in=keys).order_by("serial")
        return SignalPage([(row.serial, signal_records.record(row)) for row in rows], more=len(keys) < len(sizes))


def _that_fit(sizes: list[tuple[int, int]]) -> list[int]:
    """Return the keys of the first rows that fit into one answer, given with their sizes."""
    keys: list[int] = []
    taken = 0
    for key, size in sizes:
        taken += size
        if keys and taken > conf.settings.snapshot_bytes:
            break
        keys.append(key)
    return keys


def message(session_id: str, uid: str) -> fold.MessageState | None:
    """Return one message with its journal folded in. Call it within the transaction that needs it."""
    rows, _ = _select(session_id, LONG_AGO, 1, "uid = %s", [uid], order="first_serial", with_replaced=True)
    return next(iter(_folded(session_id, rows)), None)


def keyed_message(session_id: str, uid: str) -> tuple[int, int, fold.MessageState] | None:
    """As `message`, with its row's key, and the bytes of the parts in it."""
    row = models.Message.objects.filter(session=session_id, uid=uid).values_list("pk", Bytes("parts")).first()
    found = None if row is None else message(session_id, uid)
    return None if row is None or found is None else (*row, found)


def journal_after(session_id: str, serial: int) -> list[tuple[int, str]]:
    """Return what the journal holds after a serial: (serial, event JSON), in order. Holes are conflated events."""
    streaming = models.Message.objects.streaming().filter(session=session_id)
    entries = models.JournalEntry.objects.filter(message__in=streaming, serial__gt=serial)
    return list(entries.order_by("serial").values_list("serial", "event"))


def tails(session_ids: Iterable[str]) -> dict[str, Tail]:
    """Return the tails of those of the sessions that can still be read."""
    rows = models.Session.objects.visible().filter(pk__in=list(session_ids))
    return {pk: Tail(epoch, tail, owner) for pk, epoch, tail, owner in rows.values_list("pk", "epoch", "tail", "owner")}


def _session(session_id: str) -> SessionRow:
    with connection.cursor() as cursor:
        cursor.execute(SELECT_SESSION, [session_id])
        row = cursor.fetchone()
    if row is None:
        raise HoldfastError("not_found")
    session = SessionRow(*row)
    return session._replace(active_at=aware(session.active_at))


def _cutoff(session: SessionRow) -> datetime:
    """Return the moment before which a last change has expired."""
    return LONG_AGO if session.held else timezone.now() - timedelta(hours=session.hours)


def _hidden_serial(session_id: str, cutoff: datetime) -> int:
    """Return the highest last serial of expired messages and signals that are not purged yet; 0 if none."""
    since = connection.ops.adapt_datetimefield_value(cutoff)
    with connection.cursor() as cursor:
        cursor.execute(SELECT_HIDDEN, [session_id, since, session_id, since])
        return cursor.fetchone()[0] or 0


def _changed(session_id: str, cutoff: datetime, limit: int, after: int) -> tuple[list[MessageRow], bool]:
    # A streaming message's row may be older than its journal, so all of them are read. Two queries, each by
    # its own index: an OR of the two makes SQLite scan the session. Being replaced is a change.
    streaming, beyond = _select(session_id, cutoff, STREAMING, "status = 'streaming'", order="first_serial")
    ended = "status <> 'streaming' AND last_serial > %s"
    rows, more = _select(session_id, cutoff, limit, ended, [after], order="last_serial", with_replaced=True)
    return streaming + rows, more or beyond


def _select(
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
    """Take messages while they are within the bounds of one answer; return whether there are more.

    `limit` counts those on show; of the others there are at most as many as one answer may have of those. `used`: bytes
    of the answer that something else takes.
    """
    shown = "" if with_replaced else " AND replaced_by IS NULL"
    query = SELECT_MESSAGES + shown + (f" AND {where}" if where else "") + f" ORDER BY {order} LIMIT %s"
    most = limit + 1 + (conf.settings.history_max if with_replaced else 0)
    on_show = 0
    since = connection.ops.adapt_datetimefield_value(cutoff)
    taken: list[MessageRow] = []
    size = used
    # A server-side cursor where there is one: PostgreSQL's client would fetch all rows before the first is seen.
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, [session_id, since, *values, most])
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                size += len(row[PARTS])
                on_show += row[REPLACED_BY] is None
                if on_show > limit or (taken and size > conf.settings.snapshot_bytes):
                    return taken, True
                taken.append(row)
    return taken, len(taken) == most


def _first_serial(row: MessageRow) -> int:
    return row[8]


def _folded(session_id: str, rows: list[MessageRow]) -> list[fold.MessageState]:
    messages = {row[0]: from_row(row) for row in sorted(rows, key=_first_serial)}
    if any(not fold.ended(message) for message in messages.values()):
        for event in rollup_events(_journal(session_id)):  # a long text is copied once, not once per event
            streaming = messages.get(event["message"])
            if streaming is not None:
                fold.apply(streaming, event["serial"], event["chunk"])
    return list(messages.values())


def _journal(session_id: str) -> list[MessageEvent]:
    """Read the session's journal as one row: see `sql` for why."""
    with connection.cursor() as cursor:
        cursor.execute(SELECT_JOURNAL[connection.vendor], [session_id])
        events: list[MessageEvent] = orjson.loads(f"[{cursor.fetchone()[0] or ''}]")
    return sorted(events, key=lambda event: event["serial"])


def from_row(row: MessageRow) -> fold.MessageState:
    """Build a message from MESSAGE_FIELDS."""
    (
        uid, role, status, reason, metadata, parts, open_, marks, first_serial, last_serial, created_at,
        parent, continues, replaced_by,
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
