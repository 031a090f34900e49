"""The roll-up window: it follows the load between its bounds, and holds a text only for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.rollup_window import FACTOR, JITTER, PERIOD_S, RollupWindow

LEAST, MOST = 0.04, 0.15


def idle() -> float:
    """A process that uses no CPU time."""
    return 0.0


def loaded(window: RollupWindow, delay: float, *, periods: int = 40, begin: float = 100.0) -> float:
    """Let batches take this long for some measurements; return the time then."""
    for period in range(periods):
        for batch in range(5):
            window.observe(delay, begin + period * PERIOD_S + batch * PERIOD_S / 5)
    return begin + periods * PERIOD_S


def test_an_idle_process_has_the_least_window() -> None:
    window = RollupWindow(LEAST, MOST, idle)
    assert window.seconds == LEAST
    loaded(window, 0.0)
    assert window.seconds == LEAST


def test_the_window_widens_with_the_way_of_a_batch() -> None:
    window = RollupWindow(LEAST, MOST, idle)
    loaded(window, 0.005)
    assert window.seconds == pytest.approx(LEAST + FACTOR * 0.005, rel=0.01)


def test_the_window_is_back_within_a_second_of_the_load() -> None:
    window = RollupWindow(LEAST, MOST, idle)
    now = loaded(window, 0.025)
    assert window.seconds > 0.1
    loaded(window, 0.0, periods=20, begin=now)
    assert window.seconds == pytest.approx(LEAST, abs=0.001)


def test_the_load_before_a_pause_is_forgotten() -> None:
    window = RollupWindow(LEAST, MOST, idle)
    now = loaded(window, 0.025)
    window.observe(0.001, now + 60)
    assert window.seconds == LEAST


def test_a_network_is_no_load() -> None:
    window = RollupWindow(LEAST, MOST, idle, distant=True)
    now = loaded(window, 0.03)
    assert window.seconds == pytest.approx(LEAST, abs=0.001)
    loaded(window, 0.04, begin=now)
    assert window.seconds == pytest.approx(LEAST + FACTOR * 0.01, rel=0.05)


class Processor:
    """A process that uses this share of a processor, by the time of its measurements."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._used = 0.0

    def __call__(self) -> float:
        self._used += self.share * PERIOD_S
        return self._used


def test_a_full_processor_holds_whatever_comes_for_all_of_the_window() -> None:
    processor = Processor(1.0)
    window = RollupWindow(LEAST, MOST, processor)
    now = loaded(window, 0.06)  # of which the loop's lag tells nothing
    assert window.seconds == pytest.approx(MOST)
    assert window.hold(1.0) == window.hold(0.2) == window.hold(0.01) == pytest.approx(MOST)
    processor.share = 0.5
    loaded(window, 0.06, begin=now)
    assert window.seconds == pytest.approx(MOST - 0.06)
    assert window.hold(0.2) == 0


def test_a_late_event_loop_does_not_narrow_the_window() -> None:
    window = RollupWindow(LEAST, MOST, idle)
    now = 100.0
    for _ in range(200):
        window.observe(0.1, now)
        window.observe_lag(0.045)
        now += PERIOD_S / 5
    assert window.seconds > 0.13
    loaded(window, 0.1, begin=now)  # the same delay by a slow disk
    assert window.seconds == pytest.approx(0.05, abs=0.001)


@given(
    least=st.sampled_from([0.0, 0.02, 0.04, 0.1, 0.5]),
    most=st.floats(0.0, 1.0),
    delays=st.lists(st.floats(0.0, 5.0), max_size=60),
    distant=st.booleans(),
)
def test_a_text_waits_for_no_longer_than_the_bound(
    least: float, most: float, delays: list[float], distant: bool
) -> None:
    window = RollupWindow(least, most, idle, distant=distant)
    for number, delay in enumerate(delays):
        window.observe(delay, 100 + number * PERIOD_S / 2)
        assert least <= window.seconds <= max(least, most - window.delay)


@given(interval=st.floats(0.0, 10.0), delay=st.floats(0.0, 0.1))
def test_a_text_is_held_for_a_whole_number_of_others(interval: float, delay: float) -> None:
    window = RollupWindow(LEAST, MOST, idle)
    loaded(window, delay, periods=5)
    hold = window.hold(interval)
    assert 0 <= hold <= window.seconds
    if interval * JITTER > window.seconds:
        assert hold == 0  # not even one would come
    elif interval:
        assert hold > window.seconds - interval * JITTER - 1e-9
        assert hold / (interval * JITTER) == pytest.approx(round(hold / (interval * JITTER)), abs=1e-6)
