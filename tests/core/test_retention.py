"""Retention arithmetic: the hours that a policy may have, and an untrusted clock."""

import pytest

from sessions_app.core.retention import MIN_HOURS, clock_jumped, hours_problem


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
    assert clock_jumped(wall=wall, monotonic=monotonic, tolerance=60) is jumped
