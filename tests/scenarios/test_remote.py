"""Remote agents over real links: with restarts, bad networks and zombies, everything is stored once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agents_app.remote import Fenced, Publisher, RemoteAnswer, transports
from agents_app.remote.transports import TransportLost
from sessions_app.core.errors import HoldfastError
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer
from tests.support.person import text_of
from tests.support.tcp_proxy import TcpProxy
from tests.support.tokens import KEYS, token

LEASE_S = 3
SETTINGS = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
    "HOLDFAST_JOURNAL_EVENTS": "20",
}
AGENT = "agent:billing"


def publisher(url: str, **options: Any) -> Publisher:
    options.setdefault("token", token(sub=AGENT, scope="publish"))
    return Publisher(url, producer="billing-agent", beat_s=LEASE_S / 6, **options)


@asynccontextmanager
async def following(server: Server, count: int = 1) -> AsyncIterator[tuple[Follower, list[str]]]:
    """A reader of several of its own sessions, in which no agent of the site answers."""
    async with Follower(server.url) as reader:
        sessions = [await reader.create_session(agent="") for _ in range(count)]
        yield await reader.follow(*sessions), sessions


async def in_thread(function: Callable[[], object]) -> None:
    await asyncio.to_thread(function)


async def test_an_agent_that_blocks_the_loop_interrupts_no_answer(
    start_shared_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_shared_server(**SETTINGS)
    async with following(server, 2) as (reader, sessions), publisher(server.url) as agent:
        writers = SessionWriters(agent, sessions)
        await reader.wait_until(lambda: all(reader.sessions[session].messages for session in sessions))
        time.sleep(1.5 * LEASE_S)
        await writers.end(reader)
    assert "the event loop has been held for" in caplog.text and "time.sleep(1.5 * LEASE_S)" in caplog.text


class SessionWriters:
    """An agent's answer in each of these sessions, which goes on until it is told that this is `enough`."""

    def __init__(self, agent: Publisher, sessions: list[str]) -> None:
        self.said: dict[str, list[str]] = {session: [] for session in sessions}
        self.enough = asyncio.Event()
        self._tasks = [asyncio.create_task(self._speak(agent, session)) for session in sessions]

    async def _speak(self, agent: Publisher, session: str) -> None:
        async with agent.answer(session) as answer:
            await answer.reasoning("Let me think.")
            call = await answer.tool("look", {"where": session})
            await call.output("found")
            await answer.step()
            while not self.enough.is_set():
                word = f"{session[:3]}-{len(self.said[session])}é "
                self.said[session].append(word)
                await answer.text(word)
                await asyncio.sleep(0.02)

    async def end(self, reader: Follower) -> None:
        """Let it finish; the reader has it all then, exactly."""
        self.enough.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), DEADLINE_S)
        for session, words in self.said.items():
            message = await reader.wait_for_end(session)
            assert (message.status, text_of(message)) == ("complete", "".join(words))
            assert (message.parts[1]["text"], message.parts[2]["output"]) == ("Let me think.", "found")
        assert (reader.taken_back, reader.resets) == ([], [])


async def more(reader: Follower, session: str) -> None:
    """Wait until the reader is shown more of an answer."""
    shown = len(reader.sessions[session].text)
    await reader.wait_until(lambda: len(reader.sessions[session].text) > shown + 50)


async def test_five_restarts_leave_every_answer_exact(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    async with following(server, 3) as (reader, sessions), publisher(server.url) as agent:
        writers = SessionWriters(agent, sessions)
        for _ in range(5):
            await more(reader, sessions[0])
            await in_thread(server.kill9)
            await in_thread(server.start)
        await more(reader, sessions[0])
        await writers.end(reader)


async def test_an_outage_longer_than_the_lease_interrupts_no_answer(
    start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server(**SETTINGS)
    async with following(server, 1) as (reader, sessions), publisher(server.url) as agent:
        writers = SessionWriters(agent, sessions)
        await more(reader, sessions[0])
        await in_thread(server.kill9)
        with caplog.at_level("INFO", logger="agents_app.remote.publisher"):
            async with asyncio.timeout(DEADLINE_S):
                away_s = time.monotonic() + LEASE_S + 1
                while time.monotonic() < away_s or caplog.text.count("can't be reached") < 6:
                    await asyncio.sleep(0.05)
        await in_thread(server.start)
        await more(reader, sessions[0])
        await writers.end(reader)


async def test_a_bad_network_leaves_every_answer_exact(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "ANSWER_S", 2.0)
    server = start_server(**SETTINGS | {"HOLDFAST_LEASE_MS": "60000"})
    with TcpProxy(server.port) as network:
        async with following(server, 2) as (reader, sessions), publisher(f"http://127.0.0.1:{network.port}") as agent:
            writers = SessionWriters(agent, sessions)
            for trouble in (network.cut, network.strand, lambda: network.drop("down"), lambda: network.drop("up")):
                await more(reader, sessions[0])
                trouble()
                if trouble != network.strand:
                    await asyncio.sleep(0.2)
                    await in_thread(network.cut)
            await more(reader, sessions[0])
            await writers.end(reader)


async def no_socket(url: str, token: str) -> Any:
    raise TransportLost("the proxy says no")


async def test_without_a_websocket_the_publisher_posts(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports.WebSocketTransport, "open", no_socket)
    server = start_server(**SETTINGS)
    async with following(server, 2) as (reader, sessions), publisher(server.url) as agent:
        writers = SessionWriters(agent, sessions)
        await more(reader, sessions[0])
        await in_thread(server.kill9)
        await in_thread(server.start)
        await more(reader, sessions[0])
        await writers.end(reader)
    assert "/publish/" in server.log


REFUSED: dict[str, Callable[[RemoteAnswer], Awaitable[object]]] = {
    "a long output": lambda answer: answer.data("x", "y" * 70_000),
    "half a surrogate pair": lambda answer: answer.data("x", "\ud83d"),
    "no number": lambda answer: answer.data("x", float("nan")),
    "no such call": lambda answer: answer.write({"type": "tool-output-denied", "toolCallId": "nothing"}),
    "longer than the site takes": lambda answer: answer.data("x", "y" * 20_000),
}


async def refused(agent: Publisher, session: str, write: Callable[[RemoteAnswer], Awaitable[object]]) -> HoldfastError:
    """Have an answer end by a refused chunk that waits with others; return its agent's exception."""
    with pytest.raises(HoldfastError) as raised:
        async with agent.answer(session) as answer:
            await answer.text("Let me ")
            await answer.flush()
            await answer.text("look.")
            await write(answer)
            await answer.text(" No.")
    return raised.value


@pytest.mark.parametrize("link", ["websocket", "http"])
async def test_a_refused_chunk_ends_its_answer_alone(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    if link == "http":
        monkeypatch.setattr(transports.WebSocketTransport, "open", no_socket)
    server = start_server(**SETTINGS | {"HOLDFAST_CHUNK_BYTES": "16384"})
    async with following(server, len(REFUSED)) as (reader, sessions), publisher(server.url) as agent:
        for session, write in zip(sessions, REFUSED.values(), strict=True):
            problem = await asyncio.wait_for(refused(agent, session, write), DEADLINE_S)
            message = await reader.wait_for_end(session)
            assert (message.status, message.reason, text_of(message)) == ("failed", problem.message, "Let me look.")
        long = "z" * 80_000 + "😀"
        async with agent.answer(sessions[0]) as answer:  # the publisher lives on
            for text in (long[:-1], "\ud83d", "\ude00"):
                await answer.text(text)
        await reader.wait_until(lambda: text_of(reader.messages(sessions[0])[-1]) == long)


async def test_a_zombie_is_fenced_by_its_successor(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    async with following(server, 2) as (reader, [session, other]), publisher(server.url) as zombie:
        answer = zombie.answer(session)
        await answer.begin()
        await answer.text("I was")
        await answer.flush()
        async with publisher(server.url) as successor:
            writers = SessionWriters(successor, [other])
            await more(reader, other)
            with pytest.raises(Fenced):
                await answer.text(" here")
                await answer.flush()
            message = await reader.wait_for_end(session, 10 * LEASE_S)
            assert (message.status, text_of(message)) == ("interrupted", "I was")
            with pytest.raises(Fenced):
                async with zombie.answer(session):
                    pass
            await writers.end(reader)


@pytest.mark.long
async def test_a_dead_publishers_open_answers_are_interrupted_across_restarts(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    async with following(server) as (reader, [session]):
        async with publisher(server.url) as agent:
            answer = agent.answer(session)
            await answer.begin()
            await answer.text("I will")
            await answer.flush()
            await asyncio.sleep(2 * LEASE_S)  # it says nothing, and lives
            await answer.text(" not finish")
            await answer.flush()
        await in_thread(server.kill9)
        await in_thread(server.start)
        message = await reader.wait_for_end(session, 10 * LEASE_S)
        assert (message.status, text_of(message)) == ("interrupted", "I will not finish")


async def test_a_fresh_token_replaces_an_expiring_one(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    given: list[str] = []

    async def fresh() -> str:
        now = int(time.time())
        given.append(token(sub=AGENT, scope="publish", iat=now, exp=now + 3))
        return given[-1]

    async with following(server) as (reader, [session]), publisher(server.url, token=fresh) as agent:
        writers = SessionWriters(agent, [session])
        await reader.wait_until(lambda: len(given) > 3)
        await more(reader, session)
        await writers.end(reader)


async def test_a_permanent_error_is_raised(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    for text, code in (
        ("nonsense", "bad_token"), (token(sub=AGENT, scope="read"), "forbidden_scope"),
        (token(sub=AGENT, scope="publish"), "not_found"),
    ):  # fmt: skip
        async with publisher(server.url, token=text) as agent:
            answer = agent.answer("A" * 22)
            await answer.begin()
            with pytest.raises(HoldfastError) as refused:
                await asyncio.wait_for(answer.flush(), DEADLINE_S)
            assert refused.value.code == code
