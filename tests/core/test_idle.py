"""Idle limits: found by the regularity of cuts, and no proxy is named without evidence."""

import json
import random
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.idle import PEAK_ENDS, Bar, End, Finding, findings, histogram, width
from sessions_app.core.proxies import HEADERS, HEADERS_LENGTH, HOPS_MAX, LIMITS, NONE, OWN_CLIENT, RAY_LENGTH, hints

DAY = 86_400.0
ALB = frozenset({"x-forwarded-for", "x-amzn-trace-id"})
CLOUDFLARE = frozenset({"cf-ray", "x-forwarded-for"})


def cuts(
    idle: float, count: int, *, jitter: float = 0.5, headers: frozenset[str] = frozenset(), seed: int = 1
) -> list[End]:
    """Connections of all ages, cut over a day by a limit on idle time."""
    chance = random.Random(seed)
    late = [chance.uniform(0, jitter) for _ in range(count)]
    return [End(chance.uniform(0, DAY), idle + chance.expovariate(1 / 900), idle + more, headers) for more in late]


def noise(count: int, *, most: float = 50.0, seed: int = 2, headers: frozenset[str] = frozenset()) -> list[End]:
    """Phones and tunnels: any time, any age, any moment between two heartbeats."""
    chance = random.Random(seed)
    return [
        End(chance.uniform(0, DAY), chance.expovariate(1 / 900), chance.uniform(0, most), headers) for _ in range(count)
    ]


def found_in(ends: list[End]) -> list[Finding]:
    return findings(ends, "websocket")


def the_one(ends: list[End]) -> Finding:
    (found,) = found_in(ends)
    return found


def named(finding: Finding) -> list[str]:
    return [culprit.limit.proxy for culprit in finding.culprits]


class TestIdleLimits:
    def test_a_load_balancer_is_identified_by_its_limit_and_header(self) -> None:
        found = the_one(cuts(60, 40, headers=ALB))
        assert (found.peak.measure, round(found.peak.seconds), found.confidence) == ("idle", 60, "strong")
        assert [(culprit.limit.proxy, culprit.seen) for culprit in found.culprits] == [
            ("AWS Application Load Balancer", True),
            ("nginx", False),
        ]

    def test_without_its_header_a_load_balancer_is_not_identified(self) -> None:
        assert named(the_one(cuts(60, 40))) == ["nginx"]

    def test_a_rare_header_identifies_no_proxy(self) -> None:
        assert named(the_one(cuts(60, 30) + cuts(60, 10, headers=ALB, seed=3))) == ["nginx"]

    def test_a_limit_of_a_hundred_seconds_behind_cloudflare(self) -> None:
        assert named(the_one(cuts(100, 40, jitter=1.5, headers=CLOUDFLARE))) == ["Cloudflare (Free and Pro)"]

    def test_an_unknown_limit_is_found_without_naming_a_proxy(self) -> None:
        found = the_one(cuts(37, 40, headers=ALB))
        assert (round(found.peak.seconds), found.culprits) == (37, ())

    def test_a_limit_is_found_among_other_ends(self) -> None:
        found = the_one(noise(400) + cuts(60, 25, headers=ALB))
        assert round(found.peak.seconds) == 60 and len(found.peak.ends) >= 25 and found.confidence == "fair"

    def test_two_limits_are_two_findings(self) -> None:
        found = found_in(cuts(60, 40, headers=ALB) + cuts(100, 60, headers=CLOUDFLARE, seed=3))
        assert [round(one.peak.seconds) for one in found] == [100, 60]

    def test_connections_that_survived_longer_idle_times_weaken_a_finding(self) -> None:
        found = the_one(cuts(60, 40) + noise(40, most=900))
        assert found.peak.beyond > 20 and found.confidence == "fair"


class TestOwnClient:
    def test_a_stream_abandoned_by_our_client_is_not_attributed_to_a_proxy(self) -> None:
        (found,) = findings(cuts(4.0, 40), "stream")
        assert named(found) == ["Holdfast's own client"]

    def test_our_client_abandons_no_socket(self) -> None:
        assert named(the_one(cuts(4.0, 40))) == []


class TestWhatProvesNothing:
    def test_no_records(self) -> None:
        assert found_in([]) == []

    @pytest.mark.parametrize("seed", range(20))
    @pytest.mark.parametrize(("count", "most"), [(30, 15.0), (300, 15.0), (3000, 50.0), (500, 3600.0)])
    def test_irregular_ends(self, seed: int, count: int, most: float) -> None:
        assert found_in(noise(count, most=most, seed=seed)) == []

    def test_too_few_ends(self) -> None:
        assert found_in(cuts(60, PEAK_ENDS - 1)) == []
        assert found_in(cuts(60, PEAK_ENDS)) != []

    def test_cuts_under_traffic(self) -> None:
        assert found_in(cuts(0.0, 500, jitter=0.9)) == []

    def test_an_outage_that_ends_clients_that_reconnected_together(self) -> None:
        chance = random.Random(1)
        taken = [
            End(5000 + chance.uniform(0, 0.5), 600 + chance.uniform(0, 0.5), 7 + chance.uniform(0, 0.5))
            for _ in range(500)
        ]
        assert found_in(taken) == []
        assert round(the_one(taken + cuts(60, 40)).peak.seconds) == 60

    def test_a_wide_peak(self) -> None:
        chance = random.Random(1)
        assert found_in([End(chance.uniform(0, DAY), 3000 * chance.random(), 20 + 20 * chance.random())] * 1) == []
        humps = [End(chance.uniform(0, DAY), 3000 * chance.random(), chance.gauss(30, 6)) for _ in range(500)]
        assert found_in(humps) == []

    def test_unknown_idle_times(self) -> None:
        chance = random.Random(1)
        assert found_in([End(chance.uniform(0, DAY), chance.uniform(2, 3000), None) for _ in range(200)]) == []


class TestLives:
    def lives(self, seconds: float, idle: float, headers: frozenset[str] = frozenset()) -> list[End]:
        chance = random.Random(4)
        return [
            End(chance.uniform(0, DAY), seconds + (late := chance.uniform(0, 0.5)), idle + late, headers)
            for _ in range(50)
        ]

    def test_a_lifetime_limit_is_distinguished_from_an_idle_limit(self) -> None:
        # Cut after 40 s, 10 s after the second heartbeat: it isn't the ten seconds.
        found = the_one(self.lives(40, idle=10))
        assert (found.peak.measure, round(found.peak.seconds)) == ("life", 40)

    def test_google_clouds_thirty_seconds(self) -> None:
        assert named(the_one(self.lives(30, 0.1, frozenset({"x-cloud-trace-context"})))) == [
            "Google Cloud Application Load Balancer"
        ]

    def test_a_connection_idle_from_its_start_counts_as_idle(self) -> None:
        assert the_one(self.lives(60, idle=59.9)).peak.measure == "idle"


@given(
    limit=st.floats(2, 3600),
    count=st.integers(PEAK_ENDS, 200),
    seed=st.integers(0, 2**32),
    others=st.integers(0, 100),
)
def test_any_limit_is_found(limit: float, count: int, seed: int, others: int) -> None:
    """The connections have any age, and the cuts are among others under traffic."""
    busy = [End(end.at, end.life, end.idle and end.idle / 60) for end in noise(others, seed=seed)]
    ends = cuts(limit, count, jitter=0.4, seed=seed) + busy
    random.Random(seed).shuffle(ends)
    peaks = [found.peak for found in found_in(ends) if found.peak.measure == "idle"]
    assert [peak for peak in peaks if limit <= peak.seconds <= limit + 0.4]


ENDS = st.lists(
    st.builds(
        End,
        at=st.floats(0, DAY),
        life=st.floats(0, 1e6),
        idle=st.none() | st.floats(0, 1e6),
        headers=st.frozensets(st.sampled_from(HEADERS)),
    ),
    max_size=60,
)


@given(ENDS)
def test_a_findings_figures_match_its_records(ends: list[End]) -> None:
    for found in found_in(ends):
        peak = found.peak
        values = [end.idle if peak.measure == "idle" else end.life for end in peak.ends]
        assert len(values) >= PEAK_ENDS and all(peak.low <= value <= peak.high for value in values if value is not None)
        assert peak.low <= peak.seconds <= peak.high <= peak.low + width(peak.low) + 1e-9
        assert not [c for c in found.culprits if c.limit.header and not any(c.limit.header in e.headers for e in ends)]
        json.dumps(asdict(peak) | {"ends": len(peak.ends)})


@given(st.lists(st.floats(0, 1e7), max_size=200))
def test_a_histogram_counts_each_value_once(values: list[float]) -> None:
    bars = histogram(values)
    assert sum(bar.count for bar in bars) == len(values) and len(bars) <= 26
    for bar in bars:
        inside = [value for value in values if bar.low <= value and (bar.high is None or value < bar.high)]
        assert len(inside) == bar.count


def test_a_histogram_covers_its_peaks() -> None:
    ends = noise(1000, most=10) + cuts(60, 30)
    (found,) = found_in(ends)
    bars = histogram([end.idle for end in ends if end.idle is not None], peaks=[found.peak])
    assert bars[0] == Bar(0, 5, bars[0].count) and bars[-1].low == 60 and bars[-1].count == 30


def test_every_known_limit_has_a_source_and_states_its_number() -> None:
    for limit in LIMITS:
        assert urlparse(limit.source).scheme == "https" and limit.setting
        assert limit.header in ("", *HEADERS)
        assert str(limit.seconds) in limit.says or f"{limit.seconds // 60} minutes" in limit.says


def test_our_clients_timeouts_match_the_protocol() -> None:
    protocol = " ".join((Path(__file__).parents[2] / "PROTOCOL.md").read_text().split())
    for limit in OWN_CLIENT:
        assert limit.says in protocol and f" {limit.seconds} s" in limit.says


class TestHints:
    def test_present_headers_are_recorded(self) -> None:
        carried = [(b"host", b"a"), (b"x-forwarded-for", b"1.2.3.4, 5.6.7.8"), (b"via", b"1.1 proxy.example")]
        found = hints(carried)
        assert (found.headers, found.hops, found.ray) == ("via x-forwarded-for", 2, "")

    def test_cloudflares_ray_is_kept(self) -> None:
        assert hints([(b"cf-ray", b"230b030023ae2822-SJC")]).ray == "230b030023ae2822-SJC"

    @pytest.mark.parametrize("ray", [b"", b"<script>", b"x" * (RAY_LENGTH + 1), b"a\x00b", b"a b", b"\xff", b"a\n"])
    def test_an_invalid_ray_counts_as_absent(self, ray: bytes) -> None:
        assert hints([(b"cf-ray", ray)]).headers == ""

    def test_no_headers_take_no_memory(self) -> None:
        assert hints([(b"host", b"a")]) is NONE

    @given(st.lists(st.tuples(st.sampled_from([name.encode() for name in HEADERS]), st.binary(max_size=300))))
    def test_hints_are_bounded(self, headers: list[tuple[bytes, bytes]]) -> None:
        found = hints([*headers, (b"x-forwarded-for", b"," * 10_000)])
        assert len(found.headers) <= HEADERS_LENGTH and found.hops == HOPS_MAX and len(found.ray) <= RAY_LENGTH
        assert set(found.headers.split()) <= set(HEADERS)

    def test_all_hints_fit_into_their_column(self) -> None:
        assert len(" ".join(HEADERS)) <= HEADERS_LENGTH
