"""A stalled reader: bounded memory, no effect on others, and it resumes where it was."""

import asyncio
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer, wait_for
from tests.support.person import Person
from tests.support.publisher import Publisher, is_what_was_sent
from tests.support.raw_socket import CLOSE, TEXT, RawSocket, encode

SETTINGS = {
    "HOLDFAST_RUNS_PER_PROCESS": "0",  # people talk to themselves here
    "HOLDFAST_SIGNALS_PER_MINUTE": "10000",
    "HOLDFAST_ANSWER_BYTES_PER_MINUTE": "1000000000",  # one person's readers get far more here than a person may
    "HOLDFAST_HEARTBEAT_MS": "200",
}
SMALL_WINDOW = {"HOLDFAST_WINDOW_BYTES": "8192", "HOLDFAST_ACK_BYTES": "2048"}
IMPATIENT = {"HOLDFAST_TAIL_POLL_MS": "50", "HOLDFAST_SLOW_READER_MS": "500", "HOLDFAST_ACK_MS": "100"}
SERVERS = pytest.mark.parametrize("command", [pytest.param("runserver", marks=pytest.mark.long), "uvicorn"])
MIB = 1 << 20


def stalled(server: Server, person: Person) -> RawSocket:
    """A socket of the person's whose kernel takes little more than what is read."""
    cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    return RawSocket(server.port, headers={"Cookie": cookies, "Origin": server.url}, receive_buffer=4096)


def resident(server: Server) -> int:
    """Return the server's memory, in bytes."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096


def frame(type_: str, **fields: Any) -> str:
    return json.dumps({"type": type_, **fields})


async def a_large_session(person: Person, count: int = 20, size: int = 30_000) -> str:
    """A large session whose owner is connected without following it: on a busy machine it would be slow itself."""
    session = await person.create_session()
    await person.connect()
    for _ in range(count):
        await person.say(session, "x" * size)
    return session


@SERVERS
async def test_a_stalled_reader_delays_no_other(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS)
    async with Person(server.url) as person, Person(server.url) as other:
        large = await a_large_session(person)
        small = await other.create_session()
        await other.connect()
        followed = await other.attach(small)
        deaf = [stalled(server, person) for _ in range(16)]
        for times, socket in enumerate(deaf):  # kernels take some megabytes of answers, which is with one of these
            for _ in range(times):
                socket.send_text(frame("attach", session=large, rewind=200))
        await asyncio.sleep(1)  # heartbeats come on top
        took: list[float] = []
        for number in range(20):
            began = time.monotonic()
            await other.say(small, f"turn {number}")
            await other.wait_until(lambda number=number: len(followed.messages) == number + 1)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        assert median(took) < 1  # seconds; the slowest would say whether the machine stood still meanwhile
        assert server.process and server.process.poll() is None


@SERVERS
async def test_repeated_requests_without_reading_take_no_more_memory(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS, HOLDFAST_FRAMES_PER_SECOND="1000")
    async with Person(server.url) as person:
        large = await a_large_session(person)
        deaf = [stalled(server, person) for _ in range(3)]
        before = resident(server)
        for _ in range(100):
            for socket in deaf:
                socket.socket.settimeout(0.05)
                try:
                    socket.socket.sendall(encode(TEXT, frame("attach", session=large, rewind=200).encode()))
                except (TimeoutError, OSError):
                    pass  # the server reads no more of it
        await asyncio.sleep(1)
        assert resident(server) - before < 40 * MIB
        await person.say(large, "still served")


@pytest.mark.parametrize("command", ["uvicorn", pytest.param("runserver", marks=pytest.mark.long)])
async def test_acknowledging_unread_frames_takes_no_more_memory(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS, HOLDFAST_FRAMES_PER_SECOND="1000")
    async with Person(server.url) as person:
        session = await person.create_session()
        await person.connect()
        followed = await person.attach(session)
        for _ in range(100):  # so much fills SQLite's caches
            await person.say(session, "x" * 30_000)
        liars = [stalled(server, person) for _ in range(20)]
        for liar in liars:
            liar.send_text(frame("attach", session=session))
        before = resident(server)
        for _ in range(200):  # 6 MB for each of them, of which kernels take about half
            await person.say(session, "x" * 30_000)
            for liar in liars:
                liar.socket.settimeout(0.01)
                try:
                    liar.socket.sendall(
                        encode(TEXT, frame("ack", session=session, cursor=str(followed.cursor)).encode())
                    )
                except OSError:
                    pass  # the server reads no more of it
        await person.wait_until(lambda: len(followed.messages) == 300)
        assert resident(server) - before < 64 * MIB


@SERVERS
async def test_a_stalled_reader_gets_the_conflated_state_when_it_reads_again(
    start_server: StartServer, tmp_path: Path, command: str
) -> None:
    server = start_server(command, HOLDFAST_TAIL_POLL_MS="50", HOLDFAST_SLOW_READER_MS="600000", **SMALL_WINDOW)
    async with Person(server.url) as person:
        session = await person.create_session()
        await person.connect()
        followed = await person.attach(session)
        person.acknowledges = False
        publisher = Publisher(tmp_path, server.environment, [session], pace=2000, length=3000).start()
        assert await asyncio.to_thread(publisher.wait, 60) == 0
        # The window, and the one answer that may exceed it: how long that is, the machine's speed decides.
        assert len(followed.text) < publisher.notes[-1]["length"]
        person.acknowledges = True
        await person._acknowledge(session)
        message = await person.wait_for_end(session)
        assert message.status == "complete"
        assert len(followed.text) == publisher.notes[-1]["length"]
        assert is_what_was_sent(message.id, followed.text)
        assert [answer["resumed"] for answer in followed.attached[1:]] == [True] * (len(followed.attached) - 1)
        assert followed.gaps == 0


@SERVERS
async def test_a_reader_that_stays_behind_is_closed(start_server: StartServer, tmp_path: Path, command: str) -> None:
    server = start_server(command, **SMALL_WINDOW, **IMPATIENT)
    async with Person(server.url) as person:
        session = await person.create_session()
        socket = stalled(server, person)
        socket.send_text(frame("attach", session=session))
        publisher = Publisher(tmp_path, server.environment, [session], pace=1000, length=1500).start()
        closed = await asyncio.to_thread(socket.read_until, CLOSE, 60)  # it reads, and acknowledges nothing
        assert closed.code == 4408
        assert await asyncio.to_thread(publisher.wait, 60) == 0


async def test_a_reader_that_never_reads_is_cut(start_server: StartServer) -> None:
    """Not even its close frame reaches it."""
    server = start_server(**SETTINGS, **IMPATIENT)
    async with Person(server.url) as person:
        large = await a_large_session(person)
        socket = stalled(server, person)
        socket.send_text(frame("attach", session=large, rewind=200))
        await asyncio.sleep(0.3)
        for number in range(3):
            await person.say(large, f"turn {number}" + "x" * 30_000)
        gone = f"DISCONNECT /ws/ [127.0.0.1:{socket.socket.getsockname()[1]}]"
        await asyncio.to_thread(wait_for, lambda: gone in server.log, DEADLINE_S, lambda: server.log)
