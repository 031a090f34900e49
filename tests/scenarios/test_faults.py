"""Faults below the processes: a full disk, a locked database, a changed clock, a frozen process."""

import asyncio
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, wait_for
from tests.support.person import text_of
from tests.support.publisher import Publisher, is_what_was_sent
from tests.support.wall_clock import set_clock

LEASE_S = 3
SETTINGS = {
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
    "HOLDFAST_DEMO_TOKENS_PER_S": "30",
    "HOLDFAST_TAIL_POLL_MS": "200",
}


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Callable[..., Publisher]]:
    """Start publishers; those still running at the test's end are killed."""
    started: list[Publisher] = []

    def start(server: Server, session: str, *, pace: float = 50, **environment: str) -> Publisher:
        publisher = Publisher(tmp_path, server.environment | environment, [session], pace=pace)
        started.append(publisher.start())
        return publisher

    yield start
    for publisher in started:
        publisher.end()
        print(publisher.log)


async def in_thread(function: object, *arguments: object) -> object:
    return await asyncio.to_thread(function, *arguments)  # type: ignore[arg-type]


def database(server: Server) -> Path:
    return Path(server.database.removeprefix("sqlite:///"))


def tail(server: Server, session: str) -> int:
    """Return the serial of the last stored event."""
    with closing(sqlite3.connect(database(server), timeout=DEADLINE_S)) as store:
        stored: int = store.execute("SELECT tail FROM sessions_app_session WHERE id = ?", [session]).fetchone()[0]
        return stored


def grows_no_more(pid: int, path: Path) -> None:
    """Simulate a full disk: no file of this process may become larger than the database is now."""
    largest = max(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))


def grows_again(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_with_a_full_disk_nothing_unstored_is_shown_and_nothing_is_lost(
    start_server: StartServer, publish: Callable[..., Publisher]
) -> None:
    # Only the publisher's disk is full: it can't show that it lives, and the server could, and would, end its answer.
    server = start_server(**SETTINGS | {"HOLDFAST_LEASE_MS": "600000"})

    async def wait_refused(times: int) -> None:
        await in_thread(wait_for, lambda: publisher.log.count("not stored") >= times, DEADLINE_S, lambda: publisher.log)

    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        followed = reader.sessions[session]
        publisher = publish(server, session)
        await reader.wait_until(lambda: len(followed.text) > 300)
        assert publisher.process
        grows_no_more(publisher.process.pid, database(server))
        await wait_refused(2)  # with the first, it may not have noted yet what was stored before
        await reader.wait_until(lambda: followed.cursor.serial == tail(server, session))
        shown, acknowledged = len(followed.text), len(publisher.notes)
        await wait_refused(4)
        assert len(publisher.notes) == acknowledged
        assert len(followed.text) == shown
        grows_again(publisher.process.pid)
        await in_thread(publisher.wait_until_heard, 0, acknowledged)
        assert await in_thread(publisher.terminate) == 0
        message = await reader.wait_for_end(session)
        assert (message.status, len(text_of(message))) == ("complete", publisher.notes[-1]["length"])
        assert is_what_was_sent(message.id, text_of(message))
        assert (reader.taken_back, reader.resets, followed.gaps) == ([], [], 0)


async def test_with_a_full_server_disk_users_are_told_and_may_retry(start_server: StartServer) -> None:
    server = start_server(**SETTINGS, HOLDFAST_RUNS_PER_PROCESS="0")
    async with Follower(server.url) as person:
        session = await person.create_session()
        await person.follow(session)
        grows_no_more(server.pid, database(server))
        accepted = -1
        receipt = {"status": "accepted"}
        while receipt["status"] == "accepted":
            accepted += 1
            receipt = person.receipts[await person.say(session, "x" * 30_000, id=f"signal-{accepted}")]
        assert (receipt["error"]["code"], receipt["error"]["retryable"]) == ("storage_unavailable", True)
        await person.wait_until(lambda: len(person.messages(session)) == accepted)
        grows_again(server.pid)
        del person.receipts[receipt["id"]]
        await person.say(session, "x" * 30_000, id=receipt["id"])
        assert person.receipts[receipt["id"]]["status"] == "accepted"
        await person.wait_until(lambda: len(person.messages(session)) == accepted + 1)
        assert [message.id for message in person.messages(session)] == [f"signal-{n}" for n in range(accepted + 1)]


@pytest.mark.long
async def test_a_locked_database_delays_answers_and_ends_none(
    start_server: StartServer, publish: Callable[..., Publisher]
) -> None:
    """Longer than a lease: who can't write can't show that he lives, and nobody may hold that against him."""
    server = start_server(**SETTINGS)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = publish(server, session)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > 300)
        lock = sqlite3.connect(database(server), isolation_level=None, timeout=DEADLINE_S)
        lock.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(2 * LEASE_S)
        lock.execute("ROLLBACK")
        lock.close()
        before = len(publisher.notes)
        await in_thread(publisher.wait_until_heard, 0, before)
        await asyncio.sleep(LEASE_S)
        assert await in_thread(publisher.terminate) == 0
        message = await reader.wait_for_end(session)
        assert (message.status, len(text_of(message))) == ("complete", publisher.notes[-1]["length"])
        assert is_what_was_sent(message.id, text_of(message))


async def test_a_publisher_frozen_beyond_its_lease_is_fenced(
    start_server: StartServer, publish: Callable[..., Publisher]
) -> None:
    server = start_server(**SETTINGS)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = publish(server, session)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > 300)
        await in_thread(freeze_outside_a_transaction, publisher, database(server))
        message = await reader.wait_for_end(session)
        text = text_of(message)
        assert message.status == "interrupted"
        publisher.signal(signal.SIGCONT)
        await in_thread(wait_for, lambda: publisher.notes[-1]["error"], DEADLINE_S, lambda: publisher.log)
        assert publisher.notes[-1]["error"] == "fenced"
        assert await in_thread(publisher.wait) == 0
        turn = await reader.say(session, "Is there more?")  # what the publisher had stored would come before it
        await reader.wait_until(lambda: turn in reader.sessions[session].messages)
        assert text_of(reader.messages(session)[0]) == text
        assert is_what_was_sent(message.id, text)
        assert reader.taken_back == []


def freeze_outside_a_transaction(publisher: Publisher | Server, path: Path) -> None:
    """Freeze a process that does not hold SQLite's write lock, with which it would stop every writer."""
    while True:
        publisher.signal(signal.SIGSTOP)
        probe = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        try:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            publisher.signal(signal.SIGCONT)
            time.sleep(0.01)
        finally:
            probe.close()


@pytest.mark.long
async def test_a_frozen_server_resumes_with_every_client(start_server: StartServer) -> None:
    server = start_server(**SETTINGS | {"HOLDFAST_DEMO_TOKENS_PER_S": "150"})
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        await reader.say(session, "Hello")
        await reader.wait_until(lambda: len(reader.messages(session)) == 2 and reader.sessions[session].text)
        server.freeze()
        await asyncio.sleep(2 * LEASE_S)
        server.thaw()
        message = await reader.wait_for_end(session, 90)
        assert message.status == "complete"
        assert (reader.taken_back, reader.resets, reader.sessions[session].gaps) == ([], [], 0)


# Clocks


@pytest.mark.parametrize("hours", [30, pytest.param(-30, marks=pytest.mark.long)])
async def test_a_changed_clock_ends_no_answer_and_loses_nothing(
    start_server: StartServer, publish: Callable[..., Publisher], tmp_path: Path, hours: int
) -> None:
    """The wall clock of the server jumps, the publisher's doesn't; nor does either's monotonic clock."""
    clock = tmp_path / "clock"
    set_clock(clock, 0)
    server = start_server("wall-clock", **SETTINGS, WALL_CLOCK=str(clock), HOLDFAST_RUNS_PER_PROCESS="0")
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = publish(server, session)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > 300)
        set_clock(clock, hours * 3600)
        answer = reader.messages(session)[0].id
        await asyncio.sleep(2 * LEASE_S)
        turn = await reader.say(session, "What is the time?")
        await reader.wait_until(lambda: turn in reader.sessions[session].messages)
        jumped = reader.sessions[session].messages[turn].created_at / 1000 - time.time()
        assert abs(jumped - hours * 3600) < 60
        assert await in_thread(publisher.terminate) == 0
        await reader.wait_until(reader.all_ended)
        message = reader.sessions[session].messages[answer]
        assert (message.status, len(text_of(message))) == ("complete", publisher.notes[-1]["length"])
        assert (reader.taken_back, reader.resets, reader.sessions[session].gaps) == ([], [], 0)
        assert reader.connections == 1
