"""Locking on PostgreSQL: concurrent writers, an administrator and a purge do not deadlock."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import Client

from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.database import locking
from sessions_app.event_log import sql
from sessions_app.models import Session, Worker
from sessions_app.publishing import producers as publishing
from sessions_app.retention import purge as retention
from sessions_app.runs import leases
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session, hours_ago
from tests.support.writer import Writer, begun, delta, serials, text_of, user_message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="is about the locks of rows"),
]

WRITERS, LASTING, PASSING, ROUNDS = 3, 12, 12, 12


@pytest.fixture
def writers() -> Iterator[list[Writer]]:
    """Writers as of several processes."""
    with ExitStack() as stack:
        yield [stack.enter_context(Writer()) for _ in range(WRITERS)]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def write_all(writer: Writer, uid: str, sessions: list[Session], rng: random.Random) -> list[Future[Any]]:
    """Commit one transaction that adds to all the sessions, in random order: to a response, and a user's message."""
    futures: list[Future[Any]] = []
    with writer.together():
        for session in rng.sample(sessions, len(sessions)):
            futures.append(writer.submit(session, uid, [delta("x")]))
            turn = f"{uid}-{rng.random()}"
            futures.append(writer.change(session, lambda log, turn=turn: log.append(turn, [user_message("And?")])))
    return futures


@contextmanager
def meanwhile(threads: ThreadPoolExecutor, *works: Callable[[], Any]) -> Iterator[None]:
    """Repeat each of the works in a thread of its own; raise the first exception of any."""
    done = threading.Event()

    def repeat(work: Callable[[], Any]) -> int:
        rounds = 0
        try:
            while not done.is_set():
                work()
                rounds += 1
        finally:
            connection.close()
        return rounds

    repeated = [threads.submit(repeat, work) for work in works]
    try:
        yield
    finally:
        done.set()
    for rounds in repeated:
        assert rounds.result(DEADLINE_S)


def test_concurrent_transactions_do_not_deadlock(
    writers: list[Writer], threads: ThreadPoolExecutor, client: Client
) -> None:
    lasting = [a_session("user:1") for _ in range(LASTING)]
    passing = [a_session("user:2") for _ in range(PASSING)]
    everything = lasting + passing
    client.force_login(get_user_model().objects.create_superuser("grace"))
    for number, writer in enumerate(writers):
        for session in lasting:
            writer.append(session, f"r{number}", begun(f"r{number}"))
    keys = [session.pk for session in everything]

    def administer() -> None:
        for action in ("hold", "release"):
            answer = client.post("/admin/sessions_app/session/", {"action": action, "_selected_action": keys})
            assert answer.status_code == 302

    def purge() -> None:
        Session.objects.filter(pk=random.choice(passing).pk).update(active_at=hours_ago(1000))
        retention.purge(batch=3)

    rng = random.Random(7)
    with meanwhile(threads, administer, purge):
        for _ in range(ROUNDS):
            futures = [
                future
                for number, writer in enumerate(writers)
                for future in write_all(writer, f"r{number}", lasting, rng)
            ]
            for future in futures:
                future.result(DEADLINE_S)  # raises what a deadlock would be told as: storage_unavailable
            with writers[0].together():
                turns = [writers[0].submit(session, f"t{rng.random()}", [user_message("?")]) for session in passing]
            for turn in turns:
                assert turn.exception(DEADLINE_S) is None or gone(turn)
    retention.delete_sessions([session.pk for session in passing])
    assert set(Session.objects.values_list("pk", flat=True)) == {session.pk for session in lasting}
    for session in lasting:
        assert [text_of(session, f"r{number}") for number in range(WRITERS)] == ["x" * ROUNDS] * WRITERS
        shown = sorted(serial for writer in writers for serial in serials(writer, session))
        assert shown == list(range(1, Session.objects.get(pk=session.pk).tail + 1))


def gone(turn: "Future[Any]") -> bool:
    problem = turn.exception()
    return isinstance(problem, HoldfastError) and problem.code == "not_found"


def test_two_processes_registering_the_same_producers_do_not_deadlock(
    writers: list[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction each, and in opposite order; each has registered one before either goes on, if it can."""
    register, first = publishing._register, set()

    def register_and_meet(*producer: Any) -> bool:
        registered = register(*producer)
        first.add(threading.get_ident())
        wait_until(lambda: len(first) == 2 or somebody_waits())
        return registered

    monkeypatch.setattr(publishing, "_register", register_and_meet)
    one, two = (ClientFrame("beat", producer=name, epoch=1) for name in ("one", "two"))
    with ExitStack() as busy:
        registering = [
            future
            for writer, frames in ((writers[0], (one, two)), (writers[1], (two, one)))
            for future in busy.enter_context(registered_together(writer, *frames))
        ]
    for future in registering:
        future.result(DEADLINE_S)
    assert sorted(Worker.objects.values_list("producer", flat=True)) == ["agent:a one", "agent:a two"]


@contextmanager
def registered_together(writer: Writer, *frames: ClientFrame) -> Iterator[list[Future[str]]]:
    """Have producers registered in this order, in the transaction that begins at the end of the block."""
    begun, ended = threading.Event(), threading.Event()

    def be_busy() -> None:
        begun.set()
        assert ended.wait(DEADLINE_S)

    busy = asyncio.run_coroutine_threadsafe(writer.log_writer.do(be_busy), writer.loop)
    assert begun.wait(DEADLINE_S)
    producers = publishing.Producers(writer.log_writer)
    yield [asyncio.run_coroutine_threadsafe(producers.worker_of("agent:a", frame), writer.loop) for frame in frames]
    wait_until(lambda: writer.log_writer.waiting == len(frames))
    ended.set()
    busy.result(DEADLINE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def a_producer() -> Worker:
    return Worker.objects.create(name="p", producer="user:1 p", epoch=1)


@pytest.mark.parametrize(
    "work",
    [
        lambda worker: leases._declare_dead(worker.pk, worker.beats),
        lambda worker: publishing._register("later", worker.producer, worker.epoch + 1),
        lambda worker: publishing._beat(worker.pk),
    ],
    ids=["another process declares it dead", "a later epoch of it begins", "it beats at another process"],
)
def test_a_lease_renewal_blocks_no_other(work: Callable[[Worker], Any], threads: ThreadPoolExecutor) -> None:
    worker = a_producer()
    renewed, confirmed = threading.Event(), threading.Event()

    def beat() -> None:
        with transaction.atomic():
            sql.beat_producers({worker.pk})
            renewed.set()
            assert confirmed.wait(DEADLINE_S)
        connection.close()

    beating = threads.submit(beat)
    assert renewed.wait(DEADLINE_S)
    with transaction.atomic():
        work(worker)  # would wait for the other to commit, which waits for this
    confirmed.set()
    beating.result(DEADLINE_S)
    worker.refresh_from_db()
    assert (worker.alive, worker.beats) == (True, 1)


def test_a_purge_of_workers_keeps_those_that_return(threads: ThreadPoolExecutor) -> None:
    back, _ = (Worker.objects.create(name=name, alive=False, seen_at=hours_ago(1000)) for name in ("back", "gone"))
    with transaction.atomic():
        locking.skip_locked(Worker.objects.filter(pk=back.pk))
        assert threads.submit(purge_here).result(DEADLINE_S).workers == 1
    assert list(Worker.objects.all()) == [back]


def purge_here() -> retention.Purged:
    try:
        return retention.purge()
    finally:
        connection.close()


# Idle transactions


@pytest.mark.parametrize(
    "lock", [lambda session: sql.lock_sessions({session.pk}), lambda session: locking.sessions([session.pk])]
)
def test_a_transaction_that_locks_sessions_may_not_stand_idle(lock: Callable[[Session], object]) -> None:
    def idle() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            limit: str = cursor.fetchone()[0]
            return limit

    session = a_session("guest:1")
    with transaction.atomic():
        lock(session)
        assert idle() == "10s"
    assert idle() == "0"  # nothing stays: behind a pooler the connection is another client's next
