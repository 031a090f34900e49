"""Runs, steers, stops and approvals while servers are killed: everything ends, and happens at most once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.scenarios.test_faults import freeze_outside_a_transaction
from tests.scenarios.test_kill import check_against_store, in_thread
from tests.support.concurrent_user import ConcurrentUser, RoamingTab
from tests.support.harness import Server, StartServer
from tests.support.scripted import EFFECTS, SETTINGS, effects_in
from tests.support.session_invariants import check, rows_of_file

LEASE_S = 3
QUICK = {
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
    "HOLDFAST_TAIL_POLL_MS": "100",
    "HOLDFAST_INBOX_POLL_MS": "20",
    "HOLDFAST_JOURNAL_EVENTS": "20",
    "HOLDFAST_SIGNALS_PER_MINUTE": "100000",
    "HOLDFAST_FRAMES_PER_SECOND": "10000",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "1000000000",
}


async def test_kills_while_users_steer_stop_and_decide(start_server: StartServer, tmp_path: Path) -> None:
    await fault_round(start_server, tmp_path, seed=1, people=2, questions=2, faults=["kill"])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
async def test_many_faults_while_users_steer_stop_and_decide(
    start_server: StartServer, tmp_path: Path, seed: int
) -> None:
    await fault_round(start_server, tmp_path, seed=seed, people=6, questions=5, faults=["kill"] * 9 + ["freeze"] * 3)


async def fault_round(
    start_server: StartServer, place: Path, *, seed: int, people: int, questions: int, faults: list[str]
) -> None:
    """Two servers and a worker on one file, all with agents. Only when things happen doesn't follow from the seed."""
    print(f"seed {seed}")
    effects = place / "effects"
    effects.touch()
    settings = QUICK | SETTINGS | {EFFECTS: str(effects)}
    servers = [start_server(**settings) for _ in range(2)]
    worker = start_server("runagents", **settings)
    random = Random(seed)
    async with AsyncExitStack() as stack:
        everybody = [await stack.enter_async_context(concurrent_user(servers, random)) for _ in range(people)]
        asking = [asyncio.ensure_future(person.ask(questions)) for person in everybody]
        database = Path(servers[0].database.removeprefix("sqlite:///"))
        failing = asyncio.ensure_future(fail([*servers, worker], database, random, faults))
        await asyncio.gather(failing, *asking)
        for person in everybody:
            await person.settle()
        ran = effects_in(effects)
        for person in everybody:
            check(person, rows_of_file(database, person.session), ran)
            for server in servers:
                await check_against_store(server, person.tabs[0])


@asynccontextmanager
async def concurrent_user(
    servers: list[Server], random: Random, *, agent: str | None = None, **habits: float
) -> AsyncIterator[ConcurrentUser]:
    urls = [server.url for server in servers]
    async with RoamingTab(*urls, random=random) as first, RoamingTab(*urls, random=random) as second:
        session = await first.create_session(**({} if agent is None else {"agent": agent}))
        second.http.cookies = first.http.cookies  # the same person, in another tab
        for tab in (first, second):
            await tab.follow(session)
        yield ConcurrentUser(first, second, session, random, **habits)


async def fail(processes: list[Server], database: Path, random: Random, faults: list[str]) -> None:
    """Kill and restart the processes at random, or freeze one until it has been declared dead."""
    random.shuffle(faults)
    for fault in faults:
        await asyncio.sleep(random.uniform(0.3, 2))
        victim = random.choice(processes)
        if fault == "kill":
            victim.kill9()
            await in_thread(victim.start)
        else:
            await in_thread(freeze_outside_a_transaction, victim, database)
            await asyncio.sleep(1.5 * LEASE_S)
            victim.thaw()
