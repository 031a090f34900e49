"""Leases: the answers of a worker that stops counting end; a live worker is never declared dead.

The clock is the test's: how long a lease is doesn't depend on how busy the machine is.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from django.db import connection

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.runs import calls, leases, lifecycle
from sessions_app.runs.leases import DEAD, Lease, Reaper
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session, unfolded
from tests.support.writer import Writer, a_run, begun, delta, finish, run_fields, start

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_S = 6.0
BEAT_S = 2.0  # as a process beats and looks: three times a lease


@pytest.fixture(autouse=True)
def lease(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"LEASE_MS": int(LEASE_S * 1000)}


class Clock:
    """The monotonic clock of all processes, in seconds."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def beats(self, count: int, *living: "LivingProcess") -> None:
        """Let so much time pass; these processes live in it, side by side, and all others are frozen."""
        for _ in range(count):
            self.now += BEAT_S
            for step in ("beat", "look"):
                for done in [getattr(each, step)() for each in living]:
                    done.result(DEADLINE_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


class LivingProcess:
    """A process as others see it: it renews its lease and looks around when the test says so."""

    def __init__(self) -> None:
        self.writer = Writer()

    def __enter__(self) -> "LivingProcess":
        self.writer.__enter__()
        self.lease = Lease(self.writer.log_writer)
        self.reaper = Reaper(self.writer.log_writer, self.lease)
        self.beat().result(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.__exit__()

    def beat(self) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self.lease.beat(), self.writer.loop)

    def look(self) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self.reaper.scan(), self.writer.loop)

    @property
    def worker(self) -> models.Worker:
        return models.Worker.objects.get(pk=self.lease.worker)


@pytest.fixture
def alive(clock: Clock) -> Iterator[LivingProcess]:
    with LivingProcess() as process:
        yield process


def status(session: models.Session, uid: str) -> str:
    message = queries.message(session.pk, uid)
    return message.status if message else ""


def test_the_answers_of_a_dead_worker_end(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    alive.writer.append(session, "m_1", begun("m_1", "so far"), **run_fields(run))
    clock.beats(4, alive)  # seen for the first time at the first: a lease is over at the fourth
    assert status(session, "m_1") == "streaming"
    clock.beats(1, alive)
    message = queries.message(session.pk, "m_1")
    assert message is not None
    assert (message.status, message.reason, message.parts[0]["text"]) == ("interrupted", DEAD, "so far")
    run.refresh_from_db()
    assert (run.status, run.worker.alive) == ("ended", False)
    assert unfolded() == 0


def test_readers_are_shown_the_end_of_a_dead_workers_answer(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as dead:
        dead.append(session, "m_1", begun("m_1", "so far"), **run_fields(run))
    clock.beats(5, alive)
    assert '"type":"interrupt"' in alive.writer.frames[0].text
    assert alive.writer.frames[0].first == 4


def test_an_answer_that_never_began_is_shown_as_interrupted(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    a_run(session, "m_1")
    clock.beats(5, alive)
    assert status(session, "m_1") == "interrupted"
    assert models.Run.objects.get().status == "ended"


def test_an_outcome_stored_at_the_last_moment_is_not_reported_as_unknown(alive: LivingProcess) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    call = {"toolCallId": "call_1", "toolName": "append"}
    chunks = [start("m_1"), {"type": "tool-input-start", **call}, {"type": "tool-input-available", **call, "input": {}}]
    alive.writer.append(session, "m_1", chunks, **run_fields(run))
    approval = models.Approval.objects.create(
        session=session, run=run, uid="approval_1", call="call_1", tool="append", input="{}", input_hash="",
        status="approved", execution="begun",
    )  # fmt: skip
    output = {"type": "tool-output-available", "toolCallId": "call_1", "output": "written"}
    with alive.writer.together():  # the worker's last commit, and the end that another process puts to its run
        done = partial(calls.end_call, approval.uid, models.Approval.Execution.DONE)
        stored = alive.writer.submit(session, "m_1", [output], **run_fields(run), also=((0, done),))
        ended = alive.writer.change(session, lifecycle.end_orphan, run.pk, {"type": "interrupt", "reason": DEAD})
    stored.result(DEADLINE_S)
    ended.result(DEADLINE_S)
    message = queries.message(session.pk, "m_1")
    assert message is not None
    assert (message.status, message.parts[0]["state"], message.parts[0]["output"]) == (
        "interrupted", "output-available", "written",
    )  # fmt: skip


def test_a_dead_workers_late_writes_are_fenced(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as frozen:
        frozen.append(session, "m_1", begun("m_1", "so far"), after=0, **run_fields(run))
        clock.beats(5, alive)
        assert status(session, "m_1") == "interrupted"
        for chunks in ([delta(" and more")], [finish()]):
            with pytest.raises(HoldfastError, match="fenced"):
                frozen.append(session, "m_1", chunks, after=3, **run_fields(run))
        assert frozen.frames[1:] == []
    assert queries.message(session.pk, "m_1").parts[0]["text"] == "so far"  # type: ignore[union-attr]


def test_a_living_worker_keeps_its_answers(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    with LivingProcess() as other:
        run = a_run(session, "m_1", other.worker)
        other.writer.append(session, "m_1", begun("m_1"), **run_fields(run))
        clock.beats(10, alive, other)
        other.writer.append(session, "m_1", [finish()], **run_fields(run))
    assert status(session, "m_1") == "complete"
    assert alive.worker.alive


def test_a_worker_wrongly_declared_dead_continues_as_a_new_worker(clock: Clock, alive: LivingProcess) -> None:
    before = alive.lease.worker
    models.Worker.objects.update(alive=False)
    clock.beats(1, alive)
    assert alive.lease.worker != before
    assert alive.worker.alive


def test_several_observers_end_an_answer_once(clock: Clock) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    with Writer() as dead:
        dead.append(session, "m_1", begun("m_1"), **run_fields(run))
    with LivingProcess() as one, LivingProcess() as other:
        clock.beats(8, one, other)
        assert status(session, "m_1") == "interrupted"
        assert len(one.writer.frames + other.writer.frames) == 1
    session.refresh_from_db()
    assert session.tail == 3


def test_a_lock_that_outlasts_the_lease_ends_no_worker(clock: Clock) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("is about SQLite's one write lock")
    with LivingProcess() as one, LivingProcess() as other:
        workers = {one.lease.worker, other.lease.worker}
        for _ in range(3):
            clock.beats(3, one, other)
            with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as lock:
                lock.execute("BEGIN IMMEDIATE")
                waiting = one.beat()
                for _ in range(6):
                    clock.now += BEAT_S
                    for process in (one, other):
                        process.look().result(DEADLINE_S)
            waiting.result(DEADLINE_S)
            one.look().result(DEADLINE_S)  # the other's beat is yet to come
        clock.beats(6, one, other)
        assert {one.lease.worker, other.lease.worker} == workers


def test_a_frozen_observer_ends_no_worker(clock: Clock, alive: LivingProcess) -> None:
    with LivingProcess() as other:
        session = a_session("guest:1")
        run = a_run(session, "m_1", other.worker)
        clock.beats(3, alive, other)
        clock.now += 2 * LEASE_S  # both are frozen, as when a laptop sleeps
        clock.beats(1, alive)  # wakes first
        assert other.worker.alive
        run.refresh_from_db()
        assert run.status == "running"


def test_an_answer_its_own_process_could_not_end_is_ended_later(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1", alive.worker)
    alive.writer.append(session, "m_1", begun("m_1", "so far"), **run_fields(run))
    alive.reaper.end_later(run, {"type": "error", "errorText": "The database was away."})
    clock.beats(1, alive)
    assert status(session, "m_1") == "failed"
    run.refresh_from_db()
    assert run.status == "ended"
    assert alive.worker.alive


def test_a_worker_that_leaves_gracefully_needs_no_lease_timeout(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    with LivingProcess() as other:
        run = a_run(session, "m_1", other.worker)
        other.writer.append(session, "m_1", begun("m_1"), **run_fields(run))
        other.writer.run(other.lease.release())
        clock.beats(1, alive)
        assert status(session, "m_1") == "interrupted"


def test_a_run_of_a_deleted_session_is_ignored(clock: Clock, alive: LivingProcess) -> None:
    session = a_session("guest:1")
    a_run(session, "m_1")
    session.delete()
    clock.beats(6, alive)
    assert alive.worker.alive
