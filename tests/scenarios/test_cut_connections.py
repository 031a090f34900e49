"""Diagnosis of a proxy that cuts idle connections, and pings that prevent the cuts."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer, guest, wait_for
from tests.support.nginx import CLOUDFLARE_IDLE_S, Nginx, scaled
from tests.support.person import Person
from tests.support.raw_socket import CLOSE, TEXT, RawSocket
from tests.support.raw_stream import RawStream
from tests.support.tcp_proxy import TcpProxy

SILENCE = {"HOLDFAST_PING_INTERVAL_S": "3600", "HOLDFAST_HEARTBEAT_MS": "600000"}
PINGS = SILENCE | {"HOLDFAST_PING_INTERVAL_S": "3", "HOLDFAST_PONG_TIMEOUT_S": "2"}
LIMIT_S = scaled(CLOUDFLARE_IDLE_S)  # 8: far from the 4 and 10 s after which our own client may leave a stream
LINKS = 14  # of each transport
APART_S = 0.3  # between two: cuts at one moment would be an outage
SERVERS = pytest.mark.parametrize("command", ["daphne", pytest.param("uvicorn", marks=pytest.mark.long)])


def opened(port: int, headers: dict[str, str]) -> RawSocket:
    socket = RawSocket(port, headers=headers | {"Origin": f"http://127.0.0.1:{port}"})
    socket.read_until(TEXT)
    return socket


def recorded(server: Server) -> int:
    with closing(sqlite3.connect(server.database.removeprefix("sqlite:///"))) as database:
        count: int = database.execute("SELECT count(*) FROM sessions_app_connectionrecord").fetchone()[0]
        return count


def diagnosed(server: Server, ends: int) -> dict[str, Any]:
    """Return the report on a server's connections of one transport, once enough have ended."""
    (report,) = all_diagnosed(server, ends)
    return report


def all_diagnosed(server: Server, ends: int) -> list[dict[str, Any]]:
    wait_for(lambda: recorded(server) >= ends, DEADLINE_S, lambda: f"{recorded(server)} records:\n{server.log}")
    report: list[dict[str, Any]]
    report = json.loads(server.manage("diagnose_connections", "--hours", "1", "--json"))["transports"]
    return report


@pytest.mark.long
async def test_a_proxys_limit_shows_as_a_peak_and_pings_stay_below_it(start_server: StartServer) -> None:
    silent, pinging = start_server(**SILENCE), start_server(**PINGS)
    with Nginx("cloudflare", silent.port) as proxy, Nginx("cloudflare", pinging.port) as other_proxy:
        other = opened(other_proxy.port, guest(pinging))
        is_cut = asyncio.create_task(asyncio.to_thread(other.is_cut, within=3 * LIMIT_S))
        visitor = guest(silent)
        links: list[RawSocket | RawStream] = []  # a link that nobody keeps is closed
        async with Person(silent.url) as person:
            session = await person.create_session()
            for _ in range(LINKS):
                links += [opened(proxy.port, visitor), RawStream(proxy, person, session)]
                await asyncio.sleep(APART_S)
            report = await asyncio.to_thread(all_diagnosed, silent, 2 * LINKS)
        assert not await is_cut
    assert [one["ended"] for one in report] == [{"cut": LINKS}, {"left": LINKS}]
    for one in report:
        (finding,) = one["findings"]
        assert finding["measure"] == "idle" and finding["ends"] == LINKS
        assert LIMIT_S - 0.1 < finding["low"] <= finding["high"] < LIMIT_S + 1
        assert finding["culprits"] == []  # nobody is known for that number
    on_the_terminal = silent.manage("diagnose_connections")
    assert re.search(r"Set HOLDFAST_PING_INTERVAL_S \(3600\) to [67] or less\.", on_the_terminal)
    assert re.search(r"Set HOLDFAST_HEARTBEAT_MS \(600000\) to [67]000 or less\.", on_the_terminal)


@SERVERS
def test_each_kind_of_end_is_distinguished(start_server: StartServer, command: str) -> None:
    server = start_server(command)
    visitor = guest(server)
    with TcpProxy(server.port) as network:
        cut = opened(network.port, visitor)
        network.cut()
        assert cut.is_cut(within=DEADLINE_S)
    leaving = opened(server.port, visitor)
    leaving.send(CLOSE, b"\x03\xe9")
    leaving.read_until(CLOSE)
    closed = opened(server.port, visitor)
    for _ in range(200):  # more than anybody may send a second
        closed.send_text("no JSON")
    closed.send(CLOSE, closed.read_until(CLOSE).payload)
    report = diagnosed(server, ends=3)
    assert report["ended"] == {"cut": 1, "client": 1, "server": 1} and not report["findings"]


@pytest.mark.long
def test_a_client_without_pongs_is_lost_not_cut(start_server: StartServer) -> None:
    server = start_server(HOLDFAST_PING_INTERVAL_S="2", HOLDFAST_PONG_TIMEOUT_S="1")
    socket = RawSocket(server.port, headers=guest(server), answer_pings=False)
    assert socket.is_cut(within=DEADLINE_S)
    assert diagnosed(server, ends=1)["ended"] == {"lost": 1}


def test_hostile_headers_are_bounded(start_server: StartServer) -> None:
    server = start_server()
    hostile = {
        "CF-Ray": "<script>alert(1)</script>" * 100,
        "X-Forwarded-For": "1.2.3.4," * 500,
        "Via": "x" * 5000,
        "X-Amzn-Trace-Id": "'; DROP TABLE sessions_app_connectionrecord; --",
    }
    opened(server.port, guest(server) | hostile).cut()
    wait_for(lambda: "WebSocket DISCONNECT" in server.log, DEADLINE_S, lambda: server.log)
    assert server.terminate() == 0  # it stores the last of them when it stops
    report = diagnosed(server, ends=1)
    assert (report["ended"], report["rays"]) == ({"cut": 1}, [])


@SERVERS
@pytest.mark.long
async def test_a_stream_or_poll_left_by_its_client_is_distinguished_from_one_that_ends(
    start_server: StartServer, command: str
) -> None:
    server = start_server(command, HOLDFAST_STREAM_MS="2000")
    async with Person(server.url) as person:
        session = await person.create_session()
        stream, poll = f"/api/sessions/{session}/stream/", f"/api/sessions/{session}/poll/"
        async with person.http.stream("GET", stream) as left:
            await anext(left.aiter_text())
        async with person.http.stream("GET", stream) as ended:
            async for _ in ended.aiter_text():
                pass
        answered = (await person.http.get(poll)).json()
        with pytest.raises(httpx.ReadTimeout):
            await person.http.get(
                poll, params={"cursor": answered["cursor"]}, timeout=httpx.Timeout(DEADLINE_S, read=5)
            )
        streams, polls = await asyncio.to_thread(all_diagnosed, server, 3)
    assert (streams["transport"], streams["ended"]) == ("stream", {"left": 1, "server": 1})
    assert (polls["transport"], polls["ended"]) == ("poll", {"left": 1})
    assert sum(bar["count"] for bar in polls["idle"] if bar["low"] >= 1.4) == 1
