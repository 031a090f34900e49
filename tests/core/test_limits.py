"""A token bucket: so many at once, so many in the long run, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.limits import TokenBucket


def taken(bucket: TokenBucket, times: list[float]) -> int:
    return sum(bucket.take(time) for time in times)


def test_so_many_at_once_and_no_more() -> None:
    assert taken(TokenBucket(rate=1, burst=5), [100.0] * 20) == 5


def test_it_is_full_at_the_first_look_whatever_the_clock_says() -> None:
    assert taken(TokenBucket(rate=1, burst=5), [0.0] * 20) == 5
    assert taken(TokenBucket(rate=1, burst=5), [1e9] * 20) == 5


def test_it_fills_with_time_up_to_its_burst() -> None:
    bucket = TokenBucket(rate=2, burst=4)
    assert taken(bucket, [10.0] * 9) == 4
    assert taken(bucket, [11.0] * 9) == 2
    assert taken(bucket, [100.0] * 9) == 4


def test_being_refused_costs_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    bucket.take(0.0)
    assert taken(bucket, [0.9] * 50) == 0
    assert bucket.take(1.0)


def test_a_clock_that_goes_back_gives_nothing_away_and_takes_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=2)
    assert taken(bucket, [100.0, 100.0, 50.0, 50.0]) == 2
    assert bucket.take(51.0)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 5), max_size=200),
)
def test_in_the_long_run_no_more_than_the_rate_and_one_burst(rate: float, burst: int, steps: list[float]) -> None:
    bucket, now, allowed = TokenBucket(rate, burst), 0.0, 0
    for step in steps:
        now += step
        allowed += bucket.take(now)
    assert allowed <= burst + rate * now + 1e-6


def test_a_steady_pace_below_the_rate_is_never_refused() -> None:
    assert taken(TokenBucket(rate=10, burst=1), [number * 0.125 for number in range(1000)]) == 1000
