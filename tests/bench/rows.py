"""What is measured: each function does one piece of work with a running server and returns figures by name."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import orjson

from tests.bench import machine, order
from tests.bench.client import DEADLINE_S, EVENTS, Reader
from tests.bench.order import Order
from tests.support.harness import Server

WARM_S = 1.0
RETURNS = 20  # of one reader, one after the other
ROUNDS = 5  # of many readers at once
IDLE = 1000  # connections whose memory is measured
WARM_CONNECTIONS = 100  # before: the first ones pay for what the process loads once
WARM_ASKED = 10  # questions, likewise
SETTLE_S = 3.0

T = TypeVar("T")
Figures = dict[str, float]


class Place(NamedTuple):
    """A running server and the sessions in its database, each with its owner's cookie."""

    server: Server
    sessions: list[tuple[str, str]]
    seed: int

    @property
    def start(self) -> Path:
        """The file that lets the agents begin."""
        return self.server.place / "start"


class Load(NamedTuple):
    """Steady writing, one reader a session. `seconds` are measured."""

    sessions: int
    rate: float
    seconds: float


async def streaming(place: Place, load: Load) -> Figures:
    """CPU per million tokens and the tokens' added latency."""
    readers = await gather([following(place, n) for n in range(load.sessions)])
    phases = random.Random(place.seed)
    tokens = round(load.rate * (load.seconds + WARM_S))
    asked = [Order(str(place.start), load.rate, tokens, phases.random() / load.rate) for _ in readers]
    await until(await answering(place, readers, asked) + WARM_S)
    before, first = machine.cpu_seconds(place.server.pid), time.monotonic()
    await asyncio.sleep(load.seconds)
    used, last = machine.cpu_seconds(place.server.pid) - before, time.monotonic()
    await all_have(readers, tokens)
    arrived = [(arrival, text) for reader in readers for arrival, text in reader.arrived]
    written = [(arrival, at) for arrival, text in arrived for at in order.written(text, arrival)]
    delays = sorted(arrival - at for arrival, at in written if first <= at < last)
    frames = sum(first <= arrival < last for arrival, _ in arrived)
    for reader in readers:
        check(reader)
        reader.close()
    return {
        "cpu": used / len(delays) * 1e6,
        "p50": statistics.median(delays) * 1000,
        "p99": delays[len(delays) * 99 // 100] * 1000,
        "rate": len(delays) / (last - first),
        "frames": frames / (last - first),
        "share": used / (last - first),
    }


async def returning_alone(place: Place, tokens: int) -> Figures:
    """A reader that has nothing of an answer of so many tokens, which is still being written, returns."""
    reader = await following(place, 0)
    missed = Missed(0, reader.cursor, {}, tokens)
    await answering(place, [reader], [Order(str(place.start), 2000, tokens, stays_open=True)])
    await all_have([reader], tokens)
    reader.close()
    returns = [await timed_return(place, missed) for _ in range(RETURNS)]
    return {
        "ms": statistics.median(ms for ms, _ in returns),
        "kB": statistics.median(size for _, size in returns) / 1000,
    }


async def returning_together(place: Place, readers: int, tokens: int) -> Figures:
    """So many readers, each of a session of its own of which it has missed so many tokens, return at once.

    Once with a new connection each, which costs most of it, and once on connections that are open already.
    """
    followers = await gather([following(place, n) for n in range(readers)])
    asked = Order(str(place.start), 100, 2 * tokens, stays_open=True)
    start = await answering(place, followers, [asked] * readers)
    await all_have(followers, tokens)
    missed = [left(follower, number, 2 * tokens) for number, follower in enumerate(followers)]
    await until(start + 2 * tokens / 100 + WARM_S)
    rounds, attaches = [], []
    for _ in range(ROUNDS):
        rounds.append([ms for ms, _ in await gather([timed_return(place, one) for one in missed])])
        opened = [await connected(place, one.number) for one in missed]
        attaches.append(
            [ms for ms, _ in await gather([timed_attach(*each) for each in zip(opened, missed, strict=True)])]
        )
    return {
        "p50": statistics.median(map(statistics.median, rounds)),
        "max": statistics.median(map(max, rounds)),
        "attach_p50": statistics.median(map(statistics.median, attaches)),
        "attach_max": statistics.median(map(max, attaches)),
    }


async def first_tokens(place: Place, asked: int) -> Figures:
    """How long people wait for the first token of an answer, of so many that are asked for one after the other."""
    pauses = random.Random(place.seed)
    delays = []
    for number in range(WARM_ASKED + asked):
        reader = await following(place, number)
        await asyncio.sleep(pauses.uniform(0.05, 0.1))  # at no fixed time from the polls of those that look for work
        begun = time.monotonic()
        await reader.signal(order.encode(Order("", 30, 5)))
        await all_have([reader], 1)
        delays.append(next(arrival for arrival, text in reader.arrived if order.count(text)) - begun)
        reader.close()
    delays = sorted(delays[WARM_ASKED:])
    return {"p50": statistics.median(delays) * 1000, "p99": delays[len(delays) * 99 // 100] * 1000}


async def idle(place: Place) -> Figures:
    """Memory of a connection that follows a session in which nothing happens."""
    readers = await gather([following(place, n) for n in range(WARM_CONNECTIONS)])
    await asyncio.sleep(SETTLE_S)
    before = machine.memory_kib(place.server.pid)
    for first in range(WARM_CONNECTIONS, WARM_CONNECTIONS + IDLE, 50):  # not more at once than people would
        readers += await gather([following(place, n) for n in range(first, first + 50)])
    await asyncio.sleep(SETTLE_S)
    after = machine.memory_kib(place.server.pid)
    for reader in readers:
        reader.close()
    return {"KiB": (after - before) / IDLE}


# Readers


class Missed(NamedTuple):
    """Where a reader of a session left off, and how many tokens it has missed since."""

    number: int
    cursor: str
    held: dict[str, list[int]]
    tokens: int


async def connected(place: Place, number: int) -> Reader:
    session, cookie = place.sessions[number]
    reader = Reader(session)
    await reader.open(place.server.port, cookie)
    return reader


async def following(place: Place, number: int) -> Reader:
    reader = await connected(place, number)
    await reader.attach()
    return reader


def left(reader: Reader, number: int, tokens: int) -> Missed:
    """Cut a reader's connection in the middle of an answer of so many tokens."""
    reader.close()
    got = received(reader)
    uid = orjson.loads(reader.arrived[-1][1])["events"][-1]["message"]
    return Missed(number, reader.cursor, {uid: [0, order.TOKEN_LENGTH * got]}, tokens - got)


async def answering(place: Place, readers: list[Reader], orders: list[Order]) -> float:
    """Ask for answers; when all agents are there, let them begin. Returns when they do."""
    await gather([reader.signal(order.encode(asked)) for reader, asked in zip(readers, orders, strict=True)])
    await all_hold(readers, lambda reader: any(b'"type":"start-step"' in text for _, text in reader.arrived))
    return order.start(place.start)


async def timed_return(place: Place, missed: Missed) -> tuple[float, int]:
    """Connect, attach and have the answer: the ms that all of it takes, and the answer's bytes."""
    begun = time.monotonic()
    _, size = await timed_attach(await connected(place, missed.number), missed)
    return (time.monotonic() - begun) * 1000, size


async def timed_attach(reader: Reader, missed: Missed) -> tuple[float, int]:
    begun = time.monotonic()
    answer = await reader.attach(cursor=missed.cursor, held=missed.held)
    took = time.monotonic() - begun
    reader.close()
    assert orjson.loads(answer)["resumed"] and order.count(answer) == missed.tokens, answer[:200]
    return took * 1000, len(answer)


async def all_have(readers: list[Reader], tokens: int) -> None:
    await all_hold(readers, lambda reader: received(reader) >= tokens)


async def all_hold(readers: list[Reader], condition: Callable[[Reader], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    missing = readers
    while missing := [reader for reader in missing if not condition(reader)]:
        assert time.monotonic() < deadline, f"{len(missing)} readers still wait"
        assert not any(reader.ended for reader in missing), "a reader's connection was closed"
        await asyncio.sleep(0.1)


def received(reader: Reader) -> int:
    return sum(order.count(text) for _, text in reader.arrived)


def check(reader: Reader) -> None:
    """Nothing was lost or came twice: a figure of a run that was wrong is worth nothing."""
    expected = None
    for _, text in reader.arrived:
        if text.startswith(EVENTS):
            for event in orjson.loads(text)["events"]:
                assert expected in (None, event["serial"]), f"{event['serial']} came after {expected}"
                expected = event["serial"] + 1


async def until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def gather(work: list[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*work)


Work = Callable[[Place], Awaitable[Figures]]
