"""Every transport through real proxies: idle connections are dropped, and no fault changes the text."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.browser.visitor import demo_answer
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.http_followers import FOLLOWERS, StreamFollower
from tests.support.nginx import ALB_IDLE_S, CLOUDFLARE_IDLE_S, Nginx, Route, scaled
from tests.support.person import text_of
from tests.support.raw_socket import RawSocket, Refused

# What a server sends to a link on which nothing happens, scaled as the proxies' limits are.
SILENCE = {"HOLDFAST_PING_INTERVAL_S": "3600", "HOLDFAST_HEARTBEAT_MS": "600000"}
PINGS = SILENCE | {"HOLDFAST_PING_INTERVAL_S": f"{scaled(50):.0f}", "HOLDFAST_PONG_TIMEOUT_S": "3"}
HEARTBEATS = SILENCE | {"HOLDFAST_HEARTBEAT_MS": f"{scaled(15_000):.0f}"}

# The transports that work through each proxy.
HTTP = ["eventsource", "stream", "poll"]
THROUGH = {
    "alb": ["websocket", *HTTP],
    "cloudflare": ["websocket", *HTTP],
    "strips_headers": ["websocket", *HTTP],
    "strips_upgrade": HTTP,
    "buffers": ["poll"],
}


# Idle limits


@pytest.mark.parametrize(
    ("name", "limit_s"),
    [("alb", scaled(ALB_IDLE_S)), pytest.param("cloudflare", scaled(CLOUDFLARE_IDLE_S), marks=pytest.mark.long)],
)
async def test_an_idle_link_outlives_the_limit_with_pings_and_is_dropped_without(
    start_server: StartServer, name: str, limit_s: float
) -> None:
    for _ in range(2):  # a machine that stands still sends its pings too late
        with contextlib.suppress(AssertionError):
            return await check_idle_links(start_server, name, limit_s)
    await check_idle_links(start_server, name, limit_s)


async def check_idle_links(start_server: StartServer, name: str, limit_s: float) -> None:
    async with AsyncExitStack() as stack:

        async def idle(transport: str, server: Server) -> Follower:
            proxy = stack.enter_context(Nginx(name, server.port))
            follower = await stack.enter_async_context(FOLLOWERS[transport](proxy.url))
            return await follower.follow(await follower.create_session())

        silent, pinging, beating = (start_server(**settings) for settings in (SILENCE, PINGS, HEARTBEATS))
        dropped = [await idle("websocket", silent), await idle("eventsource", silent)]
        kept = [await idle("websocket", pinging), await idle("eventsource", beating)]
        began = time.monotonic()
        for follower in dropped:
            await follower.wait_until(lambda: follower.connections > 1, within=DEADLINE_S)  # noqa: B023
        await asyncio.sleep(max(0.0, began + 3 * limit_s - time.monotonic()))
        assert [follower.connections for follower in kept] == [1, 1]


# One answer, read over every transport side by side


async def undisturbed(route: Route) -> None:
    """Leave the answer undisturbed."""


async def cuts(route: Route) -> None:
    for _ in range(5):
        await asyncio.to_thread(route.near.cut)
        await asyncio.sleep(0.3)


async def cuts_behind_the_proxy(route: Route) -> None:
    for _ in range(5):
        await asyncio.to_thread(route.far.cut)
        await asyncio.sleep(0.3)


async def freezes(route: Route) -> None:
    """The link is silent, then all that was held back comes at once."""
    for _ in range(2):
        await asyncio.to_thread(route.near.freeze)
        await asyncio.sleep(0.7)
        await asyncio.to_thread(route.near.thaw)
        await asyncio.sleep(0.2)


async def limits_life(route: Route) -> None:
    """Limit every stream's lifetime, as proxies do that end a response after n seconds."""
    route.far.cut_after(0.5)
    await asyncio.to_thread(route.far.cut)


Fault = Callable[[Route], Awaitable[None]]
FAULTS: list[Fault] = [undisturbed, cuts, cuts_behind_the_proxy, freezes, limits_life]
LOSING: list[Fault] = [cuts, cuts_behind_the_proxy, limits_life]
DEFAULT: list[tuple[str, Fault]] = [("alb", cuts), ("strips_headers", limits_life)]


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(HOLDFAST_DEMO_TOKENS_PER_S="200", HOLDFAST_CONNECTIONS_PER_OWNER="1000")


CELLS = [
    pytest.param(name, fault, marks=() if (name, fault) in DEFAULT else pytest.mark.long, id=f"{name}-{fault.__name__}")
    for name in THROUGH
    for fault in FAULTS
]


@pytest.mark.parametrize(("name", "fault"), CELLS)
async def test_every_transport_delivers_the_exact_text(server: Server, name: str, fault: Fault) -> None:
    with Route(name, server.port) as route:
        async with AsyncExitStack() as stack:
            readers: dict[str, Follower] = {}
            for transport in THROUGH[name]:
                readers[transport] = await stack.enter_async_context(FOLLOWERS[transport](route.url))
            first, *others = readers.values()
            session = await first.create_session()
            for reader in others:
                become(first, reader)
            for reader in readers.values():
                await reader.follow(session)
            before = {transport: reader.connections for transport, reader in readers.items()}
            await first.say(session, "Hello")
            await first.wait_until(lambda: first.sessions[session].text, 20)
            await fault(route)
            for transport, reader in readers.items():
                message = await reader.wait_for_end(session, 60)
                assert (transport, text_of(message)) == (transport, demo_answer("Hello"))
                assert (reader.taken_back, reader.resets, reader.sessions[session].gaps) == ([], [], 0)
                if transport != "poll":  # which asks again and again anyway
                    assert (reader.connections > before[transport]) == (fault in LOSING)


def become(person: Follower, other: Follower) -> None:
    """The other is the same person in another tab."""
    other.http.cookies = person.http.cookies
    other.http.headers["X-CSRFToken"] = person.http.headers["X-CSRFToken"]


async def test_a_buffered_stream_shows_nothing_and_a_poll_shows_everything(server: Server) -> None:
    with Route("buffers", server.port) as route:
        async with FOLLOWERS["poll"](route.url) as polling, StreamFollower(route.url) as streaming:
            session = await polling.create_session()
            become(polling, streaming)
            following = asyncio.create_task(streaming.follow(session))
            await polling.follow(session)
            await polling.say(session, "Hello")
            message = await polling.wait_for_end(session, 60)
            assert text_of(message) == demo_answer("Hello")
            assert (streaming.connections, streaming.frames) == (0, [])
            following.cancel()


# What the server knows of them


def test_a_handshake_without_its_upgrade_headers_is_refused_with_its_error(server: Server) -> None:
    with Route("strips_upgrade", server.port) as route:
        with pytest.raises(Refused) as refused:
            RawSocket(route.near.port, headers=guest(server))
        assert refused.value.status == 426
        assert httpx.get(f"{route.url}/ws/", timeout=DEADLINE_S).json()["code"] == "upgrade_required"


def test_the_ray_id_of_a_connection_cut_behind_cloudflare_is_recorded(start_server: StartServer) -> None:
    server = start_server()
    with Route("cloudflare", server.port) as route:
        origin = {"Origin": f"http://127.0.0.1:{route.near.port}"}
        socket = RawSocket(route.near.port, headers=guest(server) | origin)
        (ray,) = re.findall(r"CF-Ray: (\S+)", socket.answer)
        route.far.cut()
        assert socket.is_cut(within=DEADLINE_S)
    assert server.terminate() == 0  # it stores the last of its records when it stops
    (report,) = json.loads(server.manage("diagnose_connections", "--json"))["transports"]
    assert (report["ended"], [kept["ray"] for kept in report["rays"]]) == ({"cut": 1}, [ray])
