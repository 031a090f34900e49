"""Steady writing: many answers at once, each with one reader."""

import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.bench import machine
from tests.bench.order import Order
from tests.bench.site import Late, Reader, Site, all_have, followers, until

WARM_S = 1.0
COOL_S = 0.5  # for which answers go on after what is measured: that hundreds end in one moment isn't steady writing

Figures = dict[str, float]


class Load(NamedTuple):
    """Steady writing, one reader a session. `seconds` are measured."""

    sessions: int
    rate: float
    seconds: float

    @property
    def asked(self) -> float:
        """Return the tokens a second."""
        return self.sessions * self.rate


class Usage:
    """The CPU time used since this was made, in seconds: the server's, its databases' and the load generator's."""

    def __init__(self, site: Site[Any]) -> None:
        self._site = site
        self._before, self.begun = self._now(), time.monotonic()

    def end(self) -> Figures:
        """Return what was used: `cpu` of the server, its databases by name, and `share` and `load` of the two cores."""
        now, self.ended = self._now(), time.monotonic()
        used = {name: now[name] - self._before[name] for name in now}
        load = used.pop("load")
        elsewhere = sum(used.values()) - used["cpu"] + load  # databases run on the load's core
        seconds = self.ended - self.begun
        return used | {"share": used["cpu"] / seconds, "load": elsewhere / seconds}

    def _now(self) -> Figures:
        helpers = {name: machine.cpu_seconds(machine.running(program)) for name, program in self._site.helpers.items()}
        return {"cpu": machine.cpu_seconds(self._site.pids), "load": machine.cpu_seconds([os.getpid()])} | helpers


async def streaming(site: Site[Any], load: Load) -> Figures:
    """Measure CPU per million tokens and the tokens' added latency, where each reader gets them one by one."""
    return await measured(site, load, site.check)


async def measured(site: Site[Any], load: Load, check: Callable[[Any, int], None]) -> Figures:
    """Likewise, with another check of the readers."""
    readers = await followers(site, range(load.sessions))
    tokens = round(load.rate * (WARM_S + load.seconds + COOL_S))
    await until(await site.answering(readers, orders(load, tokens, site.seed)) + WARM_S)
    usage = Usage(site)
    await until(usage.begun + load.seconds)
    used = usage.end()
    await all_have(readers, tokens)
    figures = latencies(readers, usage.begun, usage.ended)
    for reader in readers:
        check(reader, tokens)
        reader.close()
    cores = {name: used.pop(name) for name in ("share", "load")}
    written = figures["rate"] * (usage.ended - usage.begun)
    return {name: seconds / written * 1e6 for name, seconds in used.items()} | cores | figures


def orders(load: Load, tokens: int, seed: int) -> list[Order]:
    """Return an order for each session, at random phases."""
    phases = random.Random(seed)
    return [Order(load.rate, tokens, phases.random() / load.rate) for _ in range(load.sessions)]


def latencies(readers: list[Reader], first: float, last: float) -> Figures:
    """Return the latencies of the tokens written in a span of time, in ms; tokens written and frames got a second."""
    delays, frames = [], 0
    for reader in readers:
        for arrival, written in reader.gains():
            frames += first <= arrival < last
            delays += [arrival - at for at in written if first <= at < last]
    if not delays:
        raise Late("no token was written")
    delays.sort()
    return {
        "p50": statistics.median(delays) * 1000,
        "p99": delays[len(delays) * 99 // 100] * 1000,
        "rate": len(delays) / (last - first),
        "frames": frames / (last - first),
    }
