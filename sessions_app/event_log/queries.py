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
from sessions_app.core.wire_types import SignalRecord
from sessions_app.database import sqlite_file
from sessions_app.database.functions import Bytes
from sessions_app.event_log import message_rows, signal_records
from sessions_app.event_log.moments import aware

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# Plain SQL for what every attach reads: the ORM takes longer to write these statements than the database to answer.
_names = {
    "messages": models.Message._meta.db_table,
    "signals": models.Signal._meta.db_table,
    "sessions": models.Session._meta.db_table,
    "policies": models.RetentionPolicy._meta.db_table,
}
SELECT_SESSION = (
    "SELECT s.id, s.owner, s.title, s.agent, s.epoch, s.tail, s.trimmed, s.held, p.hours, s.active_at, s.removed_at,"
    " (SELECT min(updated_at) FROM {messages} WHERE session_id = s.id),"
    " (SELECT min(changed_at) FROM {signals} WHERE session_id = s.id)"
    " FROM {sessions} s JOIN {policies} p ON p.id = s.policy_id WHERE s.id = %s"
).format(**_names)
SELECT_HIDDEN = (
    "SELECT max(last) FROM ("
    "SELECT max(last_serial) AS last FROM {messages}"
    " WHERE session_id = %s AND updated_at < %s AND status <> 'streaming' UNION ALL "
    "SELECT max(last_serial) FROM {signals}"
    " WHERE session_id = %s AND changed_at < %s AND status NOT IN ('accepted', 'delivered')) AS hidden"
).format(**_names)


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
    oldest_message: datetime | str | None  # the least recent change of one; SQLite has it as text
    oldest_signal: datetime | str | None


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
            with sqlite_file.checked_once():
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
        position = Position(session.epoch, session.tail, max(session.trimmed, _hidden_serial(session, cutoff)))
        if changed_after is None:
            sent = signal_records.newest(session_id, cutoff)
            rows, more = message_rows.select(
                session_id,
                cutoff,
                limit,
                order="first_serial DESC",
                with_replaced=with_replaced,
                used=sent.size,
            )
        else:
            sent = signal_records.changed_since(session_id, changed_after)
            rows, more = message_rows.changed(session_id, cutoff, limit, changed_after)
    messages = message_rows.folded(rows)
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
    read = partial(message_rows.select, session_id, with_replaced=with_replaced)
    with consistent_read():
        cutoff = _cutoff(_session(session_id))
        if after is not None:
            rows, more = read(cutoff, limit, "first_serial > %s", [after], order="first_serial")
        elif before is not None:
            rows, more = read(cutoff, limit, "first_serial < %s", [before], order="first_serial DESC")
        else:
            rows, more = read(cutoff, limit, order="first_serial DESC")
        return Page(message_rows.folded(rows), more)


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
    rows, _ = message_rows.select(session_id, LONG_AGO, 1, "uid = %s", [uid], order="first_serial", with_replaced=True)
    return next(iter(message_rows.folded(rows)), None)


def keyed_message(
    session_id: str, uid: str, *, is_streaming: bool = False
) -> tuple[int, int, fold.MessageState] | None:
    """As `message`, with its row's key, and the bytes of the parts in it; None, too, of one that isn't streaming."""
    messages = models.Message.objects.streaming() if is_streaming else models.Message.objects.all()
    row = messages.filter(session=session_id, uid=uid).values_list("pk", Bytes("parts")).first()
    found = None if row is None else message(session_id, uid)
    return None if row is None or found is None else (*row, found)


def journal_after(session_id: str, serial: int) -> list[tuple[int, str]]:
    """Return what the journal holds after a serial: (serial, event JSON), in order. Holes are conflated events."""
    return message_rows.journal_after(session_id, serial)


def tails(session_ids: Iterable[str]) -> dict[str, Tail]:
    """Return the tails of those of the sessions that can still be read."""
    rows = models.Session.objects.visible().filter(pk__in=list(session_ids))
    return {pk: Tail(epoch, tail, owner) for pk, epoch, tail, owner in rows.values_list("pk", "epoch", "tail", "owner")}


def remote_agents() -> set[str]:
    """Return the agents that living workers elsewhere run."""
    told = models.Worker.objects.alive().exclude(agents=None).values_list("agents", flat=True)
    return {agent for text in told for agent in orjson.loads(text or "[]")}


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


def _hidden_serial(session: SessionRow, cutoff: datetime) -> int:
    """Return the highest last serial of expired messages and signals that are not purged yet; 0 if none."""
    oldest = [_moment(value) for value in (session.oldest_message, session.oldest_signal) if value is not None]
    if not any(moment < cutoff for moment in oldest):
        return 0
    since = connection.ops.adapt_datetimefield_value(cutoff)
    with connection.cursor() as cursor:
        cursor.execute(SELECT_HIDDEN, [session.id, since, session.id, since])
        return cursor.fetchone()[0] or 0


def _moment(value: datetime | str) -> datetime:
    return aware(datetime.fromisoformat(value) if isinstance(value, str) else value)
