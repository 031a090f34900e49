"""Socket.IO in Node, with connection state recovery. Its protocol: Engine.IO 4 and Socket.IO 5, over WebSocket."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.client import TEXT
from tests.bench.peers.site import Peer, PeerReader, Write, own_place, running
from tests.bench.site import Missed, Wrong
from tests.services import find, free_port

HERE = Path(__file__).parent
PATH = "/socket.io/?EIO=4&transport=websocket"
OPENED, PING, PONG, CONNECT, EVENT = b"0{", b"2", b"3", b"40", b"42"


class Client(PeerReader):
    """A reader. `pid`: by which it recovers its connection; `offset`: of the last token that it got, in JSON."""

    def __init__(self, number: int = -1) -> None:
        super().__init__(number)
        self.pid = ""
        self.offset = b""

    async def open(self, port: int, query: str = "", **auth: object) -> None:
        """Connect, and wait until the server is ready. `auth`: where to go on."""
        opened = asyncio.ensure_future(self.next(OPENED))
        await self.connect(port, PATH + query)
        await opened
        connected = asyncio.ensure_future(self.next(CONNECT))
        await asyncio.sleep(0)
        self.send(TEXT, CONNECT + _json(auth))
        self.pid = json.loads((await connected).removeprefix(CONNECT))["pid"]

    def on_text(self, payload: bytes) -> None:
        if payload.startswith(EVENT):
            # 42["token"," 12345","OFFSET"]: nothing is parsed while it is measured.
            _, token, self.offset = payload[len(EVENT) + 1 : -1].split(b",")
            self.keep(token[1:-1], len(payload))
        elif payload == PING:
            self.send(TEXT, PONG)

    def live_tokens(self, payload: bytes) -> int:
        return int(payload.startswith(EVENT))


class SocketIo(Peer[Client]):
    """A Socket.IO server. One socket of the writer's publishes to all sessions."""

    _publishing: asyncio.Task[Client] | None = None

    async def following(self, number: int) -> Client:
        reader = Client(number)
        await reader.open(self.port, f"&session={number}")
        return reader

    async def writer(self, number: int) -> Write:
        publisher = await self._publisher()
        return lambda token: publisher.send(TEXT, EVENT + _json(["publish", str(number), token]))

    async def _publisher(self) -> Client:
        if self._publishing is None:
            self._publishing = asyncio.create_task(_publisher(self.port))
        return await self._publishing

    def left(self, reader: Client, tokens: int) -> Missed:
        reader.close()
        where = {"pid": reader.pid, "offset": json.loads(reader.offset)}
        return Missed(reader.number, where, tokens - reader.tokens)

    async def returning(self, missed: Missed) -> Client:
        reader = Client(missed.number)
        await reader.open(self.port, f"&session={missed.number}", **missed.where)
        if reader.pid != missed.where["pid"]:
            raise Wrong("its state was not recovered")
        return reader


async def _publisher(port: int) -> Client:
    client = Client()
    await client.open(port)
    return client


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def missing() -> str:
    """Return what this machine lacks, or nothing."""
    if not find("node"):
        return "node is not installed"
    if not (HERE / "node_modules" / "socket.io").exists():
        return "`npm ci` was not run in tests/bench/peers"
    return ""


@contextmanager
def socketio(seed: int) -> Iterator[SocketIo]:
    port = free_port()
    with own_place() as place, running([str(find("node")), str(HERE / "socketio.mjs"), str(port)], place, port) as pids:
        yield SocketIo(place, seed, port, pids)
