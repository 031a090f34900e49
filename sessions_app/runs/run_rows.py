"""Run rows: the queries that every question, claim and end of a response makes.

Plain SQL: the ORM takes ten times as long to write such a statement as the database to answer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import connection

from sessions_app import models
from sessions_app.database import rows
from sessions_app.event_log.sql import SqlValue

RUNS, SESSIONS, SIGNALS, APPROVALS = (
    model._meta.db_table for model in (models.Run, models.Session, models.Signal, models.Approval)
)
RUN_COLUMNS = len(models.Run._meta.concrete_fields)
# Runs, each with the signal that caused it.
SELECT_RUNS = (
    f"SELECT {rows.columns(models.Run, 'r')}, {rows.columns(models.Signal, 'c')}"
    f" FROM {RUNS} r LEFT JOIN {SIGNALS} c ON c.id = r.cause_id WHERE "
)
SELECT_CONTEXT = (
    f"SELECT s.agent, EXISTS (SELECT 1 FROM {SIGNALS} WHERE session_id = s.id AND uid = %s),"
    f" EXISTS (SELECT 1 FROM {RUNS} WHERE session_id = s.id AND status IN ('running', 'waiting')),"
    f" (SELECT sum(stored) FROM {SESSIONS} WHERE owner = %s AND removed_at IS NULL)"
    f" FROM {SESSIONS} s WHERE s.id = %s"
)
COUNT_WAITING = (
    f"SELECT count(*) FROM {RUNS} r JOIN {SESSIONS} s ON s.id = r.session_id"
    " WHERE r.status = 'waiting' AND s.owner = %s"
)
COUNT_RUNNING = (
    f"SELECT count(*) FROM {RUNS} r JOIN {SESSIONS} s ON s.id = r.session_id WHERE r.status = 'running'"
    f" AND r.worker_id = %s AND r.cause_id IS NOT NULL AND s.owner = (SELECT owner FROM {SESSIONS} WHERE id = %s)"
)


class SignalContext(NamedTuple):
    """What a signal finds: its session's agent, if its id is known and a run is active, and its payer's bytes."""

    agent: str
    is_known: bool
    has_active: bool
    stored: int


def context(session: str, uid: str, payer: str) -> SignalContext:
    """Return what a signal finds in its session, which exists."""
    agent, is_known, has_active, stored = _one(SELECT_CONTEXT, [uid, payer, session])
    return SignalContext(agent, bool(is_known), bool(has_active), stored or 0)


def active(session: str) -> list[models.Run]:
    """Return a session's runs that have not ended, with their causes: the running ones first, then by age."""
    found = _runs("r.session_id = %s AND r.status IN ('running', 'waiting') ORDER BY r.created_at", [session])
    return sorted(found, key=lambda run: run.status != models.Run.Status.RUNNING)


def by_key(keys: Collection[str]) -> dict[str, models.Run]:
    """Return those of the runs that exist, with their causes."""
    if not keys:
        return {}
    return {run.pk: run for run in _runs(f"r.id IN ({_places(keys)})", list(keys))}


def count_waiting(owner: str) -> int:
    """Return how many runs of an owner wait."""
    [count] = _one(COUNT_WAITING, [owner])
    return int(count)


def count_running(worker: str, session: str) -> int:
    """Return at how many runs that were asked for a worker is at work for the owner of a session."""
    [count] = _one(COUNT_RUNNING, [worker, session])
    return int(count)


def unsettled(runs: Collection[models.Run]) -> set[str]:
    """Return the sessions of these runs with a cancel, or with signals of the runs but their causes, that are open."""
    keys, sessions = [run.pk for run in runs], list({run.session_id for run in runs})
    causes = [run.cause_id or 0 for run in runs]
    query = (
        f"SELECT session_id FROM {SIGNALS} WHERE run_id IN ({_places(keys)}) AND id NOT IN ({_places(causes)})"
        " AND status IN ('accepted', 'delivered') UNION ALL "
        f"SELECT session_id FROM {SIGNALS} WHERE session_id IN ({_places(sessions)}) AND kind = 'cancel'"
        " AND status IN ('accepted', 'delivered')"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [*keys, *causes, *sessions])
        return {session for (session,) in cursor.fetchall()}


def expire_approvals(runs: Collection[models.Run]) -> None:
    """Expire the pending approvals of these runs."""
    keys = [run.pk for run in runs]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {APPROVALS} SET status = 'expired' WHERE run_id IN ({_places(keys)}) AND status = 'pending'", keys
        )


def _runs(where: str, values: list[SqlValue]) -> list[models.Run]:
    with connection.cursor() as cursor:
        cursor.execute(SELECT_RUNS + where, values)
        found = cursor.fetchall()
    return [_run(row) for row in found]


def _run(row: tuple[object, ...]) -> models.Run:
    run = rows.read(models.Run, row[:RUN_COLUMNS])
    if run.cause_id is not None:
        run.cause = rows.read(models.Signal, row[RUN_COLUMNS:])
    return run


def _one(query: str, values: list[SqlValue]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def _places(values: Collection[object]) -> str:
    return ",".join(["%s"] * len(values))
