"""Several processes on one database: every reader gets all of every answer, with any channel layer between."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.services import Redis
from tests.support.follower import Follower
from tests.support.harness import StartServer
from tests.support.person import text_of
from tests.support.publisher import Publisher, is_what_was_sent

# Without a layer between them, the tail check alone finds what another process wrote.
QUICK = {"HOLDFAST_TAIL_POLL_MS": "200", "HOLDFAST_HEARTBEAT_MS": "1000"}


async def in_thread(function: object, *arguments: object) -> object:
    return await asyncio.to_thread(function, *arguments)  # type: ignore[arg-type]


async def check_end(reader: Follower, session: str, publisher: Publisher) -> None:
    message = await reader.wait_for_end(session, within=60)
    assert message.status == "complete"
    assert is_what_was_sent(message.id, text_of(message))
    assert len(text_of(message)) == publisher.notes[-1]["length"]
    followed = reader.sessions[session]
    assert (reader.taken_back, reader.resets, followed.gaps) == ([], [], 0)
    assert followed.serials == sorted(set(followed.serials))


async def test_two_servers_on_one_sqlite_file_are_correct(start_server: StartServer, tmp_path: Path) -> None:
    one = start_server(**QUICK)
    other = start_server(**QUICK)
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(Follower(one.url))
        elsewhere = await stack.enter_async_context(Follower(other.url))
        session = await reader.create_session()
        elsewhere.http.cookies = reader.http.cookies  # the same person, in another tab
        for tab in (reader, elsewhere):
            await tab.follow(session)
        publisher = Publisher(tmp_path, one.environment, [session], pace=100, length=300).start()
        assert await in_thread(publisher.wait, 60) == 0
        for tab in (reader, elsewhere):
            await check_end(tab, session, publisher)


async def test_a_message_to_one_server_is_answered_and_read_at_another(start_server: StartServer) -> None:
    one = start_server(**QUICK, HOLDFAST_RUNS_PER_PROCESS="0")
    other = start_server(**QUICK, HOLDFAST_DEMO_TOKENS_PER_S="2000")
    async with Follower(one.url) as reader, Follower(other.url) as elsewhere:
        session = await reader.create_session()
        elsewhere.http.cookies = reader.http.cookies
        for tab in (reader, elsewhere):
            await tab.follow(session)
        await reader.say(session, "Hello")  # this server has no agents
        for tab in (reader, elsewhere):
            assert (await tab.wait_for_end(session)).status == "complete"
        assert reader.sessions[session].text == elsewhere.sessions[session].text != ""


async def test_a_signal_sent_to_two_servers_counts_once(start_server: StartServer) -> None:
    one = start_server(**QUICK, HOLDFAST_DEMO_TOKENS_PER_S="5000")
    other = start_server(**QUICK, HOLDFAST_DEMO_TOKENS_PER_S="5000")
    async with Follower(one.url) as reader, Follower(other.url) as elsewhere:
        session = await reader.create_session()
        elsewhere.http.cookies = reader.http.cookies
        for tab in (reader, elsewhere):
            await tab.follow(session)
        await asyncio.gather(*(tab.say(session, "Hello", id="one-signal") for tab in (reader, elsewhere)))
        receipts = [tab.receipts["one-signal"] for tab in (reader, elsewhere)]
        assert receipts[0] == receipts[1]
        for tab in (reader, elsewhere):
            await tab.wait_for_end(session)
            assert [message.role for message in tab.messages(session)] == ["user", "assistant"]


async def test_with_redis_no_event_waits_for_the_tail_check(
    start_server: StartServer, redis: Redis, tmp_path: Path
) -> None:
    settings = {"HOLDFAST_REDIS": redis.url, "HOLDFAST_TAIL_POLL_MS": "60000"}
    server = start_server(**settings)
    async with Follower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publisher = Publisher(tmp_path, server.environment, [session], pace=100, length=200).start()
        assert await in_thread(publisher.wait, 60) == 0
        await check_end(reader, session, publisher)
        assert len(reader.sessions[session].attached) == 1
        assert len(reader.sessions[session].serials) == reader.sessions[session].cursor.serial


@pytest.mark.parametrize("fault", ["killed", pytest.param("frozen", marks=pytest.mark.long)])
async def test_a_redis_failure_mid_answer_loses_nothing(
    start_server: StartServer, redis: Redis, tmp_path: Path, fault: str
) -> None:
    settings = QUICK | {"HOLDFAST_REDIS": redis.url}
    one, other = start_server(**settings), start_server(**settings)
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(Follower(server.url)) for server in (one, other)]
        sessions = [await reader.create_session() for reader in readers]
        for reader, session in zip(readers, sessions, strict=True):
            await reader.follow(session)
        publishers = [Publisher(tmp_path, one.environment, [session], pace=50).start() for session in sessions]
        for reader, session in zip(readers, sessions, strict=True):
            await reader.wait_until(lambda reader=reader, session=session: len(reader.sessions[session].text) > 200)
        if fault == "killed":
            redis.stop(signal.SIGKILL)
        else:
            redis.freeze()
        for reader, session in zip(readers, sessions, strict=True):
            have = len(reader.sessions[session].text)
            await reader.wait_until(
                lambda reader=reader, session=session, have=have: len(reader.sessions[session].text) > have + 200
            )
        newcomer = await stack.enter_async_context(Follower(other.url))
        newcomer.http.cookies = readers[0].http.cookies
        await newcomer.follow(sessions[0])  # doesn't need the layer either
        if fault == "killed":
            await in_thread(redis.start)
        else:
            redis.thaw()
        for publisher in publishers:
            assert await in_thread(publisher.terminate) == 0
        for reader, session, publisher in zip(readers, sessions, publishers, strict=True):
            await check_end(reader, session, publisher)
        await check_end(newcomer, sessions[0], publishers[0])


async def test_live_frames_arrive_by_hint_again_after_each_redis_fault(
    start_server: StartServer, redis: Redis, tmp_path: Path
) -> None:
    settings = {"HOLDFAST_REDIS": redis.url, "HOLDFAST_TAIL_POLL_MS": "60000"}  # it would come too late
    one, other = start_server(**settings), start_server(**settings)
    async with Follower(one.url) as reader, Follower(other.url) as elsewhere:
        session = await reader.create_session()
        elsewhere.http.cookies = reader.http.cookies
        tabs = reader, elsewhere
        for tab in tabs:
            await tab.follow(session)
        publisher = Publisher(tmp_path, one.environment, [session], pace=50).start()  # a third process
        await more_arrives(session, *tabs)
        redis.stop(signal.SIGKILL)
        await in_thread(redis.start)
        await more_arrives(session, *tabs)
        redis.ask("CLIENT KILL TYPE pubsub")
        await more_arrives(session, *tabs)
        redis.freeze()
        have = publisher.notes[-1]["length"]
        while publisher.notes[-1]["length"] < have + 200:  # nobody waits for Redis
            await asyncio.sleep(0.05)
        redis.thaw()
        await more_arrives(session, *tabs)
        redis.ask("FLUSHALL")
        await more_arrives(session, *tabs)
        assert await in_thread(publisher.terminate) == 0
        for tab in tabs:
            await check_end(tab, session, publisher)
            assert len(tab.sessions[session].attached) == 1


async def more_arrives(session: str, *tabs: Follower) -> None:
    for tab in tabs:
        have = len(tab.sessions[session].text)
        await tab.wait_until(lambda tab=tab, have=have: len(tab.sessions[session].text) > have + 100)
