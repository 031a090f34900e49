"""Processes under `manage.py serve`: restarts, replacements, stops in turn, and those that hang."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from sessions_app.servers import process_slot, server_process
from sessions_app.servers.connection_dealer import bind
from sessions_app.servers.process_channel import Kind, Message, load_payload
from sessions_app.servers.process_slot import LONGEST_S, STEADY_S, Backoff
from sessions_app.servers.server_process import SILENT_S, Bounds, Callbacks, ServerProcess
from sessions_app.servers.supervisor import NoProcessStarts, Supervisor
from tests.support.harness import DEADLINE_S, until

# Restarts


def test_pauses_between_restarts_double_until_a_process_has_served_for_a_while() -> None:
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(4)] == [0.5, 1, 2, 4]
    assert backoff.after(STEADY_S) == 0
    assert backoff.after(1) == 0.5
    assert [backoff.after(0) for _ in range(2000)][-1] == LONGEST_S


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_processes_that_end_at_their_start_end_the_server(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_slot, "FIRST_S", 0.01)
    starts = 0

    async def start(*arguments: Any) -> ServerProcess:
        nonlocal starts
        starts += 1
        return await original(*arguments)

    original = ServerProcess.start
    monkeypatch.setattr(ServerProcess, "start", start)
    with bind("127.0.0.1", 0) as listener:
        supervisor = Supervisor(listener, ["false"], count, announce=lambda: None)
        with pytest.raises(NoProcessStarts, match="in a row ended before they could serve"):
            async with asyncio.timeout(DEADLINE_S):
                await supervisor.run()
    assert max(3, count + 1) <= starts <= 2 * max(3, count + 1)


async def test_processes_that_cannot_be_executed_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_slot, "FIRST_S", 0.01)
    with bind("127.0.0.1", 0) as listener:
        supervisor = Supervisor(listener, ["/nowhere/python"], 2, announce=lambda: None)
        with pytest.raises(NoProcessStarts):
            async with asyncio.timeout(DEADLINE_S):
                await supervisor.run()


# A process that is ready and then says and reads nothing.
READY_AND_SILENT = """
import socket, sys, time
number, _, channel = sys.argv[1].partition(":")
channel = socket.socket(fileno=int(channel))
channel.send(b"R")
time.sleep(600)
"""
SILENT = [sys.executable, "-c", READY_AND_SILENT]
NOTHING = Callbacks(ready=lambda: None, metrics=lambda stream: stream.close())


async def test_a_stuck_process_is_killed_when_it_has_been_silent_for_too_long() -> None:
    process = await ServerProcess.start(1, SILENT, Bounds(start=60, silence=5, stop=60), NOTHING)
    assert await process.comes_up() and process.is_serving
    for _ in range(5):
        process.check_pulse()
    assert process.is_silent and not process.ended.is_set()
    process.check_pulse()
    await asyncio.wait_for(process.ended.wait(), DEADLINE_S)
    assert process.returncode == -9 and not process.is_serving


async def test_a_process_that_does_not_start_in_time_is_killed() -> None:
    process = await ServerProcess.start(1, ["sh", "-c", "sleep 600"], Bounds(0, 60, 60), NOTHING)
    process.check_pulse()
    assert not await asyncio.wait_for(process.comes_up(), DEADLINE_S)
    assert process.returncode == -9


async def test_a_process_that_does_not_stop_in_time_is_killed() -> None:
    process = await ServerProcess.start(1, SILENT, Bounds(start=60, silence=60, stop=0.05), NOTHING)
    await process.comes_up()
    await asyncio.wait_for(process.retire(), DEADLINE_S)
    assert process.returncode == -9


async def test_a_process_that_has_not_started_is_stopped_by_a_signal() -> None:
    process = await ServerProcess.start(1, ["sleep", "600", "600"][:2], Bounds(60, 60, 60), NOTHING)
    await asyncio.wait_for(process.retire(), DEADLINE_S)
    assert process.returncode is not None


async def test_connections_given_since_a_process_last_told_count() -> None:
    process = await ServerProcess.start(1, SILENT, Bounds(60, 60, 60), NOTHING)
    await process.comes_up()
    with socket.socket() as connection:
        assert process.give(connection) and process.give(connection)
    process.seconds_silent = SILENT_S
    process._handle(Message(Kind.LOAD, load_payload(1, 0), None))  # one has come and gone, one is on its way
    assert process.connections == 1 and not process.is_silent
    process.kill("is no longer needed")
    await process.ended.wait()


# The supervisor, with processes that do no more than their channel asks for

PROCESS = """
import os, socket, sys
number, _, channel = sys.argv[2].partition(":")
if os.path.exists(sys.argv[1] + "/broken"):
    sys.exit(1)
with open(sys.argv[1] + "/events", "a", buffering=1) as events:
    channel = socket.socket(fileno=int(channel))
    events.write(f"begin {number}\\n")
    channel.send(b"R")  # once this is read, the process before it may end
    while (message := channel.recv(32)) not in (b"d", b""):
        pass
    events.write(f"end {number}\\n")
"""


class Supervised:
    """A running supervisor of such processes."""

    def __init__(self, place: Path, count: int) -> None:
        self.place = place
        self.listener = bind("127.0.0.1", 0)
        command = [sys.executable, "-c", PROCESS, str(place)]
        self.supervisor = Supervisor(self.listener, command, count, announce=lambda: None)
        self.runs = asyncio.create_task(self.supervisor.run())

    @property
    def events(self) -> list[str]:
        path = self.place / "events"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def pids(self) -> dict[int, int]:
        """The pids of the serving processes, by their numbers."""
        return {each.number: each.pid for each in self.supervisor._processes() if each.is_serving}

    def signal(self, number: signal.Signals) -> None:
        os.kill(os.getpid(), number)

    async def stop(self) -> None:
        self.signal(signal.SIGTERM)
        await asyncio.wait_for(self.runs, DEADLINE_S)


@pytest.fixture
async def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(server_process, "SETTLE_S", 0.01)
    monkeypatch.setattr(process_slot, "FIRST_S", 0.01)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    supervised = Supervised(tmp_path, 2)
    await until(lambda: len(supervised.pids) == 2)
    yield supervised
    if not supervised.runs.done():
        await supervised.stop()
    for number, handler in before.items():
        signal.signal(number, handler)
    supervised.listener.close()


async def test_a_stop_is_in_turn(supervised: Supervised) -> None:
    await supervised.stop()
    assert supervised.events[2:] == ["end 1", "end 2"]


async def test_processes_are_replaced_in_turn(supervised: Supervised) -> None:
    before = supervised.pids
    supervised.signal(signal.SIGHUP)
    await until(lambda: len(supervised.events) == 6)
    assert supervised.events[2:] == ["begin 1", "end 1", "begin 2", "end 2"]
    assert supervised.pids.keys() == {1, 2} and not set(supervised.pids.values()) & set(before.values())


async def test_processes_that_cannot_be_replaced_stay(supervised: Supervised, caplog: pytest.LogCaptureFixture) -> None:
    before = supervised.pids
    (supervised.place / "broken").touch()
    supervised.signal(signal.SIGHUP)
    await until(lambda: "those that serve stay" in caplog.text)
    assert supervised.pids == before and len(supervised.events) == 2


async def test_a_process_that_cannot_be_started_again_leaves_the_others_to_serve(supervised: Supervised) -> None:
    (supervised.place / "broken").touch()
    os.kill(supervised.pids[1], signal.SIGKILL)
    await until(lambda: supervised.supervisor._failed_starts >= 4)
    assert supervised.pids.keys() == {2} and not supervised.runs.done()
    (supervised.place / "broken").unlink()
    await until(lambda: supervised.pids.keys() == {1, 2})


async def test_a_stop_during_a_replacement_ends_all(supervised: Supervised) -> None:
    before = supervised.pids[1]
    supervised.signal(signal.SIGHUP)
    await until(lambda: supervised.pids.get(1, before) != before)
    await supervised.stop()
    assert sorted(event for event in supervised.events if event.startswith("end")) == ["end 1", "end 1", "end 2"]
