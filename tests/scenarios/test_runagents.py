"""Agents in worker processes: their answers, how they stop, and their work after they die."""

import asyncio
import signal
import socket
import time
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from agents_app.management.commands.runagents import address
from tests.services import free_port
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, environment_of, manage, own_database, wait_for
from tests.support.person import Followed, text_of

LEASE_S = 3
# Without a layer between the processes, polls alone carry everything.
SITE = {
    "HOLDFAST_RUN_AGENTS": "false",
    "HOLDFAST_TAIL_POLL_MS": "100",
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
}
SLOWLY = {"HOLDFAST_DEMO_TOKENS_PER_S": "20"}  # an answer takes half a minute
QUICKLY = {"HOLDFAST_DEMO_TOKENS_PER_S": "5000"}
READABLY = {"HOLDFAST_DEMO_TOKENS_PER_S": "150"}  # some four seconds


async def in_thread(function: object, *arguments: object) -> object:
    """Let clients go on meanwhile."""
    return await asyncio.to_thread(function, *arguments)  # type: ignore[arg-type]


@pytest.fixture
def web(start_server: StartServer) -> Server:
    """A web server that leaves agents to others."""
    return start_server(**SITE)


@pytest.fixture
async def reader(web: Server) -> AsyncIterator[Follower]:
    async with Follower(web.url) as reader:
        yield reader


async def asked(reader: Follower) -> str:
    """A new session with a question in it."""
    session = await reader.create_session()
    await reader.follow(session)
    await reader.say(session, "Hello")
    return session


async def speaking(reader: Follower, session: str) -> Followed:
    """The session, when an agent says something in it."""
    await reader.wait_until(lambda: len(reader.sessions[session].messages) >= 2 and reader.sessions[session].text)
    return reader.sessions[session]


async def test_a_question_waits_for_a_worker_and_is_answered(reader: Follower, start_server: StartServer) -> None:
    session = await asked(reader)
    assert [message.role for message in reader.messages(session)] == ["user"]
    workers = [await in_thread(lambda: start_server("runagents", **SITE, **QUICKLY)) for _ in range(2)]
    message = await reader.wait_for_end(session)
    assert message.status == "complete"
    for worker in workers:
        assert await in_thread(worker.terminate) == 0
        assert worker.log.count("\n") == 2, worker.log  # one line at the start, one at the end


async def test_a_stopping_worker_finishes_its_answers_and_leaves_waiting_ones_to_others(
    reader: Follower, start_server: StartServer
) -> None:
    probes = free_port()
    arguments = f"--concurrency 1 --drain 120 --metrics {probes}"
    worker = start_server("runagents", arguments=arguments, HOLDFAST_METRICS_TOKEN="t", **SITE, **READABLY)
    assert await asked_of(probes, "/readyz") == (200, "ready\n")
    answered, waiting = await reader.create_session(), await reader.create_session()
    await reader.follow(answered, waiting)
    await reader.say(answered, "Hello")
    await speaking(reader, answered)
    await reader.say(waiting, "Hello")
    assert 'holdfast_runs{agent="demo"} 1.0' in (await asked_of(probes, "/metrics"))[1]
    worker.signal(signal.SIGTERM)
    while await asked_of(probes, "/readyz") != (503, "the process is stopping\n"):
        pass
    assert await asked_of(probes, "/healthz") == (200, "ok\n")
    await in_thread(lambda: start_server("runagents", **SITE, **QUICKLY))
    for session in (answered, waiting):
        assert (await reader.wait_for_end(session)).status == "complete"
    assert await in_thread(worker.wait) == 0


async def asked_of(port: int, path: str) -> tuple[int, str]:
    """Return a worker's response to a probe."""
    async with httpx.AsyncClient(timeout=DEADLINE_S) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}", headers={"Authorization": "Bearer t"})
    return answer.status_code, answer.text


@pytest.mark.long
async def test_an_answer_longer_than_the_drain_is_interrupted(reader: Follower, start_server: StartServer) -> None:
    worker = start_server("runagents", arguments="--drain 0.5", **SITE, **SLOWLY)
    session = await asked(reader)
    await speaking(reader, session)
    assert await in_thread(worker.interrupt) == 0
    message = await reader.wait_for_end(session)
    assert (message.status, message.reason) == ("interrupted", "The server was stopped before the agent finished.")
    assert "Traceback" not in worker.log


async def test_a_second_signal_stops_the_worker_at_once(reader: Follower, start_server: StartServer) -> None:
    worker = start_server("runagents", arguments="--drain 3600", **SITE, **SLOWLY)
    session = await asked(reader)
    await speaking(reader, session)
    worker.signal(signal.SIGTERM)
    wait_for(lambda: has_default_handler(worker, signal.SIGTERM), DEADLINE_S, lambda: "it does not stop")
    worker.signal(signal.SIGTERM)
    assert await in_thread(worker.wait) == -signal.SIGTERM


def has_default_handler(server: Server, number: signal.Signals) -> bool:
    """Return whether a signal would end a process: it has taken the one before."""
    with open(f"/proc/{server.pid}/status") as status:
        caught = next(line.split()[1] for line in status if line.startswith("SigCgt:"))
    return not int(caught, 16) >> (number - 1) & 1


async def test_a_killed_workers_answer_ends_and_another_worker_continues_it(
    reader: Follower, start_server: StartServer
) -> None:
    worker = start_server("runagents", **SITE, **SLOWLY)
    session = await asked(reader)
    await speaking(reader, session)
    start_server("runagents", **SITE, **QUICKLY)
    worker.kill9()
    # One that itself stands still starts to count anew, so a busy machine takes a few leases.
    first = await reader.wait_for_end(session, 10 * LEASE_S)
    assert first.status == "interrupted"
    retry = await reader.signal(session, "retry", {"message": first.id, "mode": "continue"})
    assert reader.receipts[retry]["status"] == "accepted"
    await reader.wait_until(lambda: len(reader.sessions[session].messages) == 3)
    second = await reader.wait_for_end(session)
    assert second.status == "complete"
    assert text_of(second)


async def test_a_stop_at_the_web_server_reaches_the_agent_within_a_second(
    reader: Follower, start_server: StartServer
) -> None:
    start_server("runagents", **SITE, **SLOWLY)
    session = await asked(reader)
    await speaking(reader, session)
    began = time.monotonic()
    await reader.signal(session, "cancel", {})
    message = await reader.wait_for_end(session)
    took = time.monotonic() - began
    print(f"stopped after {took * 1000:.0f} ms")
    assert (message.status, message.reason) == ("cancelled", "Stopped.")
    assert took < 10  # a few hundred milliseconds, unless the machine stands still


def test_invalid_arguments_are_refused(tmp_path: Path, migrated: Path) -> None:
    with pytest.raises(CommandError, match="--concurrency 0: use 1 or more"):
        call_command("runagents", "--concurrency", "0")
    with pytest.raises(CommandError, match="--drain -1: use 0 to 86400 seconds"):
        call_command("runagents", "--drain", "-1")
    for text in ("here", "here:", "0", "1:65536", "-1"):
        with pytest.raises(ArgumentTypeError, match=f"{text}: use a port, or host:port"):
            address(text)
    environment = environment_of(own_database(tmp_path, migrated), SITE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"--metrics 127.0.0.1:{port}: .*[Aa]ddress already in use"):
            manage("runagents", "--metrics", str(port), environment=environment)
