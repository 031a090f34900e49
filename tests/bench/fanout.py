"""Fan-out: one answer, and thousands of readers.

The load generator can't parse what ten thousand readers get, and need not: the same bytes come to all. One reader in
SAMPLE reads each frame, is checked token by token and gives the latencies; the others are counted, and what comes to
one of them as whole frames that another one has got is looked up instead of parsed.
"""

import asyncio
import time
from typing import Any, NamedTuple

from tests.bench.client import TEXT, whole_frames
from tests.bench.order import Order
from tests.bench.site import Reader, Site, all_have, followers, until
from tests.bench.streaming import Figures, Usage, latencies

SAMPLE = 10


class Fan(NamedTuple):
    """One answer of a number of tokens, with many readers."""

    readers: int
    rate: float
    tokens: int


class Chunk(NamedTuple):
    """Whole frames that hold tokens and nothing else. `last`: the payload of the last; `size`: of all, in bytes."""

    tokens: int
    last: bytes
    size: int


class Counter(asyncio.Protocol):
    """Takes over a reader's connection, and counts. `known`: what readers have got, for all of them."""

    def __init__(self, reader: Reader, known: dict[bytes, Chunk]) -> None:
        self._reader = reader
        self._known = known

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if not reader.is_between_frames:
            reader.data_received(data)
        elif chunk := self._known.get(data) or self._parse(data):
            reader.skip(*chunk)
        else:
            reader.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)

    def _parse(self, data: bytes) -> Chunk | None:
        """Return what is to be known of such bytes, or None if the reader itself must take them."""
        frames, end = whole_frames(data)
        tokens = [self._reader.live_tokens(payload) if opcode == TEXT else 0 for opcode, payload in frames]
        if end < len(data) or not all(tokens):
            return None
        last = frames[-1][1]
        self._known[data] = chunk = Chunk(sum(tokens), last, sum(len(payload) for _, payload in frames))
        return chunk


async def fan_out(site: Site[Any], fan: Fan) -> Figures:
    """Measure CPU per million tokens delivered, and latency from the tokens' writing."""
    readers = await followers(site, [0] * fan.readers)
    sampled = readers[::SAMPLE]
    known: dict[bytes, Chunk] = {}
    for number, reader in enumerate(readers):
        if number % SAMPLE:
            reader.hand_over(Counter(reader, known))
    start = await site.answering(readers[:1], [Order(fan.rate, fan.tokens)])
    await until(start)
    usage = Usage(site)
    await until(start + fan.tokens / fan.rate)
    await all_have(readers, fan.tokens)
    used = usage.end()
    _check(site, readers, sampled, fan.tokens)
    figures = latencies(sampled, start, time.monotonic())
    for reader in readers:
        reader.close()
    return {
        "cpu": used["cpu"] / fan.tokens / fan.readers * 1e6,
        "p50": figures["p50"],
        "p99": figures["p99"],
        "share": used["share"] * 100,
        "load": used["load"] * 100,
        "seconds": usage.ended - start,
    }


def _check(site: Site[Any], readers: list[Reader], sampled: list[Reader], tokens: int) -> None:
    for reader in sampled:
        site.check_state(reader, tokens)
    for reader in readers:
        site.check_count(reader, tokens)
