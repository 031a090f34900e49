"""`python -m tests.bench.flood`: one guest, or several at one address, who do the worst that limits allow.

Each opens all the sockets that one may and asks for whole sessions on them as often as frames may be sent, reads
history over HTTP, opens and closes sockets, and has an agent write as fast as it can to all the sockets.
Reads `[[session, cookie], …]` from standard input, a session for each guest; prints READY once the sessions are large.
"""

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from tests.bench import order
from tests.bench.holdfast import Client
from tests.bench.order import Order

ADDRESS = "127.0.0.2"  # the people who are measured come from another
SOCKETS, READERS = 30, 4  # of each guest; a socket and more are left for those that open and close
FRAME_S = 1 / 49  # just below FRAMES_PER_SECOND
LARGE = Order(rate=500, tokens=240, padding=2000)  # a state of half a megabyte: SNAPSHOT_BYTES
BUSY = Order(rate=100, tokens=3000)
READY = "ready"


class Guest:
    """One guest. What is refused is tried again at once."""

    def __init__(self, port: int, session: str, cookie: str) -> None:
        self._port = port
        self._session = session
        self._cookie = cookie

    async def prepare(self) -> None:
        """Have the session hold as much as one answer may."""
        reader = await self._connected()
        await reader.attach()
        await reader.signal(order.encode(LARGE))
        while reader.tokens < LARGE.tokens:
            await asyncio.sleep(0.1)
        reader.close()

    async def flood(self) -> None:
        endless = [self._attach] * SOCKETS + [self._read] * READERS + [self._reconnect, self._ask]
        await asyncio.gather(*map(_forever, endless))

    async def _connected(self) -> Client:
        reader = Client(0, self._session)
        reader.address = ADDRESS
        await reader.open(self._port, Cookie=self._cookie)
        return reader

    async def _attach(self) -> None:
        socket = await self._connected()
        for number in itertools.count():
            if socket.ended:
                raise ConnectionError
            socket.say(type="attach", session=self._session, rewind=200)
            if not number % 50:
                socket.arrived.clear()
            await asyncio.sleep(FRAME_S)

    async def _read(self) -> None:
        transport = httpx.AsyncHTTPTransport(local_address=ADDRESS)
        async with httpx.AsyncClient(transport=transport, headers={"Cookie": self._cookie}, timeout=60) as http:
            while True:
                answer = await http.get(
                    f"http://127.0.0.1:{self._port}/api/sessions/{self._session}/messages/?limit=200"
                )
                # A tenth of a second for a refusal: what nginx refuses is not what is measured here.
                await asyncio.sleep(0.1 if answer.status_code == 429 else 0)

    async def _reconnect(self) -> None:
        while True:
            (await self._connected()).close()
            await asyncio.sleep(0.02)

    async def _ask(self) -> None:
        socket = await self._connected()
        while not socket.ended:
            await socket.signal(order.encode(BUSY))
            await asyncio.sleep(1)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(ConnectionError, TimeoutError, httpx.HTTPError):
            await work()
        await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flood", description=__doc__)
    parser.add_argument("port", type=int)
    port = parser.parse_args().port
    guests = [Guest(port, session, cookie) for session, cookie in json.load(sys.stdin)]
    await asyncio.gather(*(guest.prepare() for guest in guests))
    print(READY, flush=True)
    await asyncio.gather(*(guest.flood() for guest in guests))


if __name__ == "__main__":
    asyncio.run(main())
