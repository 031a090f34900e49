"""Purge: deletes expired and removed data in small steps, since a database may allow only one writer at a time.

Expired data is hidden from the moment it expires (`Session.objects.visible`, `queries`), so readers don't notice when
it is deleted. A session is first marked as removed, which hides it and can't be undone by a hold, and then emptied. If
a purge is interrupted in between, its next round continues.
"""

from __future__ import annotations

import asyncio
import logging
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import TypeVar

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, F, Max, Model, OuterRef, QuerySet, Sum
from django.db.models.functions import Greatest
from django.utils import timezone

from sessions_app import conf
from sessions_app.auth import tokens
from sessions_app.database import locking
from sessions_app.database.connection_failures import describe
from sessions_app.database.functions import Bytes
from sessions_app.diagnostics import connection_records
from sessions_app.models import Approval, Message, RetentionPolicy, Run, Session, Signal, Worker
from sessions_app.retention import clock as clocks
from sessions_app.retention.clock import READ_EVERY_S, ClockWatch
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)

BATCH = 200  # rows of a table per transaction: about 20 ms, which a publisher's commit can wait
# Order of deletion. Many signals may refer to one run, but few runs to one signal; and deleting a run first would
# cascade to all its approvals in one step.
IN_ORDER = (Signal, Approval, Run)


@dataclass(frozen=True, slots=True)
class Purged:
    """Number of rows removed; in a dry run, the number that would be."""

    sessions: int = 0
    messages: int = 0
    signals: int = 0
    runs: int = 0  # with their approvals, which aren't counted
    records: int = 0  # connection records
    workers: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(*map(operator.add, astuple(self), astuple(other)))

    def __str__(self) -> str:
        main = [_count(self.sessions, "session"), _count(self.messages, "message")]
        others = (
            (self.signals, "signal"), (self.runs, "run"), (self.records, "connection record"), (self.workers, "worker"),
        )  # fmt: skip
        return ", ".join(main + [_count(number, noun) for number, noun in others if number])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


OnProgress = Callable[[Purged], object]


def purge(
    *,
    batch: int = BATCH,
    dry_run: bool = False,
    on_progress: OnProgress = lambda purged: None,
    stop: threading.Event | None = None,
) -> Purged:
    """Delete expired sessions, and expired data of other sessions. `on_progress` gets the total after each step.

    Several processes may purge at once. `stop` ends the purge after the current step.
    """
    now = clocks.now()
    if dry_run:
        return _due(now)
    return _run_steps(_purge_steps(batch, now), on_progress, stop)


def delete_sessions(ids: Iterable[str], *, on_progress: OnProgress = lambda purged: None) -> Purged:
    """Delete sessions and all their data, even if on hold. They are hidden before this returns or fails."""
    return _run_steps(_delete_steps(list(ids)), on_progress)


def _run_steps(steps: Iterator[Purged], on_progress: OnProgress, stop: threading.Event | None = None) -> Purged:
    """Run the steps. After each, pause for as long as it took, which leaves half of the time to other writers."""
    stop = stop or threading.Event()
    total = Purged()
    began = time.monotonic()
    for done in steps:
        total += done
        on_progress(total)
        if stop.wait(time.monotonic() - began):
            break
        began = time.monotonic()
    return total


# Steps, one transaction each


def _purge_steps(batch: int, now: datetime) -> Iterator[Purged]:
    while expired := _ids(_purgeable(now), batch):
        # The condition again: the session may have been put on hold since.
        _hide(_purgeable(now), expired)
        yield from _empty_steps(batch)
    yield from _empty_steps(batch)  # left by an earlier purge or deletion
    for policy in RetentionPolicy.objects.all():
        for outdated in OUTDATED.values():
            sessions = list(outdated(policy, now).order_by().values_list("session", flat=True).distinct())
            for some in _chunks(sessions, batch):
                yield from _trim_steps(outdated(policy, now).filter(session__in=some), batch)
    for records in connection_records.outdated(now):
        while removed := _delete_some(records, batch):
            yield Purged(records=removed)
    for revocations in tokens.outdated(now):
        while _delete_some(revocations, batch):
            yield Purged()
    while forgotten := _forget(batch, now):
        yield Purged(workers=forgotten)


def _empty_steps(batch: int) -> Iterator[Purged]:
    while gone := _ids(Session.objects.removed(), batch):
        yield _empty(gone, batch)


def _trim_steps(outdated: QuerySet[Model], batch: int) -> Iterator[Purged]:
    while found := dict(outdated.order_by().values_list("pk", "session")[:batch]):
        yield _trim(outdated.filter(pk__in=found), set(found.values()), batch)


def _delete_steps(ids: list[str]) -> Iterator[Purged]:
    for some in _chunks(ids, BATCH):
        _hide(Session.objects.present(), some)
        while Session.objects.filter(pk__in=some).exists():
            yield _empty(some, BATCH)


def _ids(sessions: QuerySet[Session], most: int) -> list[str]:
    return list(sessions.order_by().values_list("pk", flat=True)[:most])


def _chunks(ids: list[str], size: int) -> Iterator[list[str]]:
    return (ids[first : first + size] for first in range(0, len(ids), size))


def _hide(sessions: QuerySet[Session], ids: list[str]) -> None:
    with transaction.atomic():
        locking.sessions(ids)
        sessions.filter(pk__in=ids).update(removed_at=timezone.now())


def _empty(ids: list[str], batch: int) -> Purged:
    """Delete a batch of rows of removed sessions, and the sessions once no full batch is left."""
    with transaction.atomic():
        locking.sessions(ids)  # blocks publishers now; later ones find no session
        removed: dict[type[Model], int] = {}
        for model in (Message, *IN_ORDER):
            removed[model] = _delete_some(model._default_manager.filter(session__in=ids), batch)
            if removed[model] == batch:
                return _purged(removed)
        _, deleted = Session.objects.filter(pk__in=ids).delete()
    return _purged(removed) + Purged(sessions=deleted.get(Session._meta.label, 0))


def _trim(outdated: QuerySet[Model], sessions: set[str], batch: int) -> Purged:
    """Delete outdated rows of these sessions, and store in each session how far it is trimmed."""
    with transaction.atomic():
        locking.sessions(sessions)
        # `outdated` is evaluated again: a session may have been put on hold or got another policy since.
        if outdated.model is Run:
            return _trim_runs(outdated, batch)
        size = Sum(Bytes("parts" if outdated.model is Message else "payload"))
        removed = outdated.values_list("session").annotate(Max("last_serial"), size=size)
        for session, serial, freed in removed.order_by():
            Session.objects.filter(pk=session).update(
                trimmed=Greatest("trimmed", serial), stored=Greatest(F("stored") - freed, 0)
            )
        return _purged({outdated.model: _delete_some(outdated, batch)})


def _trim_runs(outdated: QuerySet[Model], batch: int) -> Purged:
    """Delete a batch of the runs' approvals, then, if none are left, a batch of runs."""
    removed = _delete_some(Approval.objects.filter(run__in=list(outdated.values_list("pk", flat=True))), batch)
    return Purged() if removed == batch else Purged(runs=_delete_some(outdated, batch))


def _forget(most: int, now: datetime) -> int:
    """Delete workers that have long been dead and that no run refers to."""
    with transaction.atomic():
        found = locking.skip_locked(_forgotten(now), most)
        return Worker.objects.filter(pk__in=found).delete()[0]


def _purged(removed: Mapping[type[Model], int]) -> Purged:
    return Purged(messages=removed.get(Message, 0), signals=removed.get(Signal, 0), runs=removed.get(Run, 0))


def _delete_some(rows: QuerySet[Model], most: int) -> int:
    model = rows.model
    keys = list(rows.order_by().values_list("pk", flat=True)[:most])
    # Load only keys: message texts are large.
    model._default_manager.filter(pk__in=keys).only("pk").delete()
    return len(keys)


# Queries


def _purgeable(now: datetime) -> QuerySet[Session]:
    streaming = Message.objects.streaming().filter(session=OuterRef("pk"))
    return Session.objects.expired(now).exclude(Exists(streaming))


def _outdated_messages(policy: RetentionPolicy, now: datetime) -> QuerySet[Message]:
    return _of(policy, now, Message.objects.ended().filter(updated_at__lt=policy.cutoff(now)))


def _outdated_signals(policy: RetentionPolicy, now: datetime) -> QuerySet[Signal]:
    return _of(policy, now, Signal.objects.settled().filter(changed_at__lt=policy.cutoff(now)))


def _outdated_runs(policy: RetentionPolicy, now: datetime) -> QuerySet[Run]:
    return _of(policy, now, Run.objects.ended().filter(ended_at__lt=policy.cutoff(now)))


def _of(policy: RetentionPolicy, now: datetime, rows: QuerySet[M]) -> QuerySet[M]:
    """Restrict rows to a policy's sessions, except those too young to have outdated rows."""
    return rows.filter(session__policy=policy, session__held=False, session__created_at__lt=policy.cutoff(now))


def _forgotten(now: datetime) -> QuerySet[Worker]:
    # A worker keeps a producer's epoch, which is needed as long as an older epoch's data could still be continued.
    longest = min((policy.cutoff(now) for policy in RetentionPolicy.objects.all()), default=now)
    named = Run.objects.filter(worker=OuterRef("pk"))
    return Worker.objects.filter(alive=False, seen_at__lt=longest).exclude(Exists(named))


OUTDATED: dict[type[Model], Callable[[RetentionPolicy, datetime], QuerySet[Model]]] = {
    Message: _outdated_messages,
    Signal: _outdated_signals,
    Run: _outdated_runs,
}


def _due(now: datetime) -> Purged:
    gone = _purgeable(now) | Session.objects.removed()
    due = dict.fromkeys(OUTDATED, 0)
    for model, outdated in OUTDATED.items():
        due[model] = model._default_manager.filter(session__in=gone.values("pk")).count()
        for policy in RetentionPolicy.objects.all():
            due[model] += outdated(policy, now).exclude(session__in=gone.values("pk")).count()
    records = sum(records.count() for records in connection_records.outdated(now))
    return _purged(due) + Purged(sessions=gone.count(), records=records, workers=_forgotten(now).count())


# Periodic purge


def purge_round(
    stop: threading.Event,
    *,
    clock: ClockWatch | None = None,
    batch: int = BATCH,
    on_progress: OnProgress = lambda purged: None,
) -> Purged:
    """Purge once if the clock is trusted; call it in a thread. After a database error, the next round tries again."""
    try:
        if not (clock or ClockWatch()).may_purge():
            return Purged()
        with metrics.purge_seconds.time(), tracing.span("purge"):
            purged = purge(stop=stop, batch=batch, on_progress=on_progress)
        for kind, rows in asdict(purged).items():
            metrics.purged_rows.labels(kind).inc(rows)
        return purged
    except DatabaseError as error:
        logger.error("the purge failed, the next round continues it: %s", describe(error))
        return Purged()
    finally:
        connection.close()


async def purge_forever() -> None:
    """Watch the clock, and purge every PURGE_EVERY_S, until cancelled."""
    clock = ClockWatch()
    stop = threading.Event()
    purged_at = time.monotonic()
    try:
        while True:
            await asyncio.to_thread(_read_clock, clock)
            every_s = conf.settings.purge_every_s
            await asyncio.sleep(min(every_s, READ_EVERY_S))
            if time.monotonic() - purged_at >= every_s:
                await asyncio.to_thread(purge_round, stop, clock=clock)
                purged_at = time.monotonic()
    finally:
        stop.set()  # ends the purging thread after its current step


def _read_clock(clock: ClockWatch) -> None:
    try:
        clock.may_purge()
    except DatabaseError as error:
        logger.error("the clock's reading was not stored: %s", describe(error))
    finally:
        connection.close()
