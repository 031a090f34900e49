"""Journal trim: removes events that their messages' rows hold, oldest first, and folds what is old by itself.

A commit only adds to the journal: removing a response's events when they are folded would write as many pages as adding
them. Each session's rows are linked from the last one back (`message_rows`), so a row goes before those that follow it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, F, Max, OuterRef, QuerySet
from django.utils import timezone

from sessions_app.database import locking
from sessions_app.database.connection_failures import describe
from sessions_app.event_log import queries, sql
from sessions_app.event_log.sql import Key
from sessions_app.models import JournalEntry, Message
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

# Between two rounds, in seconds. Rows are as old as one round, or two, when they go: by then most responses have been
# folded by their own writers (HOLDFAST_JOURNAL_EVENTS).
EVERY_S = 30.0
BATCH = 1000  # rows of one transaction: some milliseconds, which a publisher's commit can wait
FOLDED = 16  # messages that it folds at most


def trim(upto: int, *, batch: int = BATCH, stop: threading.Event | None = None) -> int:
    """Remove the journal's rows up to this id; return how many. After each step, pause for as long as it took."""
    stop = stop or threading.Event()
    removed = 0
    before: set[Key] = set()
    while not stop.is_set() and (last := _last_of(upto, batch)):
        began = time.monotonic()
        done, folded = _step(last)
        if not done and folded == before:
            logger.error("events of %d messages can't be folded, and stay in the journal", len(folded))
            break
        removed += done
        before = folded
        stop.wait(time.monotonic() - began)
    return removed


def newest() -> int:
    """Return the highest id in the journal."""
    return JournalEntry.objects.aggregate(newest=Max("id"))["newest"] or 0


def _last_of(upto: int, batch: int) -> int:
    """Return the id of the last row of the next batch; 0 if there is none."""
    ids = JournalEntry.objects.filter(id__lte=upto).order_by("id").values_list("id", flat=True)[:batch]
    return max(ids, default=0)


def _step(last: int) -> tuple[int, set[Key]]:
    """Fold messages that need the rows up to an id, and remove these if those are all; return how many, and which."""
    rows = JournalEntry.objects.filter(id__lte=last)
    needing = set(_needed_by(rows)[:FOLDED])
    with transaction.atomic():
        locking.sessions({session for session, _ in needing})
        _fold(needing)
        return (_remove(rows) if len(needing) < FOLDED else 0), needing


def _needed_by(rows: QuerySet[JournalEntry]) -> QuerySet[JournalEntry, Key]:
    """Return the messages that aren't folded up to these rows: sessions and uids."""
    needed = rows.filter(message__status=Message.Status.STREAMING, message__last_serial__lt=F("serial"))
    return needed.order_by().values_list("message__session", "message__uid").distinct()


def _fold(messages: Iterable[Key]) -> None:
    """Fold what the journal has of these messages into their rows, as their writers would.

    Their growth isn't counted here: a response's writer counts it when it folds next.
    """
    found = [queries.keyed_message(session, uid, is_streaming=True) for session, uid in messages]
    sql.conflate([(row[0], row[2]) for row in found if row is not None], timezone.now())


def _remove(rows: QuerySet[JournalEntry]) -> int:
    unfolded = Message.objects.streaming().filter(pk=OuterRef("message"), last_serial__lt=OuterRef("serial"))
    return rows.exclude(Exists(unfolded)).delete()[0]


async def trim_forever() -> None:
    """Trim the journal every EVERY_S, until cancelled."""
    stop = threading.Event()
    seen = 0
    try:
        while True:
            await asyncio.sleep(EVERY_S)
            seen = await asyncio.to_thread(_round, seen, stop)
    finally:
        stop.set()  # ends the thread after its current step


def _round(upto: int, stop: threading.Event) -> int:
    """Trim up to this id; return the newest one. After a database error, the next round goes on."""
    try:
        seen = newest()
        metrics.purged_rows.labels("journal").inc(trim(upto, stop=stop))
        return seen
    except DatabaseError as error:
        logger.error("the journal was not trimmed, the next round goes on: %s", describe(error))
        return upto
    finally:
        connection.close()
