"""Purges: they remove only expired rows, in small steps, and record how far each session was trimmed."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from sessions_app.models import Approval, Message, RetentionPolicy, Run, Session, Signal, Worker
from sessions_app.retention import purge as retention
from sessions_app.retention.purge import Purged, delete_sessions, purge
from tests.support.stored import (
    a_message,
    a_session,
    a_signal,
    a_streaming_message,
    an_ended_run,
    hours_ago,
    unfolded,
)

pytestmark = pytest.mark.django_db


def ids() -> set[str]:
    return set(Session.objects.values_list("pk", flat=True))


def uids(session: Session) -> list[str]:
    return list(session.messages.values_list("uid", flat=True))


def policy(name: str) -> RetentionPolicy:
    return RetentionPolicy.objects.get(name=name)


def test_an_expired_session_is_removed_with_everything_that_belongs_to_it() -> None:
    living, expired = a_session("guest:1", hours=71), a_session("guest:1", hours=73)
    for session in (living, expired):
        a_message(session)
        an_ended_run(session, a_signal(session), approvals=2)
    assert purge() == Purged(sessions=1, messages=1, signals=1, runs=1)
    assert ids() == {living.pk}
    assert (Message.objects.count(), Signal.objects.count(), Run.objects.count(), Approval.objects.count()) == (
        1, 1, 1, 2
    )  # fmt: skip


def test_a_policy_decides_what_expires_when() -> None:
    kept = a_session("guest:1", hours=30, policy=policy("Two days"))
    a_session("guest:1", hours=30, policy=policy("One day"))
    purge()
    assert ids() == {kept.pk}


def test_a_hold_keeps_everything() -> None:
    session = a_session("guest:1", hours=1000, held=True)
    a_message(session, hours=1000)
    assert purge() == Purged()
    assert (ids(), len(uids(session))) == ({session.pk}, 1)


def test_a_session_with_a_response_in_progress_is_kept() -> None:
    session = a_session("guest:1", hours=1000)
    a_streaming_message(session, "Hel", "lo", updated_at=hours_ago(1000))
    assert purge() == Purged()
    assert (Message.objects.count(), unfolded()) == (1, 1)


def test_an_active_session_is_trimmed_and_the_position_recorded() -> None:
    session = a_session("guest:1", created_at=hours_ago(200))
    for hours in (100, 90, 10):
        a_message(session, hours=hours)
    assert purge() == Purged(messages=2)
    session.refresh_from_db()
    assert (uids(session), session.trimmed, session.tail) == (["m3"], 2, 3)


def test_the_recorded_position_never_decreases() -> None:
    session = a_session("guest:1", created_at=hours_ago(200), trimmed=7)
    a_message(session, hours=100)
    purge()
    session.refresh_from_db()
    assert session.trimmed == 7


def test_a_long_response_that_ended_late_is_counted_by_its_end() -> None:
    session = a_session("guest:1", created_at=hours_ago(200))
    a_message(session, hours=100, last_serial=50)
    a_message(session)
    purge()
    session.refresh_from_db()
    assert session.trimmed == 50


def test_a_response_in_progress_is_not_trimmed() -> None:
    session = a_session("guest:1", created_at=hours_ago(200))
    a_message(session, hours=100)
    a_streaming_message(session, "Hel", "lo", updated_at=hours_ago(100))
    purge()
    assert uids(session) == ["m2"]


@pytest.mark.parametrize("batch", [1, 2, 3, 500])
def test_the_step_size_does_not_change_the_result(batch: int) -> None:
    living = [a_session("guest:1", created_at=hours_ago(200)) for _ in range(3)]
    for session in living:
        for hours in (100, 90, 1):
            a_message(session, hours=hours)
    for _ in range(3):
        expired = a_session("guest:1", hours=100)
        for _ in range(3):
            a_message(expired, hours=100)
    assert purge(batch=batch) == Purged(sessions=3, messages=15)
    assert ids() == {session.pk for session in living}
    assert set(Session.objects.values_list("trimmed", flat=True)) == {2}


def test_a_step_takes_no_more_rows_than_it_may() -> None:
    for _ in range(3):
        session = a_session("guest:1", hours=100)
        for _ in range(5):
            a_message(session, hours=100)
    sums: list[Purged] = [Purged()]
    purge(batch=4, on_progress=sums.append)
    steps = [after.messages - before.messages for before, after in zip(sums, sums[1:], strict=False)]
    assert max(steps) == 4 and sums[-1] == Purged(3, 15)


def test_a_dry_run_reports_and_changes_nothing() -> None:
    living = a_session("guest:1", created_at=hours_ago(200))
    for hours in (100, 1):
        a_message(living, hours=hours)
    for _ in range(2):
        a_message(a_session("guest:1", hours=100), hours=100)
    expected = purge(dry_run=True)
    assert (expected, len(ids()), Message.objects.count()) == (Purged(2, 3), 3, 4)
    assert purge() == expected
    assert purge(dry_run=True) == Purged()


def test_a_stopped_purge_is_finished_by_the_next() -> None:
    session = a_session("guest:1", hours=100)
    for _ in range(5):
        a_message(session, hours=100)
    stop = threading.Event()

    def stop_it(done: Purged) -> None:
        if done.messages:
            stop.set()

    assert purge(batch=2, on_progress=stop_it, stop=stop) == Purged(messages=2)
    half = Session.objects.get()
    assert half.removed_at is not None and not Session.objects.visible().exists()  # half of it is never shown
    Session.objects.update(held=True)  # too late
    assert purge() == Purged(sessions=1, messages=3)
    assert not Session.objects.exists()


def test_deleting_removes_the_given_sessions_even_on_hold() -> None:
    kept, held, plain = a_session("guest:1"), a_session("guest:1", held=True), a_session("guest:1")
    for session in (kept, held, plain):
        a_message(session)
    assert delete_sessions([held.pk, plain.pk, "nothing"]) == Purged(sessions=2, messages=2)
    assert (ids(), Message.objects.count()) == ({kept.pk}, 1)


def test_deleting_many_rows_takes_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    sessions = [a_session("guest:1") for _ in range(3)]
    for _ in range(5):
        a_message(sessions[0])
    sums: list[Purged] = []
    delete_sessions([session.pk for session in sessions], on_progress=sums.append)
    assert sums[-1] == Purged(3, 5) and len(sums) > 3


def test_purging_many_small_sessions_takes_few_queries(django_assert_max_num_queries: Any) -> None:
    for _ in range(50):
        a_message(a_session("guest:1", hours=100), hours=100)
    with django_assert_max_num_queries(50):
        assert purge() == Purged(50, 50)


def test_a_failed_round_is_retried_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> Purged:
        raise DatabaseError("disk full")

    monkeypatch.setattr(retention, "purge", fail)
    monkeypatch.setattr(retention.connection, "close", lambda: None)  # it is the test's own
    assert retention.purge_round(threading.Event()) == Purged()


def test_a_session_is_hidden_from_the_moment_it_expires() -> None:
    session = a_session("guest:1")
    assert session.expires_at is not None
    assert not Session.objects.visible(session.expires_at + timedelta(seconds=1)).exists()
    assert Session.objects.visible(session.expires_at - timedelta(seconds=1)).exists()


def test_long_dead_workers_without_runs_are_removed() -> None:
    def a_worker(name: str, *, hours: float, alive: bool = False) -> Worker:
        return Worker.objects.create(name=name, alive=alive, seen_at=hours_ago(hours))

    a_worker("forgotten", hours=73)
    a_worker("of the longest policy", hours=71)
    a_worker("alive", hours=1000, alive=True)
    named = an_ended_run(a_session("guest:1", held=True), hours=1000)
    named.worker = a_worker("named", hours=1000)
    named.save()
    assert purge(dry_run=True) == Purged(workers=1)
    assert purge(batch=1) == Purged(workers=1)
    assert set(Worker.objects.values_list("name", flat=True)) == {"of the longest policy", "alive", "named"}
