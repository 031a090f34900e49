"""Lock order. Every transaction locks rows in this order, so two cannot deadlock.

1. Sessions, all that a transaction needs at once, in the order of their ids: `sql.lock_sessions` for what is
   published, `sessions` elsewhere. What belongs to a session is changed under its lock alone.
2. Of workers, the producers whose batches are published, all at once, in that order: `sql.beat_producers`.
3. Of producers, those that are registered, one after the other in that order: `DatabaseJob.order`. An
   insert of a row that another transaction has just inserted waits until that one commits.
4. Then all others: a process's own worker, and other rows only if they are free (`skip_locked`). A locked row is
   being changed, and is looked at again later.

SQLite has one write lock, which a transaction takes at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

from sessions_app import models

M = TypeVar("M", bound=Model)

# On PostgreSQL, ends a transaction that stands idle with its locks for so long, normally microseconds: the machine of
# its process has vanished, and nothing has closed the connection. Set for one transaction, in the statement that locks:
# a connection pooler refuses the option at the connection's start, and would give a session's setting to others.
BOUND_IDLE_SQL = "set_config('idle_in_transaction_session_timeout', '10s', true)"


def sessions(ids: Iterable[str]) -> None:
    """Lock the rows of sessions until the transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {BOUND_IDLE_SQL}")
    list(models.Session.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))


def skip_locked(rows: QuerySet[M], most: int | None = None) -> list[object]:
    """Lock the rows that no other transaction has locked; return their keys."""
    return list(rows.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)[:most])
