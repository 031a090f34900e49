"""Retention of signals and runs: settled ones expire, open ones stay, and no client is left behind."""

from typing import Any

import pytest

from sessions_app.core.cursor import Cursor
from sessions_app.delivery import catchup
from sessions_app.models import Approval, Run, Session, Signal
from sessions_app.retention.purge import Purged, delete_sessions, purge
from tests.support.stored import a_message, a_session, a_signal, an_approval, an_ended_run, hours_ago

pytestmark = pytest.mark.django_db
# What a client gets is read in a transaction of its own.
reads = pytest.mark.django_db(transaction=True)


def an_old_session(**fields: Any) -> Session:
    """An active session that is old enough to hold expired rows."""
    return a_session("guest:1", **{"created_at": hours_ago(200)} | fields)


def signals_of(session: Session) -> list[str]:
    return list(session.signals.values_list("uid", flat=True))


def test_final_signals_are_removed_and_the_position_recorded() -> None:
    session = an_old_session()
    for hours, status in ((100, "applied"), (99, "rejected"), (98, "expired"), (1, "applied")):
        a_signal(session, hours=hours, status=status)
    assert purge() == Purged(signals=3)
    session.refresh_from_db()
    assert (signals_of(session), session.trimmed, session.tail) == (["signal-4"], 3, 4)


def test_a_signal_is_as_old_as_its_last_change() -> None:
    session = an_old_session()
    a_signal(session, hours=100, changed_at=hours_ago(1), last_serial=9)
    assert purge() == Purged()
    a_signal(session, hours=100, last_serial=20)
    purge()
    session.refresh_from_db()
    assert (signals_of(session), session.trimmed) == (["signal-1"], 20)


@pytest.mark.parametrize("status", ["accepted", "delivered"])
def test_open_signals_and_runs_are_never_removed(status: str) -> None:
    session = an_old_session()
    a_signal(session, hours=1000, status=status)
    assert purge(dry_run=True) == purge() == Purged()
    assert signals_of(session) == ["signal-1"]


def test_a_hold_keeps_signals_and_runs() -> None:
    session = an_old_session(held=True)
    an_ended_run(session, a_signal(session, hours=1000), hours=1000, approvals=1)
    assert purge(dry_run=True) == purge() == Purged()


def test_an_expired_run_is_removed_with_its_approvals() -> None:
    session = an_old_session()
    old, recent = (an_ended_run(session, hours=hours, approvals=2) for hours in (100, 1))
    at_work = Run.objects.create(session=session, agent="demo", status="running", created_at=hours_ago(100))
    an_approval(at_work)
    assert purge() == Purged(runs=1)
    assert set(Run.objects.all()) == {recent, at_work}
    assert Approval.objects.count() == 3 and not Approval.objects.filter(run=old.pk).exists()


def test_rows_that_reference_a_signal_outlive_it() -> None:
    session = an_old_session()
    signal = a_signal(session, hours=100)
    run = an_ended_run(session, signal)
    approval = an_approval(run, status="approved", decision=signal)
    assert purge() == Purged(signals=1)
    run.refresh_from_db()
    approval.refresh_from_db()
    assert (run.cause, approval.decision, approval.status) == (None, None, "approved")


@pytest.mark.parametrize("batch", [1, 2, 3, 200])
def test_the_step_size_does_not_change_the_result(batch: int) -> None:
    living, expired = [an_old_session() for _ in range(2)], [a_session("guest:1", hours=100) for _ in range(2)]
    for session in living + expired:
        for hours in (100, 90, 80):
            an_ended_run(session, a_signal(session, hours=hours), hours=hours, approvals=4)
    steps: list[Purged] = []
    expected = purge(dry_run=True)
    assert purge(batch=batch, on_progress=steps.append) == expected == Purged(sessions=2, signals=12, runs=12)
    assert not Signal.objects.exists() and not Run.objects.exists() and not Approval.objects.exists()
    assert set(Session.objects.values_list("trimmed", flat=True)) == {3}
    for name in ("signals", "runs"):
        counts = [getattr(step, name) for step in [Purged(), *steps]]
        assert max(after - before for before, after in zip(counts, counts[1:], strict=False)) <= batch


def test_deleting_a_session_with_many_signals_runs_and_approvals_takes_several_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sessions_app.retention.purge.BATCH", 2)
    session = a_session("guest:1")
    for _ in range(5):
        an_ended_run(session, a_signal(session), approvals=3)
    left: list[int] = []
    removed = delete_sessions(
        [session.pk],
        on_progress=lambda done: left.append(
            Signal.objects.count() + Approval.objects.count() + Run.objects.count() + Session.objects.count()
        ),
    )
    assert removed == Purged(sessions=1, signals=5, runs=5)
    assert left[-1] == 0 and max(before - after for before, after in zip([26, *left], left, strict=False)) <= 5


# What a client sees


def attach(session: Session, serial: int | None) -> dict[str, Any]:
    cursor = None if serial is None else Cursor(session.epoch, serial)
    return catchup.read(session.pk, session.owner, cursor=cursor)


@reads
def test_a_client_holding_expired_signals_is_reset_before_and_after_the_purge() -> None:
    session = an_old_session()
    a_message(session)
    a_signal(session, hours=100)
    a_message(session)
    for removed in (Purged(), Purged(signals=1)):
        answers = [attach(session, serial) for serial in range(4)]
        assert [answer["reason"] for answer in answers] == ["trimmed", "trimmed", None, None]
        assert attach(session, None)["signals"] == answers[0]["signals"] == []
        if not removed.signals:
            assert purge() == Purged(signals=1)


@reads
def test_open_signals_are_shown_at_any_age() -> None:
    session = an_old_session()
    a_signal(session, hours=100, status="delivered")
    for serial in (None, 0):
        answer = attach(session, serial)
        assert [signal["id"] for signal in answer["signals"]] == ["signal-1"]
        assert answer["reason"] is None
