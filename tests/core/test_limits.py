"""Rate limits: bounded bursts and long-run rates, at any clock time and with any other keys."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.limits import RateLimiter, TokenBucket


def taken(bucket: TokenBucket, times: list[float]) -> int:
    return sum(bucket.take(time) for time in times)


def test_a_burst_is_bounded() -> None:
    assert taken(TokenBucket(rate=1, burst=5), [100.0] * 20) == 5


def test_a_new_bucket_is_full_at_any_clock_time() -> None:
    assert taken(TokenBucket(rate=1, burst=5), [0.0] * 20) == 5
    assert taken(TokenBucket(rate=1, burst=5), [1e9] * 20) == 5


def test_a_bucket_refills_up_to_its_burst() -> None:
    bucket = TokenBucket(rate=2, burst=4)
    assert taken(bucket, [10.0] * 9) == 4
    assert taken(bucket, [11.0] * 9) == 2
    assert taken(bucket, [100.0] * 9) == 4


def test_a_refusal_takes_no_token() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    bucket.take(0.0)
    assert taken(bucket, [0.9] * 50) == 0
    assert bucket.take(1.0)


def test_a_clock_set_back_neither_adds_nor_removes_tokens() -> None:
    bucket = TokenBucket(rate=1, burst=2)
    assert taken(bucket, [100.0, 100.0, 50.0, 50.0]) == 2
    assert bucket.take(51.0)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 5), max_size=200),
)
def test_the_total_never_exceeds_the_rate_and_one_burst(rate: float, burst: int, steps: list[float]) -> None:
    bucket, now, allowed = TokenBucket(rate, burst), 0.0, 0
    for step in steps:
        now += step
        allowed += bucket.take(now)
    assert allowed <= burst + rate * now + 1e-6


def test_a_steady_pace_below_the_rate_is_never_refused() -> None:
    assert taken(TokenBucket(rate=10, burst=1), [number * 0.125 for number in range(1000)]) == 1000


def test_a_bucket_knows_when_it_has_a_token_and_when_it_is_full() -> None:
    bucket = TokenBucket(rate=2, burst=4)
    assert taken(bucket, [10.0] * 3) == 3 and (bucket.wait_s, bucket.full_at) == (0.0, 11.5)
    assert taken(bucket, [10.0] * 2) == 1 and (bucket.wait_s, bucket.full_at) == (0.5, 12.0)


# A table of buckets by key


def allowed(limiter: RateLimiter, key: str, now: float, times: int = 20) -> int:
    return sum(limiter.take(key, now) == 0 for _ in range(times))


def test_each_key_has_its_own_limit_and_a_refusal_gives_the_waiting_time() -> None:
    limiter = RateLimiter.per_minute(30, most=10)
    assert [allowed(limiter, key, 5.0, 40) for key in ("a", "b")] == [30, 30]
    assert limiter.take("a", 6.0) == pytest.approx(1.0)
    assert limiter.take("a", 7.0) == 0


def test_a_new_key_replaces_the_bucket_that_has_been_full_longest() -> None:
    limiter = RateLimiter(rate=1, burst=5, most=3)
    for key, times in (("late", 5), ("early", 1), ("later", 4)):
        allowed(limiter, key, 0.0, times)  # full again after as many seconds
    assert limiter.take("newcomer", 4.5) == 0
    assert limiter._buckets.keys() == {"late", "later", "newcomer"}


def test_a_recently_used_bucket_is_kept() -> None:
    limiter = RateLimiter(rate=1, burst=5, most=2)
    limiter.take("a", 0.0)
    limiter.take("b", 0.5)
    limiter.take("a", 1.2)  # full at 2.2, the other at 1.5
    limiter.take("newcomer", 3.0)
    assert limiter._buckets.keys() == {"a", "newcomer"}


def test_without_a_full_bucket_new_keys_share_one_and_no_limit_is_reset() -> None:
    limiter = RateLimiter(rate=1, burst=5, most=2)
    assert [allowed(limiter, key, 0.0) for key in ("a", "b", "c", "d", "e")] == [5, 5, 5, 0, 0]
    assert [allowed(limiter, key, 2.0) for key in ("a", "d", "e", "b")] == [2, 2, 0, 2]
    assert limiter._buckets.keys() == {"a", "b"}


def test_tokens_taken_from_the_shared_bucket_count_in_a_keys_own() -> None:
    limiter = RateLimiter(rate=1, burst=5, most=1)
    allowed(limiter, "a", 0.0)
    assert allowed(limiter, "b", 4.9) == 5
    assert allowed(limiter, "b", 5.0) == 0  # a's place is b's now
    assert limiter._buckets.keys() == {"b"}
    assert allowed(limiter, "b", 7.9) == 3


KEYS = st.sampled_from("KABCD")
REQUESTS = st.lists(st.tuples(KEYS, st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, 3.0])), max_size=150)


@given(rate=st.sampled_from([0.5, 1, 3]), burst=st.integers(1, 4), most=st.integers(1, 4), requests=REQUESTS)
def test_other_keys_requests_never_raise_a_keys_limit(
    rate: float, burst: int, most: int, requests: list[tuple[str, float]]
) -> None:
    limiter, now, times = RateLimiter(rate, burst, most), 0.0, defaultdict[str, list[float]](list)
    for key, step in requests:
        now += step
        if limiter.take(key, now) == 0:
            times[key].append(now)
        assert len(limiter._buckets) == len(limiter._full_at) <= most
    for each in times.values():
        for first, began in enumerate(each):  # in every interval, not only since the start
            for last, ended in enumerate(each[first:], 1):
                assert last <= burst + rate * (ended - began) + 1e-6


@given(requests=REQUESTS)
def test_with_room_for_all_other_keys_requests_never_lower_a_keys_limit(requests: list[tuple[str, float]]) -> None:
    limiter, alone, now = RateLimiter(1, 3, most=5), TokenBucket(1, 3), 0.0
    for key, step in requests:
        now += step
        got = limiter.take(key, now) == 0
        assert key != "K" or got == alone.take(now)


def test_a_flood_of_keys_is_bounded_in_memory_and_fast() -> None:
    limiter = RateLimiter(rate=1, burst=2, most=1000)
    for number in range(20_000):
        limiter.take(f"guest:{number}", number / 400)  # 400 new keys a second: most find no place
    assert len(limiter._buckets) == len(limiter._full_at) == 1000
