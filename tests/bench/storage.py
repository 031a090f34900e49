"""Database measurements: the cost of a catch-up as the database grows, and an answer's size in it."""

import asyncio
import statistics
from functools import partial

from tests.bench.holdfast import Holdfast
from tests.bench.order import Order
from tests.bench.rows import SETTLE_S, timed
from tests.bench.site import all_have
from tests.bench.streaming import Figures

MESSAGES, QUICK = (1_000, 100_000, 1_000_000), (1_000, 2_000, 10_000)
ANSWERS = 10  # whose bytes are counted: pages are larger than rows
CATCH_UPS, WARM = 200, 20
MISSED = 1000  # tokens


async def growth(site: Holdfast, steps: tuple[int, ...]) -> Figures:
    """Measure a reader's return to an answer, in ms, with a number of messages stored."""
    away, there = await site.following(0), await site.following(0)
    await site.answering([there], [Order(1, 1)])
    await all_have([away, there], 1)
    missed = site.left(away, 1 + MISSED)
    await site.answering([there], [Order(1000, MISSED, stays_open=True)])
    await all_have([there], 1 + MISSED)
    figures: Figures = {}
    for position, step in enumerate(steps):
        await _manage(site, "bench_storage", "messages", str(step))
        await asyncio.sleep(SETTLE_S)
        times = [(await timed(site.come_back(missed)))[0] for _ in range(WARM + CATCH_UPS)]
        figures[f"ms_{position}"] = statistics.median(times[WARM:])
    there.close()
    return figures | {"growth": figures[f"ms_{len(steps) - 1}"] / figures["ms_0"]}


async def stored(site: Holdfast, tokens: int) -> Figures:
    """Return the bytes of an ended answer of a number of tokens, and of a table with a row per token."""
    empty = await _bytes(site)
    readers = [await site.following(number) for number in range(ANSWERS)]
    await site.answering(readers, [Order(500, tokens)] * ANSWERS)
    await all_have(readers, tokens)
    for reader in readers:
        site.check(reader, tokens)
        reader.close()
    full = await _bytes(site)
    await _manage(site, "bench_storage", "tokens", str(ANSWERS), str(tokens))
    per_token = await _bytes(site)
    ours, theirs = (full - empty) / ANSWERS, (per_token - full) / ANSWERS
    return {"kB": ours / 1000, "log": theirs / 1000, "ratio": theirs / ours}


async def _bytes(site: Holdfast) -> int:
    return int(await _manage(site, "bench_storage", "bytes"))


async def _manage(site: Holdfast, *command: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(None, partial(site.server.manage, *command))
