"""Fairness: what a second person notices of a guest who does the worst that limits allow."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import httpx

from tests.bench import flood
from tests.bench.holdfast import Holdfast
from tests.bench.rows import first_token
from tests.bench.streaming import Figures
from tests.support.harness import ROOT

ROUNDS = 2  # each of another person. Quiet comes first: what a flood has sent is worked off long after its end
REACH_S = 2.0  # after which a flood has reached its pace
NICE = 3  # of the flood's process, which shares the load's core with what is measured
FIRST_GUEST = 1000  # sessions of those who flood; those of the people who are measured come before


async def second_person(site: Holdfast, guests: int, requests: int, asked: int) -> Figures:
    """Measure a second person's requests and answers while it is quiet, and while guests flood."""
    people, random = iter(range(FIRST_GUEST)), Random(site.seed)
    quiet: dict[str, list[float]] = {"rest": [], "first": []}
    busy: dict[str, list[float]] = {"rest": [], "first": []}
    for _ in range(ROUNDS):
        await _person(site, next(people), random, requests, asked, quiet)
    async with _flooding(site, guests):
        await asyncio.sleep(REACH_S)
        for _ in range(ROUNDS):
            await _person(site, next(people), random, requests, asked, busy)
    figures = {}
    for name in quiet:
        for percent in (50, 99):
            figures[f"{name}_quiet_{percent}"] = _percentile(quiet[name], percent)
            figures[f"{name}_busy_{percent}"] = _percentile(busy[name], percent)
        figures[f"{name}_ratio"] = figures[f"{name}_busy_99"] / figures[f"{name}_quiet_99"]
    return figures


def _percentile(seconds: list[float], percent: int) -> float:
    return sorted(seconds)[len(seconds) * percent // 100] * 1000


async def _person(
    site: Holdfast, number: int, random: Random, requests: int, asked: int, times: dict[str, list[float]]
) -> None:
    """Read one's session over and over, then ask and wait for the first token."""
    session, cookie = site.sessions[number]
    async with httpx.AsyncClient(headers={"Cookie": cookie}, timeout=60) as http:
        for count in range(requests + 5):
            await asyncio.sleep(random.uniform(0.02, 0.05))
            begun = time.monotonic()
            response = await http.get(f"http://127.0.0.1:{site.port}/api/sessions/{session}/messages/")
            response.raise_for_status()
            if count >= 5:  # the first ones pay for the connection
                times["rest"].append(time.monotonic() - begun)
    reader = await site.following(number)
    for _ in range(asked):
        await asyncio.sleep(random.uniform(0.05, 0.1))
        times["first"].append(await first_token(reader))
    reader.close()


@asynccontextmanager
async def _flooding(site: Holdfast, guests: int) -> AsyncIterator[None]:
    """Flood within the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", flood.__name__, str(site.port),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, preexec_fn=lambda: os.nice(NICE),
    )  # fmt: skip
    try:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(site.sessions[FIRST_GUEST : FIRST_GUEST + guests]).encode())
        process.stdin.write_eof()
        ready = await process.stdout.readline()
        assert ready.decode().strip() == flood.READY
        yield
    finally:
        process.kill()
        await process.wait()
