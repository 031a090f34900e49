"""`manage.py serve`, piece by piece: uvicorn's options, channels, distribution, restarts, merged metrics."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.parser import text_string_to_metric_families

from sessions_app import conf
from sessions_app.servers import group_member, process_slot
from sessions_app.servers.connection_dealer import ConnectionDealer, bind
from sessions_app.servers.group_member import GroupMember
from sessions_app.servers.process_channel import END, Channel, Kind, Message, answer, ask, load_payload
from sessions_app.servers.process_slot import LONGEST_S, STEADY_S, Backoff
from sessions_app.servers.server_process import SILENT_S, Bounds, Callbacks, ServerProcess
from sessions_app.servers.supervisor import NoProcessStarts, Supervisor
from sessions_app.servers.uvicorn_options import longest_stop_s, uvicorn_config
from sessions_app.servers.uvicorn_websocket import SocketProtocol
from sessions_app.telemetry.process_metrics import Labelled, merge, supervision
from sessions_app.transports import probes
from tests.support.harness import DEADLINE_S


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


# Uvicorn's options


async def application(*_: Any) -> None: ...


def test_uvicorns_options_follow_the_settings(settings: Any) -> None:
    settings.HOLDFAST = {
        "FRAME_BYTES": 40_000, "PING_INTERVAL_S": 7, "PONG_TIMEOUT_S": 3, "DRAIN_MS": 2000, "MESSAGE_BYTES": 20_000,
    }  # fmt: skip
    config = uvicorn_config(application)
    assert config.ws_max_size == 80_000
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (7, 3)
    assert longest_stop_s() == 2 * 2 + 10


def test_uvicorns_other_options_are_fixed() -> None:
    config = uvicorn_config(application)
    assert (config.loop, config.http, config.ws, config.lifespan) == ("uvloop", "h11", SocketProtocol, "on")
    assert not any((config.ws_per_message_deflate, config.proxy_headers, config.server_header, config.access_log))
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (30, 10)


def test_the_checks_expect_the_processes_that_are_started(settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "PROCESSES": 3}
    conf.expect_processes(2)
    assert conf.settings.processes == 3
    conf.expect_processes(4)
    assert conf.settings.processes == 4


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


# Metrics


def exposition(number: int, requests: int) -> bytes:
    registry = CollectorRegistry()
    CounterMetric("requests", 'Requests with "quotes"', ["path"], registry=registry).labels("/a\n# b").inc(requests)
    Histogram("seconds", "Duration", buckets=(1, 2), registry=registry).observe(number)
    return generate_latest(Labelled(registry, number))


def test_merged_metrics_have_one_head_and_a_series_of_each_process() -> None:
    merged = merge([exposition(1, 10), exposition(2, 20), supervision({1: 1, 2: 3}, {1})])
    families = {family.name: family for family in text_string_to_metric_families(merged.decode())}
    assert set(families) == {"requests", "seconds", "holdfast_process_up", "holdfast_process_starts"}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["requests_total", ("path", "/a\n# b"), ("process", "2")] == 20
    assert values["seconds_sum", ("process", "1")] == 1
    assert values["holdfast_process_up", ("process", "2")] == 0
    assert values["holdfast_process_starts_total", ("process", "2")] == 3
    assert Counter(merged.split())[b"HELP"] == 4


def test_metrics_of_two_releases_have_one_head() -> None:
    merged = merge([b"# HELP a old\n# TYPE a gauge\na 1\n", b"# HELP a new\n# TYPE a gauge\na 2\n"])
    assert merged == b"# HELP a old\n# TYPE a gauge\na 1\na 2\n"


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupMember]:
    """This process as one of a group whose parent has ended."""
    ours, theirs = Channel.pair()
    theirs.close()
    made = GroupMember(1, Channel(ours), take=socket.socket.close, count_open=int)
    monkeypatch.setattr(group_member, "current", made)
    yield made
    ours.close()


async def test_metrics_without_an_answer_of_the_parent_are_an_error(member: GroupMember, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "METRICS_TOKEN": "scraper"}
    response = await probes.respond("GET", "metrics", "Bearer scraper", None)
    assert (response.status, response.body) == (503, b"the parent of the server processes does not answer\n")


async def test_a_process_of_a_server_that_stops_is_not_ready(member: GroupMember) -> None:
    class Running:
        class health:
            @staticmethod
            async def check() -> tuple[str, str]:
                return "", ""

    assert (await probes.respond("GET", "readyz", "", Running)).body == b"ready\n"  # type: ignore[arg-type]
    member.is_stopping = True
    response = await probes.respond("GET", "readyz", "", Running)  # type: ignore[arg-type]
    assert (response.status, response.body) == (503, b"the server is stopping\n")


async def test_a_member_takes_connections_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_member, "current", None)
    monkeypatch.setattr(group_member, "_reports", [lambda number: b"metrics of %d" % number])
    (ours, theirs), taken, heard = Channel.pair(), list[socket.socket](), list[Message]()
    parent, child = Channel(ours), Channel(theirs)
    parent.listen(heard.append)
    member = GroupMember(7, child, take=taken.append, count_open=lambda: 3)
    member.join()
    with socket.socket() as connection:
        parent.send(Kind.CONNECTION, attached=connection)
    assert await ask(parent, Kind.REPORT, DEADLINE_S) == b"metrics of 7"
    await until(lambda: len(taken) == 1 and len(heard) >= 2)
    assert [message.kind for message in heard[:2]] == [Kind.READY, Kind.LOAD]
    assert heard[1].load() == (0, 3)
    metrics = asyncio.create_task(member.metrics())
    await until(lambda: heard[-1].kind is Kind.METRICS)
    stream = heard[-1].attached
    assert stream is not None
    await answer(stream, b"of all")
    assert await metrics == b"of all"
    taken[0].close()
    parent.close()
    child.close()
