"""Leases: a worker that stops counting is dead, its answers end; one that lives is never taken for dead."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from sessions_app import models, store
from sessions_app.core.errors import HoldfastError
from sessions_app.leases import DEAD, Lease, Reaper
from tests.support.stored import a_session
from tests.support.writer import Writer, a_run, begun, delta, finish, of

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_MS = 600
BEAT_S = LEASE_MS / 3000


@pytest.fixture(autouse=True)
def short_lease(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"LEASE_MS": LEASE_MS}


class Living:
    """A process as others see it: it beats and looks around, until it is frozen."""

    def __init__(self) -> None:
        self.writer = Writer()

    def __enter__(self) -> "Living":
        self.writer.__enter__()
        self.lease = Lease(self.writer.ingest)
        self.reaper = Reaper(self.writer.ingest, self.lease)
        self.writer.run(self.lease.beat())
        self.tasks = [self.writer.run(self.keep(step)) for step in (self.lease.beat, self.reaper.look)]
        return self

    async def keep(self, step: Any) -> "asyncio.Task[None]":
        async def repeat() -> None:
            while True:
                await asyncio.sleep(BEAT_S)
                try:
                    await step()
                except Exception:  # as a process does
                    await asyncio.sleep(BEAT_S)

        return asyncio.get_running_loop().create_task(repeat())

    @property
    def worker(self) -> models.Worker:
        return models.Worker.objects.get(pk=self.lease.worker)

    def stop(self) -> None:
        async def cancel() -> None:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.writer.run(cancel())

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.writer.__exit__()


@pytest.fixture
def alive() -> Iterator[Living]:
    with Living() as living:
        yield living


def wait_until(condition: Any, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def status(session: models.Session, uid: str) -> str:
    message = store.message(session.pk, uid)
    return message.status if message else ""


def test_the_answers_of_a_dead_worker_end(alive: Living) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    alive.writer.append(session, "m_1", begun("m_1", "so far"), **of(run))
    began = time.monotonic()
    wait_until(lambda: status(session, "m_1") == "interrupted")
    assert LEASE_MS / 1000 <= time.monotonic() - began < 3 * LEASE_MS / 1000
    message = store.message(session.pk, "m_1")
    assert message is not None
    assert (message.reason, message.parts[0]["text"]) == (DEAD, "so far")
    run.refresh_from_db()
    assert (run.status, run.worker.alive) == ("ended", False)
    assert models.JournalEntry.objects.count() == 0


def test_readers_are_shown_that_it_ended(alive: Living) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as dead:
        dead.append(session, "m_1", begun("m_1", "so far"), **of(run))
    wait_until(lambda: alive.writer.frames)
    assert '"type":"interrupt"' in alive.writer.frames[0].text
    assert alive.writer.frames[0].first == 4


def test_an_answer_that_never_began_is_shown_as_interrupted(alive: Living) -> None:
    session = a_session("guest:1")
    a_run(session, "m_1")
    wait_until(lambda: status(session, "m_1") == "interrupted")
    assert models.Run.objects.get().status == "ended"


def test_what_a_dead_worker_publishes_later_is_fenced(alive: Living) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as frozen:
        frozen.append(session, "m_1", begun("m_1", "so far"), after=0, **of(run))
        wait_until(lambda: status(session, "m_1") == "interrupted")
        for chunks in ([delta(" and more")], [finish()]):
            with pytest.raises(HoldfastError, match="fenced"):
                frozen.append(session, "m_1", chunks, after=3, **of(run))
        assert frozen.frames[1:] == []
    assert store.message(session.pk, "m_1").parts[0]["text"] == "so far"  # type: ignore[union-attr]


def test_a_living_worker_keeps_its_answers(alive: Living) -> None:
    session = a_session("guest:1")
    with Living() as other:
        run = a_run(session, "m_1", other.worker)
        other.writer.append(session, "m_1", begun("m_1"), **of(run))
        time.sleep(3 * LEASE_MS / 1000)
        other.writer.append(session, "m_1", [finish()], **of(run))
    assert status(session, "m_1") == "complete"
    assert alive.worker.alive


def test_one_that_was_taken_for_dead_goes_on_as_another_worker() -> None:
    with Living() as living:
        before = living.lease.worker
        models.Worker.objects.update(alive=False)
        wait_until(lambda: living.lease.worker != before)
        assert living.worker.alive


def test_several_observers_end_an_answer_once() -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as dead:
        dead.append(session, "m_1", begun("m_1"), **of(run))
    with Living() as one, Living() as other:
        wait_until(lambda: status(session, "m_1") == "interrupted")
        time.sleep(LEASE_MS / 1000)
        assert len(one.writer.frames + other.writer.frames) == 1
    session.refresh_from_db()
    assert session.tail == 3


def test_a_lock_that_outlasts_the_lease_kills_nobody() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("is about SQLite's one write lock")
    with Living() as one, Living() as other:
        workers = {one.lease.worker, other.lease.worker}
        for _ in range(3):
            time.sleep(LEASE_MS / 1000)
            lock = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            time.sleep(2 * LEASE_MS / 1000)
            lock.execute("ROLLBACK")
            lock.close()
        time.sleep(2 * LEASE_MS / 1000)
        assert {one.lease.worker, other.lease.worker} == workers


def test_an_observer_that_was_frozen_kills_nobody(alive: Living) -> None:
    with Living() as other:
        alive.stop()
        session = a_session("guest:1")
        run = a_run(session, "m_1", other.worker)
        other.stop()  # both are frozen, as when a laptop sleeps
        time.sleep(2 * LEASE_MS / 1000)
        alive.writer.run(alive.reaper.look())  # wakes first
        assert other.worker.alive
        run.refresh_from_db()
        assert run.status == "running"


def test_an_answer_that_its_own_process_could_not_end_is_ended_later(alive: Living) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1", alive.worker)
    alive.writer.append(session, "m_1", begun("m_1", "so far"), **of(run))
    alive.reaper.end_later(run, {"type": "error", "errorText": "The database was away."})
    wait_until(lambda: status(session, "m_1") == "failed")
    run.refresh_from_db()
    assert run.status == "ended"
    assert alive.worker.alive


def test_who_leaves_properly_leaves_nothing_to_wait_for(alive: Living) -> None:
    session = a_session("guest:1")
    with Living() as other:
        run = a_run(session, "m_1", other.worker)
        other.writer.append(session, "m_1", begun("m_1"), **of(run))
        other.stop()
        other.writer.run(other.lease.release())
        began = time.monotonic()
        wait_until(lambda: status(session, "m_1") == "interrupted")
        assert time.monotonic() - began < LEASE_MS / 1000


def test_a_run_whose_session_was_deleted_troubles_nobody(alive: Living) -> None:
    session = a_session("guest:1")
    a_run(session, "m_1")
    session.delete()
    time.sleep(2 * LEASE_MS / 1000)
    assert alive.worker.alive
