"""A rolling release: two servers behind nginx restart in turn, and no client loses a word."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.deployed_nginx import DeployedNginx
from tests.support.follower import Follower
from tests.support.harness import StartServer
from tests.support.person import text_of
from tests.support.publisher import Publisher, is_what_was_sent

CLIENTS, SESSIONS = 50, 5
DRAIN_MS = 1000
SETTINGS = {
    "HOLDFAST_DRAIN_MS": str(DRAIN_MS),
    "HOLDFAST_TAIL_POLL_MS": "200",  # there is no Redis between them
    "HOLDFAST_CONNECTIONS_PER_OWNER": str(2 * CLIENTS),
}


@pytest.mark.parametrize("command", [pytest.param("daphne", marks=pytest.mark.long), "uvicorn"])
async def test_fifty_clients_lose_nothing(start_server: StartServer, tmp_path: Path, command: str) -> None:
    servers = [start_server(command, **SETTINGS) for _ in range(2)]
    async with AsyncExitStack() as stack:
        nginx = stack.enter_context(DeployedNginx(server.port for server in servers))
        clients = [Follower(nginx.insecure_url) for _ in range(CLIENTS)]
        first = await stack.enter_async_context(clients[0])
        sessions = [await first.create_session() for _ in range(SESSIONS)]
        for client in clients[1:]:
            client.http.cookies = first.http.cookies  # one person, with many tabs
            stack.push_async_exit(client)
        follows = {client: sessions[number % SESSIONS] for number, client in enumerate(clients)}
        await asyncio.gather(*(client.follow(session) for client, session in follows.items()))
        publisher = Publisher(tmp_path, servers[0].environment, sessions, pace=20).start()  # a worker
        stack.callback(publisher.end)
        await asyncio.gather(*(goes_on(client, session) for client, session in follows.items()))
        for server in servers:
            assert await asyncio.to_thread(server.terminate) in (0, -15)
            await asyncio.gather(*(goes_on(client, session) for client, session in follows.items()))
            await asyncio.to_thread(server.start)
        assert await asyncio.to_thread(publisher.terminate) == 0
        for client, session in follows.items():
            message = await client.wait_for_end(session)
            assert message.status == "complete"
            assert is_what_was_sent(message.id, text_of(message))
            assert len(text_of(message)) == {note["session"]: note["length"] for note in publisher.notes}[session]
            assert (client.taken_back, client.resets) == ([], [])
        waits = [frame["reconnect_in_ms"] for client in clients for frame in client.frames if is_farewell(frame)]
        assert len(waits) >= CLIENTS  # each server had some, and at the second stop all
        assert max(waits) <= DRAIN_MS and max(waits) - min(waits) > DRAIN_MS / 2


async def goes_on(client: Follower, session: str) -> None:
    have = len(client.sessions[session].text)
    await client.wait_until(lambda: len(client.sessions[session].text) > have + 50)


def is_farewell(frame: dict[str, object]) -> bool:
    return frame["type"] == "going-away"
