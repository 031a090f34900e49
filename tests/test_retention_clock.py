"""A purge waits while the clock can't be trusted: after it was set, also while all processes were stopped."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sessions_app.models import ClockReading, Session
from sessions_app.retention import clock as clocks
from sessions_app.retention import purge as retention
from sessions_app.retention.clock import ClockWatch
from sessions_app.telemetry import metrics
from tests.support.stored import a_message, a_session

pytestmark = pytest.mark.django_db(transaction=True)

YEAR_H = 24 * 365


class Clock:
    """The clock and the monotonic clocks as the purge reads them: `set` one, or let time `pass` on all."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at = timezone.now()
        self.monotonic = time.monotonic()
        self.boot = self.monotonic
        patch.setattr(clocks, "now", lambda: self.at)
        patch.setattr(clocks.time, "monotonic", lambda: self.monotonic)
        patch.setattr(clocks, "_since_boot", lambda: self.boot)

    def set(self, hours: float) -> None:
        self.at += timedelta(hours=hours)

    def pass_(self, hours: float) -> None:
        self.set(hours)
        self.monotonic += hours * 3600
        self.boot += hours * 3600

    def sleep(self, hours: float) -> None:
        """The machine sleeps."""
        self.set(hours)
        self.boot += hours * 3600


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(autouse=True)
def connection_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.connection, "close", lambda: None)  # purge_round closes its thread's


def purge(watch: ClockWatch) -> int:
    return retention.purge_round(threading.Event(), clock=watch).sessions


@pytest.mark.parametrize("hours", [80, -80])
def test_two_rounds_in_a_row_after_a_jump_remove_nothing(clock: Clock, hours: float) -> None:
    a_session("guest:1")
    a_session("guest:1", hours=YEAR_H)
    watch = ClockWatch()
    assert purge(watch) == 1
    a_session("guest:1", hours=YEAR_H)
    clock.set(hours)
    for _ in range(3):
        clock.pass_(0.1)
        assert purge(watch) == 0
    assert Session.objects.count() == 2


@pytest.mark.parametrize("hours", [80, -80, 1.5])
def test_a_jump_while_all_were_stopped_is_found_at_the_next_start(clock: Clock, hours: float) -> None:
    a_session("guest:1", hours=YEAR_H)
    ClockWatch().may_purge()
    clock.set(hours)
    for _ in range(2):  # and by the process after that
        watch = ClockWatch()
        assert purge(watch) == 0
        assert watch.held_until is not None
        clock.pass_(0.1)


def test_a_jump_seen_by_one_process_holds_the_others(clock: Clock) -> None:
    a_session("guest:1", hours=YEAR_H)
    one, other = ClockWatch(), ClockWatch()
    one.may_purge()
    clock.set(0.5)  # less than a stop may last, so only who has watched the clock knows
    assert not one.may_purge()
    assert purge(other) == 0


def test_a_day_of_steady_time_later_it_purges(clock: Clock) -> None:
    a_session("guest:1", hours=YEAR_H)
    watch = ClockWatch()
    watch.may_purge()
    clock.set(80)
    for _ in range(48):
        assert purge(watch) == 0
        clock.pass_(0.5)
    assert purge(watch) == 1


def test_a_machine_that_slept_has_a_right_clock(clock: Clock) -> None:
    watch = ClockWatch()
    watch.may_purge()
    clock.sleep(0.5)
    assert watch.may_purge()


def test_a_jump_that_could_not_be_stored_is_not_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClockWatch()
    watch.may_purge()
    clock.set(0.5)
    with monkeypatch.context() as patch:
        patch.setattr(clocks, "_store", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            watch.may_purge()
    clock.pass_(0.01)
    assert not watch.may_purge()


def test_while_it_waits_a_metric_and_a_line_an_hour_say_so(clock: Clock, caplog: Any) -> None:
    watch = ClockWatch()
    assert watch.may_purge() and metrics.purge_held._value.get() == 0
    clock.set(80)
    for _ in range(10):
        watch.may_purge()
        clock.pass_(1 / 8)
    assert metrics.purge_held._value.get() == 1
    lines = [record.message for record in caplog.records if "the clock was set" in record.message]
    assert len(lines) == 2 and "enforce_retention --confirm-clock" in lines[0]


def test_the_command_removes_nothing_until_the_clock_is_confirmed(clock: Clock) -> None:
    a_message(a_session("guest:1", hours=YEAR_H), hours=YEAR_H)
    ClockWatch().may_purge()
    clock.set(80)
    for _ in range(2):
        with pytest.raises(CommandError, match="Nothing was removed. .* --confirm-clock"):
            call_command("enforce_retention")
    assert Session.objects.exists()
    call_command("enforce_retention", "--confirm-clock")
    assert not Session.objects.exists()
    watch = ClockWatch()
    clock.pass_(0.1)
    assert watch.may_purge() and watch.held_until is None


def test_the_databases_clock_decides_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    if clocks.connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own")
    monkeypatch.setattr(timezone, "now", lambda: datetime(2099, 1, 1, tzinfo=timezone.get_default_timezone()))
    kept = a_session("guest:1", created_at=clocks.now(), active_at=clocks.now())
    assert clocks.now().year < 2099
    assert retention.purge().sessions == 0
    assert ClockWatch().may_purge()
    assert ClockReading.objects.get().read_at.year < 2099
    assert Session.objects.filter(pk=kept.pk).exists()
