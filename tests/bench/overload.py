"""Overload: more answers than a server can serve, for a while, and how it recovers."""

import asyncio
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.bench import machine
from tests.bench.order import Order
from tests.bench.site import Reader, Site, all_have, followers, until
from tests.bench.streaming import WARM_S, Figures, Load, Usage, latencies, orders

PROBES = 20  # answers that go on after the others: by them one sees when all is well again
RECOVERED_S = 0.1  # latency of every token from then on
SETTLE_S = 3.0


class Overload(NamedTuple):
    """Seconds of too many answers, and seconds for which the probes go on."""

    seconds: float
    tail: float


async def overload(site: Site[Any], answers: int, rate: float, how: Overload) -> Figures:
    """Measure latency during overload, the time to recovery, and memory before, after, and after one more overload.

    `late`: latency from when a token was due. Where writers are held back it is more than the added latency, which
    counts from when a token was written. The second overload, of other sessions, tells memory that is kept for the next
    time, as Python keeps it, from memory that grows.
    """
    first = await _overloaded(site, 0, answers, rate, how)
    second = await _overloaded(site, answers + PROBES, answers, rate, how._replace(tail=0))
    return first | {"again": second["after"]}


async def _overloaded(site: Site[Any], since: int, answers: int, rate: float, how: Overload) -> Figures:
    readers = await followers(site, range(since, since + answers + PROBES))
    before = machine.memory_kib(site.pids)
    asked = _orders(answers, rate, how, site.seed)
    start = await site.answering(readers, asked)
    await until(start)
    usage = Usage(site)
    await until(start + how.seconds)
    used = usage.end()
    await all_have(readers[:answers], asked[0].tokens)
    await all_have(readers[answers:], asked[-1].tokens)
    await asyncio.sleep(SETTLE_S)
    after = machine.memory_kib(site.pids)
    figures = latencies(readers, start + WARM_S, usage.ended)
    end = start + how.seconds
    for reader, order in zip(readers, asked, strict=True):
        site.check_state(reader, order.tokens)
        reader.close()
    return figures | {
        "late_p99": _late_p99(readers[:answers], asked, start) * 1000,
        "written": figures["rate"] / ((answers + PROBES) * rate) * 100,
        "recovery": recovery(readers[answers:], asked[answers:], start, end),
        "before": before / 1024,
        "after": after / 1024,
        "share": used["share"] * 100,
        "load": used["load"] * 100,
    }


def _orders(answers: int, rate: float, how: Overload, seed: int) -> list[Order]:
    most, probes = round(rate * how.seconds), round(rate * (how.seconds + how.tail))
    asked = orders(Load(answers + PROBES, rate, how.seconds), most, seed)
    return asked[:answers] + [each._replace(tokens=probes) for each in asked[answers:]]


def lateness(reader: Reader, order: Order, start: float) -> list[tuple[float, float]]:
    """Return each token's arrival, in monotonic seconds, and the seconds since it was due."""
    arrivals = [arrival for arrival, written in reader.gains() for _ in written]
    due = [start + order.phase + number / order.rate for number in range(len(arrivals))]
    return [(arrival, arrival - moment) for arrival, moment in zip(arrivals, due, strict=True)]


def _late_p99(readers: Sequence[Reader], asked: Sequence[Order], start: float) -> float:
    late = [
        seconds for reader, order in zip(readers, asked, strict=False) for _, seconds in lateness(reader, order, start)
    ]
    return statistics.quantiles(late, n=100)[-1]


def recovery(probes: Sequence[Reader], asked: Sequence[Order], start: float, end: float) -> float:
    """Return the seconds from the overload's end to the last late token of the probes: infinite if it is their last."""
    slowest = 0.0
    for reader, order in zip(probes, asked, strict=True):
        tokens = lateness(reader, order, start)
        late = [arrival for arrival, seconds in tokens if seconds >= RECOVERED_S]
        if late and tokens[-1][1] >= RECOVERED_S:
            return float("inf")
        slowest = max([slowest, *(arrival - end for arrival in late)])
    return slowest
