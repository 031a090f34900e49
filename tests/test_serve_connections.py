"""Connections under `manage.py serve`: the channel to a process, and which process gets which connection."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from sessions_app.servers.connection_dealer import ConnectionDealer, bind
from sessions_app.servers.process_channel import END, Channel, Kind, Message, ask, load_payload
from tests.support.harness import DEADLINE_S, until

# Channels


@pytest.fixture
async def channels() -> Any:
    ends = [Channel(end) for end in Channel.pair()]
    yield ends
    for end in ends:
        end.close()


async def test_a_message_carries_a_connection(channels: list[Channel]) -> None:
    parent, child = channels
    received: list[Message] = []
    child.listen(received.append)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            assert parent.send(Kind.CONNECTION, attached=theirs)
        await until(lambda: bool(received))
        connection = received[0].attached
        assert received[0].kind is Kind.CONNECTION and connection is not None
        with connection:
            connection.sendall(b"to the client")
            assert ours.recv(100) == b"to the client"


async def test_messages_arrive_whole_and_in_order(channels: list[Channel]) -> None:
    parent, child = channels
    received: list[Message] = []
    parent.listen(received.append)
    for number in range(100):
        assert child.send(Kind.LOAD, payload=load_payload(2**40 + number, number))
    await until(lambda: len(received) == 100)
    assert [message.load() for message in received] == [(2**40 + number, number) for number in range(100)]


async def test_a_process_that_reads_nothing_gets_no_more(channels: list[Channel]) -> None:
    sent = 0
    while channels[0].send(Kind.CONNECTION, attached=socket.socket()):
        sent += 1
        assert sent < 100_000
    assert sent > 10


async def test_nothing_is_sent_to_a_process_that_has_ended(channels: list[Channel]) -> None:
    parent, child = channels
    parent.listen(lambda message: None)
    child.close()
    assert not parent.send(Kind.STOPPING)
    assert await ask(parent, Kind.REPORT, DEADLINE_S) is None


@pytest.mark.parametrize(("written", "got"), [(b"x" * 2**20 + END, b"x" * 2**20), (b"cut off", None), (b"", None)])
async def test_an_answer_is_whole_or_none(channels: list[Channel], written: bytes, got: bytes | None) -> None:
    parent, child = channels

    async def write(stream: socket.socket) -> None:
        _, writer = await asyncio.open_unix_connection(sock=stream)
        writer.write(written)
        writer.close()

    tasks = []
    child.listen(lambda message: tasks.append(asyncio.create_task(write(message.attached))))  # type: ignore[arg-type]
    assert await ask(parent, Kind.REPORT, DEADLINE_S) == got


async def test_a_process_that_does_not_answer_is_not_waited_for(channels: list[Channel]) -> None:
    held = []
    channels[1].listen(held.append)
    assert await ask(channels[0], Kind.REPORT, 0.05) is None
    held[0].attached.close()


# Distribution


class FakeProcess:
    """A server process that keeps the connections that it is given."""

    def __init__(self, connections: int = 0) -> None:
        self.is_serving, self.is_silent, self.is_full = True, False, False
        self.connections = connections
        self.given = 0

    def give(self, connection: socket.socket) -> bool:
        if self.is_full:
            return False
        self.given += 1
        self.connections += 1
        return True


class Port:
    """A port whose connections a dealer gives to fake processes."""

    def __init__(self, *processes: FakeProcess) -> None:
        self.processes = processes
        self.listener = bind("127.0.0.1", 0)
        self.number = self.listener.getsockname()[1]
        self.dealer = ConnectionDealer(self.listener, lambda: self.processes)  # type: ignore[arg-type,return-value]
        self.clients: list[socket.socket] = []

    @property
    def given(self) -> list[int]:
        return [process.given for process in self.processes]

    async def connect(self, count: int) -> None:
        before = sum(self.given)
        self.clients += [socket.create_connection(("127.0.0.1", self.number)) for _ in range(count)]
        await until(lambda: sum(self.given) == before + count)

    def close(self) -> None:
        self.dealer.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def ports() -> Iterator[list[Port]]:
    made: list[Port] = []
    yield made
    for port in made:
        port.close()


async def test_connections_are_spread_evenly(ports: list[Port]) -> None:
    ports.append(Port(FakeProcess(), FakeProcess(), FakeProcess()))
    ports[0].dealer.begin()
    await ports[0].connect(90)
    assert ports[0].given == [30, 30, 30]


async def test_a_new_process_gets_connections_until_it_has_as_many(ports: list[Port]) -> None:
    ports.append(Port(FakeProcess(20), FakeProcess(0)))
    ports[0].dealer.begin()
    await ports[0].connect(30)
    assert ports[0].given == [5, 25]


async def test_silent_full_and_stopping_processes_get_no_connection(ports: list[Port]) -> None:
    silent, full, stopping, good = (FakeProcess(count) for count in (0, 0, 0, 9))
    silent.is_silent, full.is_full, stopping.is_serving = True, True, False
    ports.append(Port(silent, full, stopping, good))
    ports[0].dealer.begin()
    await ports[0].connect(10)
    assert ports[0].given == [0, 0, 0, 10]


async def test_silent_processes_get_connections_if_all_are(ports: list[Port]) -> None:
    silent = FakeProcess()
    silent.is_silent = True
    ports.append(Port(silent))
    ports[0].dealer.begin()
    await ports[0].connect(1)


async def test_connections_wait_while_no_process_serves(ports: list[Port]) -> None:
    process = FakeProcess()
    ports.append(Port(process))
    ports[0].dealer.begin()
    await ports[0].connect(1)
    process.is_serving = False
    connecting = asyncio.create_task(ports[0].connect(5))
    await asyncio.sleep(0.1)
    assert process.given == 1
    process.is_serving = True
    await connecting
    assert process.given == 6


async def test_the_port_refuses_connections_before_and_after(ports: list[Port]) -> None:
    ports.append(Port(FakeProcess()))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0].number))
    with pytest.raises(OSError, match="Address already in use"), closing(bind("127.0.0.1", ports[0].number)) as other:
        ports[0].dealer.begin()
        ConnectionDealer(other, list).begin()
    ports[0].dealer.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0].number))
