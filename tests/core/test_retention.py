"""Retention arithmetic: the hours that a policy may have, and an untrusted clock."""

import pytest

from sessions_app.core.retention import MIN_HOURS, Reading, clock_jumped, hours_problem, next_reading


@pytest.mark.parametrize("hours", [24, 48, 72])
def test_one_to_three_days_are_allowed(hours: int) -> None:
    assert hours_problem(hours, most=72) is None


def test_longer_terms_are_allowed_by_a_setting() -> None:
    assert "72" in (hours_problem(73, most=72) or "")
    assert hours_problem(24 * 365, most=24 * 365) is None


@pytest.mark.parametrize("hours", [23, 1, 0, -5])
def test_less_than_a_day_is_refused(hours: int) -> None:
    assert str(MIN_HOURS) in (hours_problem(hours, most=72) or "")


@pytest.mark.parametrize(
    ("wall", "monotonic", "jumped"),
    [
        (300, 300, False),
        (300, 359, False),
        (3900, 300, True),
        (-3300, 300, True),
        (300 + 61, 300, True),
        (0, 61, True),  # the machine slept, or the clock was set back by as much as passed
    ],
)
def test_a_changed_clock_is_detected(wall: float, monotonic: float, jumped: bool) -> None:
    assert clock_jumped(wall=wall, monotonic=monotonic) is jumped


NOW = 1_893_456_000.0
MINUTE, HOUR = 60.0, 3600.0


def test_the_first_reading_is_trusted_unless_the_clock_has_jumped_before() -> None:
    assert next_reading(None, NOW, jumped=False) == Reading(NOW, None)
    assert next_reading(None, NOW, jumped=True) == Reading(NOW, NOW)


@pytest.mark.parametrize(
    ("gap", "trusted"),
    [
        (MINUTE, True),
        (59 * MINUTE, True),
        (0.0, True),
        (61 * MINUTE, False),  # set while all processes were stopped, or they were stopped for that long
        (80 * HOUR, False),
        (-2 * MINUTE, False),
        (-80 * HOUR, False),
    ],
)
def test_a_gap_between_two_stored_readings_is_a_jump(gap: float, trusted: bool) -> None:
    assert next_reading(Reading(NOW), NOW + gap, jumped=False) == Reading(NOW + gap, None if trusted else NOW + gap)


def test_a_clock_is_trusted_again_after_a_day_without_a_jump() -> None:
    reading = next_reading(Reading(NOW), NOW + MINUTE, jumped=True)
    first = now = NOW + MINUTE
    while reading.steady_since is not None:
        assert reading == Reading(now, first)
        now += 30 * MINUTE
        reading = next_reading(reading, now, jumped=False)
    assert now - first == 24 * HOUR


def test_each_jump_begins_the_day_again() -> None:
    reading = Reading(NOW, NOW - 23 * HOUR)
    assert next_reading(reading, NOW + MINUTE, jumped=True) == Reading(NOW + MINUTE, NOW + MINUTE)
