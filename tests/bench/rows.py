"""The measurements: each function does one piece of work with a running server and returns figures."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench import machine, order
from tests.bench.client import DEADLINE_S
from tests.bench.holdfast import Client, Holdfast
from tests.bench.order import Order
from tests.bench.site import Missed, Site, Wrong, all_have, followers, gather, until
from tests.bench.streaming import WARM_S, Figures

RETURNS = 20  # of one reader, one after the other
ROUNDS = 5  # of many readers at once
WARM_CONNECTIONS = 100  # before: the first ones pay for what the process loads once
WARM_ASKED = 10  # questions, likewise
SETTLE_S = 3.0
# 10.2 MB in all, in answers so short that what it takes to write one doesn't hide what a reader takes.
STALLED_PADDING, STALLED_RATE, STALLED_TOKENS, STALLED_ANSWERS = 2000, 400, 340, 15


async def returning_alone(site: Site[Any], tokens: int) -> Figures:
    """Measure one reader that returns to an answer of many tokens which is still being written.

    It has had one token before: Socket.IO recovers nobody who had nothing.
    """
    away, there = await gather([site.following(0), site.following(0)])
    await site.answering([there], [Order(1, 1)])
    await all_have([away, there], 1)
    missed = site.left(away, 1 + tokens)
    await site.answering([there], [Order(2000, tokens, stays_open=True)])
    await all_have([there], 1 + tokens)
    site.check(there, 1 + tokens)
    returns = [await timed(site.come_back(missed)) for _ in range(RETURNS)]
    there.close()
    return {
        "ms": statistics.median(ms for ms, _ in returns),
        "kB": statistics.median(size for _, size in returns) / 1000,
    }


async def returning_together(site: Site[Any], readers: int, tokens: int) -> Figures:
    """Measure many readers that return at once, each to a session of which it has missed many tokens.

    Once with a new connection each, which costs most of it, and for Holdfast once on connections that are open already.
    """
    rate = 200
    followers = await gather([site.following(n) for n in range(readers)])
    asked = Order(rate, 2 * tokens, stays_open=True)
    start = await site.answering(followers, [asked] * readers)
    await all_have(followers, tokens)
    missed = [site.left(follower, 2 * tokens) for follower in followers]
    await until(start + 2 * tokens / rate + WARM_S)
    for one in missed:
        await _all_written(site, one)
    rounds, attaches = [], []
    for _ in range(ROUNDS):
        rounds.append([ms for ms, _ in await gather([timed(site.come_back(one)) for one in missed])])
        if isinstance(site, Holdfast):
            attaches.append(await _attaches(site, missed))
    figures = {"p50": _median(rounds, statistics.median), "max": _median(rounds, max)}
    if attaches:
        figures |= {"attach_p50": _median(attaches, statistics.median), "attach_max": _median(attaches, max)}
    return figures


async def _all_written(site: Site[Any], missed: Missed) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            await site.come_back(missed)
            return
        except Wrong:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(SETTLE_S)


async def _attaches(site: Holdfast, missed: list[Missed]) -> list[float]:
    opened = [await site.connected(one.number) for one in missed]
    attaching = [site.attach(reader, one) for reader, one in zip(opened, missed, strict=True)]
    return [ms for ms, _ in await gather([timed(each) for each in attaching])]


def _median(rounds: list[list[float]], of: Callable[[list[float]], float]) -> float:
    return statistics.median(map(of, rounds))


async def first_tokens(site: Holdfast, asked: int) -> Figures:
    """Measure the time to the first token of an answer, for answers requested one after the other."""
    pauses = random.Random(site.seed)
    delays = []
    for number in range(WARM_ASKED + asked):
        reader = await site.following(number)
        await asyncio.sleep(pauses.uniform(0.05, 0.1))  # at no fixed time from the polls of those that look for work
        delays.append(await first_token(reader))
        reader.close()
    delays = sorted(delays[WARM_ASKED:])
    return {"p50": statistics.median(delays) * 1000, "p99": delays[len(delays) * 99 // 100] * 1000}


async def first_token(reader: Client) -> float:
    """Ask on a connection, and return the seconds to the first token. The answer is over when this returns."""
    asked, has = Order(30, 5), reader.tokens
    begun = time.monotonic()
    await reader.signal(order.encode(asked))
    await all_have([reader], has + asked.tokens)
    return next(arrival for arrival, text in reader.arrived if arrival > begun and order.count(text)) - begun


async def idle(site: Site[Any], sessions: int, seconds: float) -> Figures:
    """Measure the cost of idle readers: what more of them than the first WARM_CONNECTIONS take."""
    readers = await followers(site, range(WARM_CONNECTIONS))
    await asyncio.sleep(SETTLE_S)
    before = machine.memory_kib(site.pids)
    few = await _cpu_a_minute(site, seconds)
    readers += await followers(site, range(WARM_CONNECTIONS, sessions))
    await asyncio.sleep(SETTLE_S)
    after = machine.memory_kib(site.pids)
    all_of_them = await _cpu_a_minute(site, seconds)
    for reader in readers:
        reader.close()
    more = sessions - WARM_CONNECTIONS
    return {
        "KiB": (after - before) / more,
        "MiB": after / 1024,
        "cpu": all_of_them,
        "cpu_100000": (all_of_them - few) / more * 100_000,
    }


async def _cpu_a_minute(site: Site[Any], seconds: float) -> float:
    before = machine.cpu_seconds(site.pids)
    await asyncio.sleep(seconds)
    return (machine.cpu_seconds(site.pids) - before) * 60 / seconds


async def stalled(site: Site[Any], sessions: int, readers: int) -> Figures:
    """Measure a server's memory growth per stalled reader of a session, while the session gets 10 MB.

    Each session has another reader, which goes on. It gets as much before, which all read: what a server comes to need
    to write it isn't for those that stop.
    """
    there = await gather([site.following(n) for n in range(sessions)])
    stalling = await gather([site.following(n) for n in range(sessions) for _ in range(readers)])
    await _ten_megabytes(site, there)
    await all_have(stalling, STALLED_ANSWERS * STALLED_TOKENS)
    for reader in stalling:
        reader.stall()
    before = machine.memory_kib(site.pids)
    await _ten_megabytes(site, there)
    after = machine.memory_kib(site.pids)
    for reader in there:
        site.check_state(reader, 2 * STALLED_ANSWERS * STALLED_TOKENS)
    for reader in (*there, *stalling):
        reader.close()
    return {"KiB": (after - before) / len(stalling)}


async def _ten_megabytes(site: Site[Any], readers: list[Any]) -> None:
    """Have 10 MB written to each reader's session, and wait until the reader has got it."""
    has = readers[0].tokens
    for answer in range(1, STALLED_ANSWERS + 1):
        asked = Order(STALLED_RATE, STALLED_TOKENS, padding=STALLED_PADDING)
        await site.answering(readers, [asked] * len(readers))
        await all_have(readers, has + answer * STALLED_TOKENS)


async def timed(work: Awaitable[int]) -> tuple[float, int]:
    """Return the ms that it takes, and what it returns."""
    begun = time.monotonic()
    result = await work
    return (time.monotonic() - begun) * 1000, result
