"""SQL of a commit: the only module that writes the log. Called by `LogWriter` alone, in its transaction.

What every commit pays for is plain SQL, one statement for any number of rows, and gives one row or none: sqlite3 lets
go of the interpreter's lock at every row, and gets it back only when the event loop's thread lets go of it in turn.
A commit that only adds to what is being written makes two round trips to PostgreSQL: what it asks, and what it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import orjson
from django.db import connection
from django.utils import timezone

from sessions_app import models
from sessions_app.core import fold, frames
from sessions_app.database import rows
from sessions_app.database.locking import BOUND_IDLE_SQL

ROWS = 2000  # in one statement: with five values each far below the databases' limits on parameters

Key = tuple[str, str]  # session, uid
SqlValue = str | int | datetime | None
JournalRow = tuple[int, int, int, str, int]  # its id, the message's key, serial, event, the id of the one before

SESSIONS, MESSAGES, JOURNAL, RUNS, WORKERS = (
    model._meta.db_table for model in (models.Session, models.Message, models.JournalEntry, models.Run, models.Worker)
)
# One row: the sessions as JSON, the id before the journal's new rows, the time. SQLite has taken its one write lock at
# BEGIN IMMEDIATE. PostgreSQL's sequence gives each transaction a block of ids, more than it has room for, once it has
# the locks: so ids grow along a session's journal, whichever process writes it. None is used twice.
LOCK_SESSIONS = {
    "sqlite": (
        f"SELECT json_group_array(json_array(id, epoch, tail, leaf, journal)),"
        f" (SELECT seq FROM sqlite_sequence WHERE name = '{JOURNAL}'), NULL FROM {SESSIONS} WHERE id IN (%s)"
    ),
    "postgresql": (
        f"SELECT json_agg(json_build_array(id, epoch, tail, leaf, journal))::text,"
        f" nextval(pg_get_serial_sequence('{JOURNAL}', 'id')), now(), {BOUND_IDLE_SQL} FROM"
        f" (SELECT id, epoch, tail, leaf, journal FROM {SESSIONS} WHERE id IN (%s) ORDER BY id FOR UPDATE) AS locked"
    ),
}


@contextmanager
def pipelined() -> Iterator[None]:
    """Within, PostgreSQL's client waits for an answer only when it is fetched, and at COMMIT, where errors are raised.

    Nothing within may need the number of rows that a statement has changed: it isn't known yet.
    """
    if connection.vendor == "postgresql":
        with connection.wrap_database_errors, connection.connection.pipeline():
            yield
    else:
        yield


class Locked(NamedTuple):
    """Sessions that exist: id, epoch, tail, leaf, and the id of the journal's last row of each.

    `journal`: the id before the rows that this transaction may add to the journal.
    `now`: the transaction's time by the database's clock, which a purge goes by; None where it has none.
    """

    sessions: list[tuple[str, str, int, str | None, int]]
    journal: int = 0
    now: datetime | None = None


def lock_sessions(ids: set[str]) -> Locked:
    """Lock the sessions' rows, in one order in every process, so that two groups can't deadlock."""
    if not ids:
        return Locked([])
    query = LOCK_SESSIONS[connection.vendor] % ",".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(query, sorted(ids))
        found, journal, now, *_ = cursor.fetchone()
        return Locked(orjson.loads(found or "[]"), journal or 0, now)


def fenced_runs(held: Iterable[Key]) -> set[Key]:
    """Return those of the (run, worker) whose run is not, or no longer, at work for that worker.

    The lock of the run's session keeps this true until the commit.
    """
    values = [value for pair in held for value in pair]
    if not values:
        return set()
    query = (
        f"WITH held(run, worker) AS (VALUES {_places(2, len(values) // 2)}) SELECT run, worker FROM held WHERE NOT"
        f" EXISTS (SELECT 1 FROM {RUNS} WHERE id = run AND worker_id = worker AND status = 'running')"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return set(cursor.fetchall())


class Published(NamedTuple):
    """A remote producer's run, and its last batch; see `models.Run`."""

    worker: str
    running: bool
    sequence: int
    serial: int
    refusal: str
    digests: str | None
    halves: str | None


def published_runs(ids: set[str]) -> dict[str, Published]:
    """Return those of the runs that exist."""
    if not ids:
        return {}
    rows = models.Run.objects.filter(pk__in=ids).values_list("pk", "worker", "status", *Published._fields[2:])
    return {pk: Published(worker, status == models.Run.Status.RUNNING, *rest) for pk, worker, status, *rest in rows}


def note_batches(batches: dict[str, Published]) -> None:
    """Store which batch of each run was the last."""
    if not batches:
        return
    names = Published._fields[2:]
    query = (
        f"WITH last(run, {', '.join(names)}) AS (VALUES {_places(1 + len(names), len(batches))}) UPDATE {RUNS}"
        f" SET {', '.join(f'{name} = last.{name}' for name in names)} FROM last WHERE id = last.run"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [value for run, batch in batches.items() for value in (run, *batch[2:])])


def beat_producers(workers: set[str]) -> set[str]:
    """Count a beat of each of these remote producers; return the fenced ones: they have a later epoch."""
    if not workers:
        return set()
    some = f"id IN ({','.join(['%s'] * len(workers))})"
    beat = (
        f"UPDATE {WORKERS} SET beats = beats + 1, alive = %s, seen_at = %s WHERE {some} AND NOT EXISTS (SELECT 1 FROM"
        f" {WORKERS} later WHERE later.producer = {WORKERS}.producer AND later.epoch > {WORKERS}.epoch) RETURNING id"
    )
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # in one order in every process; and what follows sees who was faster
            cursor.execute(f"SELECT 1 FROM {WORKERS} WHERE {some} ORDER BY id FOR UPDATE", sorted(workers))
        cursor.execute(beat, [True, now, *sorted(workers)])
        return workers - {worker for (worker,) in cursor.fetchall()}


class Written(NamedTuple):
    """A message's row: its key, and the bytes of its parts."""

    key: int
    size: int


def existing_messages(keys: set[Key]) -> dict[Key, tuple[str, int, int]]:
    """Return the role and the first and last serial of those messages that exist."""
    if not keys:
        return {}
    query = (
        f"WITH asked(session, name) AS (VALUES {_places(2, len(keys))}) SELECT session_id, uid, role, first_serial,"
        f" last_serial FROM asked JOIN {MESSAGES} ON session_id = session AND uid = name"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [value for key in keys for value in key])
        return {(session, uid): (role, first, last) for session, uid, role, first, last in cursor.fetchall()}


def runs_of_messages(keys: set[Key]) -> dict[Key, set[str]]:
    """Return the runs that write those messages, or are to."""
    if not keys:
        return {}
    found: dict[Key, set[str]] = {}
    rows = models.Run.objects.filter(session__in={session for session, _ in keys}, uid__in={uid for _, uid in keys})
    for session, uid, run in rows.values_list("session_id", "uid", "pk"):
        found.setdefault((session, uid), set()).add(run)
    return found


def insert_messages(messages: Iterable[tuple[Key, fold.MessageState]], now: datetime) -> list[Written]:
    """Return their rows, in the same order."""
    new = [
        models.Message(
            session_id=session,
            uid=uid,
            role=message.role,
            parent=message.parent,
            continues=message.continues,
            first_serial=message.first_serial,
            created_at=now,
            updated_at=now,
            **_columns(message)._asdict(),
        )
        for (session, uid), message in messages
    ]
    rows.insert(new)
    return [Written(row.pk, frames.size(row.parts)) for row in new]


def conflate(messages: Sequence[tuple[int, fold.MessageState]], now: datetime) -> list[Written]:
    """Write the messages, given with their keys, as they are folded; return their rows, in the same order.

    Their events in the journal are of no use from here on; `retention.journal` removes them.
    """
    if not messages:
        return []
    changed = [(key, _columns(message)) for key, message in messages]
    assignments = ", ".join(f'"{name}" = %s' for name in _Columns._fields)
    update = f"UPDATE {MESSAGES} SET {assignments}, updated_at = %s WHERE id = %s"
    moment = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.executemany(update, [(*columns, moment, key) for key, columns in changed])
    return [Written(key, frames.size(columns.parts)) for key, columns in changed]


def insert_journal(entries: list[JournalRow]) -> None:
    with connection.cursor() as cursor:
        for start in range(0, len(entries), ROWS):
            batch = entries[start : start + ROWS]
            query = f"INSERT INTO {JOURNAL} (id, message_id, serial, event, previous) VALUES {_places(5, len(batch))}"
            cursor.execute(query, [value for row in batch for value in row])


def advance_tails(tails: list[tuple[str, int, int, int]]) -> None:
    """Set the sessions' tails and the journal's last rows of each, and add the bytes that each has grown by."""
    query = (
        f"WITH moved(session, tail, last, grown) AS (VALUES {_places(4, len(tails))}) UPDATE {SESSIONS}"
        " SET tail = moved.tail, journal = last, stored = stored + moved.grown FROM moved WHERE id = moved.session"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [value for moved in tails for value in moved])


def replace(replaced: Sequence[tuple[str, list[str], fold.MessageState]]) -> None:
    """Mark messages as replaced, given as (session, ids, the message that takes their place), as the fold does."""
    for session, uids, message in replaced:
        rows = models.Message.objects.filter(session=session, uid__in=uids)
        rows.update(replaced_by=message.id, last_serial=message.first_serial)


def move_leaves(leaves: dict[str, str]) -> None:
    """Set what the sessions' next messages follow."""
    if not leaves:
        return
    query = (
        f"WITH moved(session, leaf) AS (VALUES {_places(2, len(leaves))})"
        f" UPDATE {SESSIONS} SET leaf = moved.leaf FROM moved WHERE id = moved.session"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [value for pair in leaves.items() for value in pair])


def note_activity(sessions: set[str], titles: dict[str, str], now: datetime) -> None:
    """Note sessions in which a message began or ended. A first message gives its session a title."""
    if not sessions:
        return
    query = (
        f"WITH noted(session, name) AS (VALUES {_places(2, len(sessions))}) UPDATE {SESSIONS} SET active_at = %s,"
        f" title = CASE WHEN title = '' THEN noted.name ELSE title END FROM noted WHERE id = noted.session"
    )
    noted = [value for session in sessions for value in (session, titles.get(session, ""))]
    with connection.cursor() as cursor:
        cursor.execute(query, [*noted, connection.ops.adapt_datetimefield_value(now)])


def note_runs(started: list[models.Run], ended: set[str]) -> None:
    rows.insert(started)
    if ended:
        query = f"UPDATE {RUNS} SET status = 'ended', ended_at = %s WHERE id IN ({','.join(['%s'] * len(ended))})"
        with connection.cursor() as cursor:
            cursor.execute(query, [connection.ops.adapt_datetimefield_value(timezone.now()), *ended])


@lru_cache(maxsize=256)
def _places(values: int, rows: int) -> str:
    row = f"({','.join(['%s'] * values)})"
    return ",".join([row] * rows)


class _Columns(NamedTuple):
    """The columns that conflating writes: the fold as a row keeps it."""

    status: str
    reason: str | None
    metadata: str | None
    parts: str
    open: str
    marks: str
    last_serial: int


def _columns(message: fold.MessageState) -> _Columns:
    return _Columns(
        status=message.status,
        reason=None if message.reason is None else orjson.dumps(message.reason).decode(),
        metadata=None if message.metadata is None else orjson.dumps(message.metadata).decode(),
        parts=orjson.dumps(message.parts).decode(),
        open=orjson.dumps(message.open).decode(),
        marks=orjson.dumps(message.marks).decode(),
        last_serial=message.last_serial,
    )
