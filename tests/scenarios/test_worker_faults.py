"""Agents in Python and Node elsewhere, while sites and workers are killed: all ends, and happens at most once."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from tests import services
from tests.scenarios.test_kill import check_against_store, in_thread
from tests.scenarios.test_runs_and_signals import LEASE_S, QUICK, concurrent_user
from tests.support import npm
from tests.support.concurrent_user import ConcurrentUser
from tests.support.harness import Server, StartServer, Worker
from tests.support.scripted import EFFECTS, SETTINGS, effects_in
from tests.support.session_invariants import Rows, check, rows_of_file
from tests.support.tokens import KEYS, token

AGENTS = "scripted", "scripted-node"  # the first of either worker, the second of the one in Node alone
ELSEWHERE = {
    "HOLDFAST_AGENTS": ",".join(AGENTS),
    "HOLDFAST_REMOTE_AGENTS": ",".join(AGENTS),
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
}
HABITS = {"steers": 0.03, "stops": 0.004}  # so that most answers go on until a worker is killed, or to their ends


async def test_kills_of_sites_and_workers(start_server: StartServer, tmp_path: Path) -> None:
    await fault_round(start_server, tmp_path, seed=1, sites=1, people=2, questions=1, kills=(1, 1), pauses_s=(0.5, 1))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 8))
async def test_many_kills_of_sites_and_workers(start_server: StartServer, tmp_path: Path, seed: int) -> None:
    await fault_round(start_server, tmp_path, seed=seed, sites=2, people=8, questions=5, kills=(5, 10), pauses_s=(1, 5))


async def fault_round(
    start_server: StartServer,
    place: Path,
    *,
    seed: int,
    sites: int,
    people: int,
    questions: int,
    kills: tuple[int, int],
    pauses_s: tuple[float, float],
) -> None:
    """Servers on one file, and a worker in Python and one in Node; each is killed so many times.

    People ask at least so many questions, and until the last kill. Only the times don't follow from the seed.
    """
    began = time.monotonic()
    effects = place / "effects"
    effects.touch()
    settings = QUICK | SETTINGS | ELSEWHERE | {EFFECTS: str(effects)}
    servers = [start_server(**settings) for _ in range(sites)]
    random = Random(seed)
    async with AsyncExitStack() as stack:
        workers = [python_worker(servers[0], place, settings), node_worker(servers[-1], place, settings)]
        for worker in workers:
            stack.callback(worker.end)
            worker.start()
        everybody = [
            await stack.enter_async_context(concurrent_user(servers, random, agent=AGENTS[number % 2], **HABITS))
            for number in range(people)
        ]
        killing = [
            asyncio.ensure_future(kill(process, Random(random.random()), times, pauses_s))
            for processes, times in zip((servers, workers), kills, strict=True)
            for process in processes
        ]
        asking = [asyncio.ensure_future(ask_until(person, questions, killing)) for person in everybody]
        await asyncio.gather(*killing, *asking)
        for person in everybody:
            await person.settle()
        ran = effects_in(effects)
        database = Path(servers[0].database.removeprefix("sqlite:///"))
        rows = [rows_of_file(database, person.session) for person in everybody]
        for person, stored in zip(everybody, rows, strict=True):
            check(person, stored, ran)
            for server in servers:
                await check_against_store(server, person.tabs[0])
    print(
        f"seed {seed}: {figures(rows, ran, everybody)}, {sites * kills[0]} kills of sites, {2 * kills[1]} of workers,"
        f" {time.monotonic() - began:.0f} s"
    )


async def ask_until(person: ConcurrentUser, questions: int, killing: list[asyncio.Task[None]]) -> None:
    await person.ask(questions)
    while not all(task.done() for task in killing):
        await person.ask(1)


async def kill(process: Server, random: Random, times: int, pauses_s: tuple[float, float]) -> None:
    """Kill a process so many times after pauses, each time followed by its successor.

    That of a worker sometimes begins while the other still writes, which is then fenced.
    """
    for _ in range(times):
        await asyncio.sleep(random.uniform(*pauses_s))
        if isinstance(process, Worker) and random.random() < 0.3:
            before = process.pid
            await in_thread(process.start)
            await asyncio.sleep(random.uniform(0, 0.2))
            os.killpg(before, signal.SIGKILL)
        else:
            process.kill9()
            await in_thread(process.start)


def figures(rows: list[Rows], ran: dict[str, list[str]], everybody: list[ConcurrentUser]) -> str:
    """Return how many runs there were, how their answers have ended, and which worker has written them."""
    ends = Counter(row["status"] for stored in rows for row in stored.messages.values() if row["role"] == "assistant")
    counts = ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
    writers = Counter(writer for person in everybody for writer in writers_of(person))
    calls = Counter(process.partition("-")[0] for processes in ran.values() for process in processes)
    signals = Counter(row["kind"] for stored in rows for row in stored.signals.values())
    return (
        f"{ends.total()} runs ({counts}; {writers['python']} in Python, {writers['node']} in Node),"
        f" {signals.total()} signals ({', '.join(f'{count} {kind}' for kind, count in sorted(signals.items()))}),"
        f" {calls['python']} + {calls['node']} calls"
    )


def writers_of(person: ConcurrentUser) -> Iterator[str]:
    """Yield the language in which each answer was begun."""
    for message in person.tabs[0].sessions[person.session].messages.values():
        if message.role == "assistant" and message.metadata:
            yield str(message.metadata["process"]).partition("-")[0]


def python_worker(server: Server, place: Path, settings: dict[str, str]) -> Worker:
    module = "tests.support.scripted_worker"
    return worker_at(server, place, settings, [sys.executable, "-m", module, server.url, "worker-python", str(LEASE_S)])


def node_worker(server: Server, place: Path, settings: dict[str, str]) -> Worker:
    program = npm.install(place, "scripted.mjs")
    work_token = token(sub="agent:fleet", scope="work", agents=list(AGENTS))
    return worker_at(
        server, place, settings, [services.require("node"), str(program), server.url, work_token, "worker-node"]
    )


def worker_at(server: Server, place: Path, settings: dict[str, str], command: list[str]) -> Worker:
    """Return a worker elsewhere, not started yet."""
    worker = Worker(place, database=server.database, command="runagents", environment=settings)
    worker.command = command
    worker.log_path = place / f"{Path(command[1]).name}-{server.port}.log"
    return worker
