"""Removes what has expired and what was deleted: in small steps, since a database may have one writer at a time.

What has expired is hidden from that moment (`Session.objects.visible`, `store`); removing it later changes nothing
that anybody sees. A session that is to go is first marked as removed, which hides it from everyone and can't be undone
by a hold, and then emptied; a purge that is interrupted in between goes on with it in its next round.
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
from typing import Any, cast

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, Max, Model, OuterRef, QuerySet
from django.utils import timezone

from sessions_app import conf
from sessions_app.auth import tokens
from sessions_app.core.retention import clock_jumped
from sessions_app.database import locking
from sessions_app.diagnostics import connection_records
from sessions_app.models import Approval, Message, RetentionPolicy, Run, Session, Signal, Worker
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

BATCH = 200  # rows of a table in one transaction: some 20 ms, which a publisher's commit can wait
# Many signals may name one run, few runs one signal; and a run's approvals would all go with it in one step.
IN_ORDER = (Signal, Approval, Run)
CLOCK_TOLERANCE_S = 60.0  # drift between two rounds that is no reason to distrust the wall clock


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was removed; in a dry run, how much would be."""

    sessions: int = 0
    messages: int = 0
    signals: int = 0
    runs: int = 0  # their approvals go with them, uncounted
    records: int = 0  # of connections
    workers: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(*map(operator.add, astuple(self), astuple(other)))

    def __str__(self) -> str:
        told = [_count(self.sessions, "session"), _count(self.messages, "message")]
        others = (
            (self.signals, "signal"), (self.runs, "run"), (self.records, "connection record"), (self.workers, "worker"),
        )  # fmt: skip
        return ", ".join(told + [_count(number, noun) for number, noun in others if number])


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
    """Remove expired sessions, and what has expired of living ones. `on_progress` gets the sum after each step.

    Several processes may purge at once. `stop` ends it after the step under way.
    """
    now = timezone.now()
    if dry_run:
        return _due(now)
    return _run(_purge_steps(batch, now), on_progress, stop)


def delete_sessions(ids: Iterable[str], *, on_progress: OnProgress = lambda purged: None) -> Purged:
    """Delete sessions with all that belongs to them, held or not. They are hidden before this returns or fails."""
    return _run(_delete_steps(list(ids)), on_progress)


def _run(steps: Iterator[Purged], on_progress: OnProgress, stop: threading.Event | None = None) -> Purged:
    """Take the steps, and after each pause for as long as it took: half of the time belongs to other writers."""
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


# Steps: each is one transaction


def _purge_steps(batch: int, now: datetime) -> Iterator[Purged]:
    while expired := _ids(_purgeable(now), batch):
        # The condition once more: it may have been put on hold since.
        _hide(_purgeable(now), expired)
        yield from _empty_steps(batch)
    yield from _empty_steps(batch)  # what an earlier purge or a deletion left
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
    """Delete some rows of sessions that are to go, and when only some are left, the sessions too."""
    with transaction.atomic():
        locking.sessions(ids)  # no publisher adds to them meanwhile, and the next one finds nothing to add to
        removed: dict[type[Model], int] = {}
        for model in (Message, *IN_ORDER):
            removed[model] = _delete_some(model._default_manager.filter(session__in=ids), batch)
            if removed[model] == batch:
                return _purged(removed)
        _, deleted = Session.objects.filter(pk__in=ids).delete()
    return _purged(removed) + Purged(sessions=deleted.get(Session._meta.label, 0))


def _trim(outdated: QuerySet[Model], sessions: set[str], batch: int) -> Purged:
    """Delete what is outdated of these sessions, and note in each how far it was trimmed."""
    with transaction.atomic():
        locking.sessions(sessions)
        # `outdated` is asked again: a session may have been put on hold or got another policy.
        if outdated.model is Run:
            return _trim_runs(cast(QuerySet[Run], outdated), batch)
        for session, serial in outdated.values_list("session").annotate(Max("last_serial")).order_by():
            Session.objects.filter(pk=session, trimmed__lt=serial).update(trimmed=serial)
        return _purged({outdated.model: _delete_some(outdated, batch)})


def _trim_runs(outdated: QuerySet[Run], batch: int) -> Purged:
    """Delete runs whose approvals are gone, after some approvals of the others."""
    removed = _delete_some(Approval.objects.filter(run__in=list(outdated.values_list("pk", flat=True))), batch)
    return Purged() if removed == batch else Purged(runs=_delete_some(outdated, batch))


def _forget(most: int, now: datetime) -> int:
    """Delete workers that are long dead and that no run names any more."""
    with transaction.atomic():
        found = locking.skip_locked(_forgotten(now), most)
        return Worker.objects.filter(pk__in=found).delete()[0]


def _purged(removed: Mapping[type[Model], int]) -> Purged:
    return Purged(messages=removed.get(Message, 0), signals=removed.get(Signal, 0), runs=removed.get(Run, 0))


def _delete_some(rows: QuerySet[Model], most: int) -> int:
    model = rows.model
    keys = list(rows.order_by().values_list("pk", flat=True)[:most])
    # Of messages only the keys are read, with which their journal goes: what people said is large.
    model._default_manager.filter(pk__in=keys).only("pk").delete()
    return len(keys)


# What is due


def _purgeable(now: datetime) -> QuerySet[Session]:
    streaming = Message.objects.streaming().filter(session=OuterRef("pk"))
    return Session.objects.expired(now).exclude(Exists(streaming))


def _outdated_messages(policy: RetentionPolicy, now: datetime) -> QuerySet[Model]:
    return _of(policy, now, Message.objects.ended().filter(updated_at__lt=policy.cutoff(now)))


def _outdated_signals(policy: RetentionPolicy, now: datetime) -> QuerySet[Model]:
    return _of(policy, now, Signal.objects.settled().filter(changed_at__lt=policy.cutoff(now)))


def _outdated_runs(policy: RetentionPolicy, now: datetime) -> QuerySet[Model]:
    return _of(policy, now, Run.objects.ended().filter(ended_at__lt=policy.cutoff(now)))


def _of(policy: RetentionPolicy, now: datetime, rows: QuerySet[Model]) -> QuerySet[Model]:
    """Those of a policy's sessions. A session that is younger has none: its rows need not be looked at."""
    return rows.filter(session__policy=policy, session__held=False, session__created_at__lt=policy.cutoff(now))


def _forgotten(now: datetime) -> QuerySet[Worker]:
    # A producer's epoch is kept for as long as anything that an earlier one could still want to go on with.
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


# Again and again


class WallClock:
    """Notices that the wall clock was set. Nothing is purged then: what it says now may be wrong."""

    def __init__(self) -> None:
        self._wall, self._monotonic = time.time(), time.monotonic()

    def jumped(self) -> bool:
        """Whether it was set since the last look."""
        wall, monotonic = time.time(), time.monotonic()
        passed = wall - self._wall, monotonic - self._monotonic
        self._wall, self._monotonic = wall, monotonic
        jumped = clock_jumped(wall=passed[0], monotonic=passed[1], tolerance=CLOCK_TOLERANCE_S)
        if jumped:
            logger.warning("the clock was set by %+.0f s: purging waits for the next round", passed[0] - passed[1])
        return jumped


def purge_round(stop: threading.Event, **options: Any) -> Purged:
    """Purge in a thread of one's own. A database that fails is asked again in the next round."""
    try:
        with metrics.purge_seconds.time(), tracing.span("purge"):
            purged = purge(stop=stop, **options)
        for kind, rows in asdict(purged).items():
            metrics.purged_rows.labels(kind).inc(rows)
        return purged
    except DatabaseError as error:
        logger.error("the purge stopped, the next round goes on with it: %s", error)
        return Purged()
    finally:
        connection.close()


async def purge_forever() -> None:
    """Purge every PURGE_EVERY_S; a task of the server."""
    clock = WallClock()
    stop = threading.Event()
    try:
        while True:
            await asyncio.sleep(conf.settings.purge_every_s)
            if not clock.jumped():
                await asyncio.to_thread(purge_round, stop)
    finally:
        stop.set()  # the thread that purges ends after its step
