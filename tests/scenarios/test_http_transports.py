"""The HTTP transports on real servers: exact text despite cuts, kills, changes and stops."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest

from sessions_app.api.schema import CURL_POLL
from sessions_app.core.cursor import Cursor
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, environment_of, guest, manage, wait_for
from tests.support.http_followers import EventSourceFollower, HttpFollower, PollFollower, StreamFollower
from tests.support.person import Followed, text_of
from tests.support.publisher import Publisher, is_what_was_sent
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_hopper import TransportHopper

QUICK = {"HOLDFAST_TAIL_POLL_MS": "200", "HOLDFAST_RUNS_PER_PROCESS": "0"}
HTTP: list[type[HttpFollower]] = [EventSourceFollower, StreamFollower, PollFollower]
SERVERS = pytest.mark.parametrize("command", ["runserver", pytest.param("uvicorn", marks=pytest.mark.long)])
MANY = httpx.Limits(max_connections=200, max_keepalive_connections=0)
# The loop of the API's description, at this server and with these cookies.
LONG_POLL = CURL_POLL.replace("-b cookies.txt", '-b "$cookies"')


@pytest.fixture
def publishers() -> Iterator[list[Publisher]]:
    started: list[Publisher] = []
    yield started
    for publisher in started:
        publisher.end()
        print(publisher.log)


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Let clients go on meanwhile."""
    return await asyncio.to_thread(function, *arguments)


async def followers(stack: AsyncExitStack, url: str, session: str, owner: Follower) -> list[HttpFollower]:
    """A follower on each HTTP transport, all of the same user."""
    readers = [await stack.enter_async_context(kind(url)) for kind in HTTP]
    for reader in readers:
        reader.http.cookies = owner.http.cookies
        reader.http.headers["X-CSRFToken"] = owner.http.cookies["csrftoken"]
        await reader.follow(session)
    return readers


async def check_end(reader: Follower, session: str, publisher: Publisher) -> None:
    message = await reader.wait_for_end(session, within=60)
    assert message.status == "complete"
    assert is_what_was_sent(message.id, text_of(message))
    assert len(text_of(message)) == publisher.notes[-1]["length"]
    assert (reader.taken_back, reader.resets) == ([], [])


# Exact text


@SERVERS
async def test_streams_and_polls_cut_at_random_get_the_exact_text(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path, command: str
) -> None:
    random = Random(4)
    server = start_server(command, **QUICK)
    with TcpProxy(server.port) as proxy:
        async with AsyncExitStack() as stack:
            owner = await stack.enter_async_context(Follower(server.url))
            session = await owner.create_session()
            readers = await followers(stack, f"http://127.0.0.1:{proxy.port}", session, owner)
            publishers.append(Publisher(tmp_path, server.environment, [session], pace=200).start())
            for _ in range(12):
                await asyncio.sleep(random.uniform(0.02, 0.4))
                await in_thread(proxy.cut)
            assert await in_thread(publishers[0].terminate) == 0
            for reader in readers:
                await check_end(reader, session, publishers[0])
            assert readers[0].connections > 6


async def test_clients_of_a_killed_server_continue_at_the_next(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    server = start_server(**QUICK)
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(Follower(server.url))
        session = await owner.create_session()
        readers = await followers(stack, server.url, session, owner)
        publishers.append(Publisher(tmp_path, server.environment, [session], pace=100).start())
        for reader in readers:
            await reader.wait_until(lambda reader=reader: len(reader.sessions[session].text) > 100, within=30)
        server.kill9()
        publishers[0].wait_until_heard(more_than=len(publishers[0].notes))
        await in_thread(server.start)
        assert await in_thread(publishers[0].terminate) == 0
        for reader in readers:
            await check_end(reader, session, publishers[0])


@pytest.mark.long
async def test_a_hundred_transport_changes_during_one_answer(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    server = start_server(**QUICK)
    async with TransportHopper(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publishers.append(Publisher(tmp_path, server.environment, [session], pace=100).start())
        await reader.wait_until(lambda: len(reader.hops) >= 100, within=90)
        assert await in_thread(publishers[0].terminate) == 0
        await check_end(reader, session, publishers[0])
        changes = sum(one != other for one, other in zip(reader.hops, reader.hops[1:], strict=False))
        assert changes > 50


@pytest.mark.long
async def test_each_request_may_go_to_another_process(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    one, other = start_server(**QUICK), start_server("uvicorn", **QUICK)
    async with TransportHopper(one.url, other.url, seed=2) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        publishers.append(Publisher(tmp_path, one.environment, [session], pace=100).start())
        await reader.wait_until(lambda: len(reader.hops) >= 40, within=90)
        assert await in_thread(publishers[0].terminate) == 0
        await check_end(reader, session, publishers[0])
        assert len(reader.routes) == 6  # three transports of two servers


async def test_a_curl_loop_gets_the_exact_text(
    start_server: StartServer, publishers: list[Publisher], tmp_path: Path
) -> None:
    server = start_server(**QUICK)
    async with PollFollower(server.url) as reader:
        session = await reader.create_session()
        cookies = "; ".join(f"{name}={value}" for name, value in reader.http.cookies.items())
        answers = tmp_path / "answers"
        variables = {"api": f"{server.url}/api", "session": session, "cookies": cookies}
        with answers.open("wb") as file:
            loop = subprocess.Popen(["bash", "-c", LONG_POLL], env=server.environment | variables, stdout=file)
        try:
            publisher = Publisher(tmp_path, server.environment, [session], pace=100, length=200)
            publishers.append(publisher.start())
            assert await in_thread(publisher.wait, 60) == 0
            wait_for(
                lambda: '"type":"finish"' in answers.read_text() or '"complete"' in answers.read_text(), DEADLINE_S, str
            )
        finally:
            loop.kill()
        reader.sessions[session] = Followed(Cursor("none", 0))
        lines = answers.read_text().splitlines()
        for line in lines:
            for frame in json.loads(line)["frames"]:
                await reader._take_one(frame)
        assert len(lines) > 3
        await check_end(reader, session, publisher)


@SERVERS
async def test_a_steady_reader_gets_every_event_and_is_never_behind(start_server: StartServer, command: str) -> None:
    small = {"HOLDFAST_WINDOW_BYTES": "2048", "HOLDFAST_ACK_BYTES": "512"}  # much less than the answer takes
    server = start_server(command, **small, HOLDFAST_DEMO_TOKENS_PER_S="1000", HOLDFAST_ROLLUP_MS="0")
    async with EventSourceFollower(server.url) as reader:
        session = await reader.create_session()
        await reader.follow(session)
        await reader.say(session, "What is a durable session?")
        assert (await reader.wait_for_end(session)).status == "complete"
        followed = reader.sessions[session]
        assert followed.serials == list(range(1, followed.cursor.serial + 1))
        assert (len(followed.attached), reader.connections) == (1, 1)


# Ends


@pytest.mark.parametrize("command", ["runserver", "uvicorn"])
async def test_a_stopping_server_ends_streams_and_polls_with_a_reconnection_time(
    start_server: StartServer, command: str
) -> None:
    server = start_server(command, HOLDFAST_DRAIN_MS="3000", HOLDFAST_CONNECTIONS_PER_OWNER="8")
    headers = guest(server)
    session = create_session(server, headers)
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        address = f"/api/sessions/{session}/poll/"
        cursor = (await client.get(address, params={"wait_ms": 0})).json()["cursor"]
        seen: list[dict[str, Any]] = []
        streams = [asyncio.create_task(whole_stream(client, session, seen)) for _ in range(5)]
        async with asyncio.timeout(DEADLINE_S):
            while len(seen) < 10:  # all have their `connected` and `attached`
                await asyncio.sleep(0.05)
            polls = [asyncio.create_task(admitted(client, address, cursor=cursor)) for _ in range(3)]
            while (await client.get(address, params={"wait_ms": 0})).status_code != 429:  # all polls are waiting
                await asyncio.sleep(0.05)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        for frames in [*await asyncio.gather(*streams), *[a.json()["frames"] for a in await asyncio.gather(*polls)]]:
            assert frames[0]["type"] == "connected"
            [away] = [frame for frame in frames if frame["type"] == "going-away"]  # or before an answer that was due
            assert 0 <= away["reconnect_in_ms"] <= 3000
        assert await in_thread(server.wait) == (0 if command == "runserver" else -signal.SIGTERM)
        assert time.monotonic() - began < 20  # an undisturbed poll takes longer
    assert "Traceback" not in server.log and "ERROR" not in server.log


async def admitted(client: httpx.AsyncClient, address: str, **params: str) -> httpx.Response:
    """The answer of a poll, which asks again while there are too many."""
    while (answer := await client.get(address, params=params)).status_code == 429:
        await asyncio.sleep(0.05)
    return answer


async def whole_stream(
    client: httpx.AsyncClient, session: str, seen: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Yield all frames of a stream with a proper HTTP end (httpx raises otherwise), each also to `seen` as it comes."""
    frames = []
    async with client.stream("GET", f"/api/sessions/{session}/stream/") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                frames.append(json.loads(line[6:]))
                if seen is not None:
                    seen.append(frames[-1])
    return frames


def held(server: Server) -> int:
    """Return the number of a server's connections."""
    listing = subprocess.run(["ss", "-tnH", "state", "established", f"sport = :{server.port}"], capture_output=True)
    return len(listing.stdout.splitlines())


@SERVERS
async def test_a_client_that_leaves_frees_its_place(start_server: StartServer, command: str) -> None:
    server = start_server(command, HOLDFAST_CONNECTIONS_PER_OWNER="1")
    headers = guest(server)
    session = create_session(server, headers)
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        cursor = (await client.get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
        for path in (f"/api/sessions/{session}/stream/", f"/api/sessions/{session}/poll/?cursor={cursor}"):
            async with asyncio.timeout(DEADLINE_S):
                leaving = asyncio.create_task(client.get(path))
                while await polled(client, session) != 429:
                    if leaving.done():  # a poll of ours was in its place
                        leaving = asyncio.create_task(client.get(path))
                    await asyncio.sleep(0.1)
            leaving.cancel()
            async with asyncio.timeout(15):
                while await polled(client, session) != 200:
                    await asyncio.sleep(0.02)


async def polled(client: httpx.AsyncClient, session: str) -> int:
    return (await client.get(f"/api/sessions/{session}/poll/?wait_ms=0")).status_code


def test_a_response_that_fails_midway_is_cut_and_affects_no_other(start_server: StartServer) -> None:
    server = start_server("daphne", application="tests.support.echo_application:application")
    for _ in range(3):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            httpx.get(f"{server.url}/breaks", timeout=DEADLINE_S)
    time.sleep(2.5)  # Daphne looks after what has ended once a second
    assert httpx.get(f"{server.url}/", timeout=DEADLINE_S).text == "ok"
    assert server.log.count("RuntimeError: no more today") == 3
    assert "Unhandled" not in server.log and "already been started" not in server.log


@SERVERS
async def test_signing_out_ends_an_open_stream_and_a_poll_within_seconds(
    start_server: StartServer, command: str
) -> None:
    server = start_server(command, HOLDFAST_RECHECK_MS="200")
    async with signed_in(server) as client:
        session = (await client.post("/api/sessions/", json={})).json()["id"]
        cursor = (await client.get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
        seen: list[dict[str, Any]] = []
        stream = asyncio.create_task(whole_stream(client, session, seen))
        poll = asyncio.create_task(client.get(f"/api/sessions/{session}/poll/", params={"cursor": cursor}))
        async with asyncio.timeout(DEADLINE_S):
            while len(seen) < 2:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)  # nothing tells when the poll is held
        assert not stream.done() and not poll.done()
        assert (await client.post("/logout/")).status_code == 302
        frames = await asyncio.wait_for(stream, 20)
        assert (frames[-1]["type"], frames[-1]["code"]) == ("error", "signed_out")
        assert (await asyncio.wait_for(poll, 20)).json()["frames"][-1]["code"] == "signed_out"
        assert (await client.get(f"/api/sessions/{session}/poll/")).status_code in (401, 404)


@contextlib.asynccontextmanager
async def signed_in(server: Server) -> Any:
    """A client with a new login."""
    server.manage(
        "shell", "-c",
        "from django.contrib.auth import get_user_model as m; m().objects.create_user('ann', password='pw-of-ann')",
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        page = await client.get("/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": "ann", "password": "pw-of-ann", "csrfmiddlewaretoken": token[1]}
        assert (await client.post("/login/", data=form)).status_code == 302
        client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
        yield client


# Cost


@SERVERS
async def test_open_streams_hold_no_database_connection(
    start_server: StartServer, postgres_url: str, command: str
) -> None:
    """Of PostgreSQL's there are few, and Django gives each request one, in which it asks who is signed in."""
    with psycopg.connect(postgres_url, autocommit=True) as database:
        name = f"streams_{command}"
        database.execute(f"CREATE DATABASE {name}")
        url = postgres_url.replace("/postgres", f"/{name}")
        server = start_server(
            command,
            database=migrate(url),
            HOLDFAST_CONNECTIONS_PER_OWNER="100",
            HOLDFAST_DATABASE_POOL="8",
            HOLDFAST_POLL_MS="120000",
        )
        async with signed_in(server) as client:
            session = (await client.post("/api/sessions/", json={})).json()["id"]
            cursor = (await client.get(f"/api/sessions/{session}/poll/?wait_ms=0")).json()["cursor"]
            idle = httpx.AsyncClient(base_url=server.url, cookies=client.cookies, limits=MANY, timeout=60)
            async with idle as many:
                polled = f"/api/sessions/{session}/poll/?cursor={cursor}"
                waiting = [asyncio.create_task(whole_stream(many, session)) for _ in range(30)]
                waiting += [asyncio.create_task(many.get(polled)) for _ in range(30)]
                await in_thread(wait_for, lambda: held(server) >= 60, DEADLINE_S, lambda: "they don't come")
                assert (await client.get("/api/sessions/")).status_code == 200
                await in_thread(
                    wait_for, lambda: threads(server) < 30, DEADLINE_S, lambda: f"{threads(server)} threads"
                )
                assert not [task for task in waiting if task.done()]
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)


def threads(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


def migrate(url: str) -> str:
    manage("migrate", "--verbosity", "0", environment=environment_of(url, {}))
    return url


def create_session(server: Server, headers: dict[str, str]) -> str:
    token = dict(part.split("=", 1) for part in headers["Cookie"].split("; "))["csrftoken"]
    answer = httpx.post(
        f"{server.url}/api/sessions/", json={}, headers=headers | {"X-CSRFToken": token}, timeout=DEADLINE_S
    )
    session: str = answer.json()["id"]
    return session
