"""Agents elsewhere while sites and workers are killed: everything ends, and happens at most once."""

import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from tests.scenarios.test_kill import check_against_store
from tests.scenarios.test_runs_and_signals import LEASE_S, QUICK, concurrent_user, fail
from tests.support.harness import Server, StartServer, Worker
from tests.support.scripted import EFFECTS, SETTINGS
from tests.support.session_invariants import Rows, check, rows_of_file
from tests.support.tokens import KEYS

ELSEWHERE = {
    "HOLDFAST_REMOTE_AGENTS": "scripted",
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
}


async def test_kills_of_sites_and_workers(start_server: StartServer, tmp_path: Path) -> None:
    await fault_round(start_server, tmp_path, seed=1, people=2, questions=2, kills=(1, 1))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 7))
async def test_many_kills_of_sites_and_workers(start_server: StartServer, tmp_path: Path, seed: int) -> None:
    await fault_round(start_server, tmp_path, seed=seed, people=8, questions=5, kills=(5, 10))


async def fault_round(
    start_server: StartServer, place: Path, *, seed: int, people: int, questions: int, kills: tuple[int, int]
) -> None:
    """Two servers on one file and a worker at each, which are killed so many times.

    Only when things happen doesn't follow from the seed.
    """
    began = time.monotonic()
    effects = place / "effects"
    effects.touch()
    settings = QUICK | SETTINGS | ELSEWHERE | {EFFECTS: str(effects)}
    servers = [start_server(**settings) for _ in range(2)]
    random = Random(seed)
    async with AsyncExitStack() as stack:
        workers = [worker_at(server, place, number, settings) for number, server in enumerate(servers)]
        for worker in workers:
            stack.callback(worker.end)
            worker.start()
        everybody = [await stack.enter_async_context(concurrent_user(servers, random)) for _ in range(people)]
        asking = [asyncio.ensure_future(person.ask(questions)) for person in everybody]
        database = Path(servers[0].database.removeprefix("sqlite:///"))
        failing = [
            asyncio.ensure_future(fail(processes, database, random, ["kill"] * count * len(processes)))
            for processes, count in zip((servers, workers), kills, strict=True)
        ]
        await asyncio.gather(*failing, *asking)
        for person in everybody:
            await person.settle()
        ran = effects.read_text().split()
        rows = [rows_of_file(database, person.session) for person in everybody]
        for person, stored in zip(everybody, rows, strict=True):
            check(person, stored, ran)
            for server in servers:
                await check_against_store(server, person.tabs[0])
    print(
        f"seed {seed}: {figures(rows)}, {len(ran)} calls, {2 * kills[0]} kills of sites, {2 * kills[1]} of workers,"
        f" {time.monotonic() - began:.0f} s"
    )


def figures(rows: list[Rows]) -> str:
    """Return how many runs there were, and how their answers have ended."""
    ends = Counter(row["status"] for stored in rows for row in stored.messages.values() if row["role"] == "assistant")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
    return f"{ends.total()} runs ({counts}), {sum(len(stored.signals) for stored in rows)} signals"


def worker_at(server: Server, place: Path, number: int, settings: dict[str, str]) -> Worker:
    """Return a worker elsewhere, not started yet."""
    worker = Worker(place, database=server.database, command="runagents", environment=settings)
    worker.command = [
        sys.executable,
        "-m",
        "tests.support.scripted_worker",
        server.url,
        f"worker-{number}",
        str(LEASE_S),
    ]
    worker.log_path = place / f"worker-{number}.log"
    return worker
