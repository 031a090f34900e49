"""`kill -9` at random moments: nothing acknowledged or shown is lost, and every answer ends."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from sessions_app.core.fold import MessageState, ended
from tests.support.follower import Follower
from tests.support.harness import Server, StartServer
from tests.support.person import Person, text_of
from tests.support.publisher import Publisher, is_what_was_sent

LEASE_S = 3
SETTINGS = {
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
    "HOLDFAST_DEMO_TOKENS_PER_S": "20",
    "HOLDFAST_JOURNAL_EVENTS": "20",
}


@pytest.fixture
def publishers(tmp_path: Path) -> Iterator[list[Publisher]]:
    """The publishers that a test starts; those still running at its end are killed."""
    started: list[Publisher] = []
    yield started
    for publisher in started:
        publisher.end()
        print(publisher.log)


async def in_thread(function: object, *arguments: object) -> object:
    """Let clients go on meanwhile."""
    return await asyncio.to_thread(function, *arguments)  # type: ignore[arg-type]


async def test_an_answer_written_by_another_process_continues_while_the_server_is_dead(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    server = start_server(**SETTINGS)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = Publisher(tmp_path, server.environment, [session], pace=100)
        publishers.append(publisher.start())
        await reader.wait_until(lambda: len(reader.sessions[session].text) > 100)
        server.kill9()
        before = len(publisher.notes)
        publisher.wait_until_heard(more_than=before)
        await in_thread(server.start)
        assert await in_thread(publisher.terminate) == 0
        message = await reader.wait_for_end(session)
        assert (message.status, len(text_of(message))) == ("complete", publisher.notes[-1]["length"])
        assert is_what_was_sent(message.id, text_of(message))
        assert (reader.taken_back, reader.resets, reader.sessions[session].gaps) == ([], [], 0)


async def test_a_killed_processs_answer_ends_within_its_lease(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    server = start_server(**SETTINGS)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = Publisher(tmp_path, server.environment, [session], pace=100)
        publishers.append(publisher.start())
        await reader.wait_until(lambda: len(reader.sessions[session].text) > 100)
        publisher.kill9()
        # A server that itself stands still starts to count anew, so a busy machine takes a few leases.
        message = await reader.wait_for_end(session, 10 * LEASE_S)
        assert message.status == "interrupted"
        assert len(text_of(message)) >= publisher.notes[-1]["length"]


@pytest.mark.long
async def test_a_killed_servers_answer_ends_when_it_returns(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        await reader.say(session, "Hello")
        await reader.wait_until(lambda: len(reader.sessions[session].messages) == 2 and reader.sessions[session].text)
        server.kill9()
        await in_thread(server.start)
        message = await reader.wait_for_end(session)
        assert message.status == "interrupted"
        assert reader.taken_back == []


@pytest.mark.parametrize("seed", [1])
async def test_kills_at_random_moments(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path, seed: int
) -> None:
    await kill_at_random(start_server, publishers, tmp_path, Random(seed), kills=5, answers=20)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2])
async def test_fifty_kills_at_random_moments(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path, seed: int
) -> None:
    await kill_at_random(start_server, publishers, tmp_path, Random(seed), kills=50, answers=20)


async def kill_at_random(
    start_server: StartServer, publishers: list[Publisher], place: Path, random: Random, *, kills: int, answers: int
) -> None:
    """A quarter of the answers comes from agents in the server, the others from three processes."""
    server = start_server(**SETTINGS)
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(Follower(server.url)) for _ in range(4)]
        sessions = {reader: [await reader.create_session() for _ in range(answers // 4)] for reader in readers}
        for reader in readers:
            await reader.follow(*sessions[reader])
        for reader in readers[1:]:
            publishers.append(Publisher(place, server.environment, sessions[reader], pace=20).start())
        for publisher in publishers:
            await in_thread(publisher.wait_until_heard)
        for _ in range(kills):
            await ask(readers[0])
            await asyncio.sleep(random.uniform(0.1, 1.0))
            victim = random.choice([server, *publishers])
            victim.kill9()
            await in_thread(victim.start)
        for publisher in publishers:
            await in_thread(publisher.wait_until_heard)
            # One that was killed a moment ago may not have begun again: it has no handler yet that says 0.
            assert await in_thread(publisher.terminate) in (0, -signal.SIGTERM)
        for reader in readers:
            await reader.wait_until(lambda reader=reader: reader.all_answered() and reader.close_code is None, 90)
            assert (reader.taken_back, reader.resets) == ([], [])
            assert [followed.gaps for followed in reader.sessions.values()] == [0] * len(sessions[reader])
            await check_against_store(server, reader)
        for publisher, reader in zip(publishers, readers[1:], strict=True):
            check_acknowledged(publisher, reader)


async def ask(reader: Follower) -> None:
    """Give the server's agents an answer to write, if it is up and they have none."""
    for session in reader.following:
        messages = reader.messages(session)
        if reader.close_code is None and (not messages or (messages[-1].role == "assistant" and ended(messages[-1]))):
            try:
                await reader.say(session, f"Question {len(messages)}")
            except Exception:
                return  # killed in the middle: the next round asks again


def check_acknowledged(publisher: Publisher, reader: Follower) -> None:
    acknowledged = {(note["session"], note["uid"]): note for note in publisher.notes}
    assert acknowledged
    for (session, uid), note in acknowledged.items():
        message = reader.sessions[session].messages[uid]
        assert len(text_of(message)) >= note["length"], f"{uid} lost what was acknowledged"
        assert message.status == ("complete" if note["ended"] else "interrupted")
    for session in reader.following:
        for message in reader.messages(session):
            assert is_what_was_sent(message.id, text_of(message)), f"{message.id}: {text_of(message)}"


async def check_against_store(server: Server, reader: Follower) -> None:
    """A new tab of the same person gets the same."""
    async with Person(server.url) as tab:
        tab.http.cookies = reader.http.cookies
        await tab.connect()
        for session in reader.following:
            followed = await tab.attach(session, rewind=200)
            assert outcome(followed.messages) == outcome(reader.sessions[session].messages)
            assert followed.cursor == reader.sessions[session].cursor


def outcome(messages: dict[str, MessageState]) -> list[tuple[str, str, str | None, list[object]]]:
    return [(message.id, message.status, message.reason, list(message.parts)) for message in messages.values()]
