"""Pings under uvicorn: due together, sent in small groups, and not to a socket that has gone."""

import asyncio

from sessions_app.servers import uvicorn_pings
from sessions_app.servers.uvicorn_pings import AT_ONCE, RESOLUTION_S, PingTimers


class Socket:
    def __init__(self) -> None:
        self.pinged_at: list[float] = []

    def send_keepalive_ping(self) -> None:
        self.pinged_at.append(asyncio.get_running_loop().time())


async def pinged(*sockets: Socket) -> None:
    async with asyncio.timeout(10):
        while not all(socket.pinged_at for socket in sockets):
            await asyncio.sleep(0.01)


async def test_a_ping_is_never_early_and_hardly_late() -> None:
    timers, sockets, delays = PingTimers(asyncio.get_running_loop()), [Socket() for _ in range(3)], (0.0, 0.1, 0.4)
    begun = asyncio.get_running_loop().time()
    for socket, delay in zip(sockets, delays, strict=True):
        timers.add(socket, delay)
    await pinged(*sockets)
    for socket, delay in zip(sockets, delays, strict=True):
        [at] = socket.pinged_at
        assert at - begun >= delay - 0.002  # the resolution of the loop's timers
    assert timers._due == {}


async def test_a_socket_that_has_gone_is_not_pinged() -> None:
    timers, gone, there = PingTimers(asyncio.get_running_loop()), Socket(), Socket()
    due = timers.add(gone, 0.1)
    assert timers.add(there, 0.1) is due
    due.discard(gone)
    await pinged(there)
    assert gone.pinged_at == []


async def test_many_pings_leave_room_for_other_work() -> None:
    loop = asyncio.get_running_loop()
    timers, sockets = PingTimers(loop), [Socket() for _ in range(3 * AT_ONCE)]
    for socket in sockets:
        timers.add(socket, 0.0)
    most = 0
    async with asyncio.timeout(10):
        while any(not socket.pinged_at for socket in sockets):
            before = sum(bool(socket.pinged_at) for socket in sockets)
            await asyncio.sleep(0)
            most = max(most, sum(bool(socket.pinged_at) for socket in sockets) - before)
    assert 0 < most <= AT_ONCE


async def test_a_loop_has_one_set_of_timers() -> None:
    loop = asyncio.get_running_loop()
    assert uvicorn_pings.of(loop) is uvicorn_pings.of(loop)
    assert RESOLUTION_S < 1
