"""Centrifugo with its memory engine and forced recovery. Its protocol: JSON over WebSocket.

The publications of one answer are its channel's history. Connections bring a signed token, as Centrifugo wants it.
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import orjson

from tests.bench.client import TEXT
from tests.bench.peers.site import Peer, PeerReader, Write, own_place, running
from tests.bench.site import Missed, Wrong
from tests.services import free_port

PROGRAM = "HOLDFAST_CENTRIFUGO"  # the environment variable that has its path, where it isn't on PATH
KEY = "a key for the benchmark alone, as long as it has to be"
KEPT = 20_000  # publications of each channel
PUBLICATION, PING = b'{"push":', b"{}"
DATA, OFFSET = b'"data":"', b'"offset":'
CONNECT, SUBSCRIBE = 1, 2  # ids of the first two commands; those of publications follow


def configuration(port: int) -> dict[str, Any]:
    """Return its configuration: what a reader may miss is not limited to the 300 publications of the default."""
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "log": {"level": "warn"},
        "client": {
            "allowed_origins": ["*"],
            "token": {"hmac_secret_key": KEY},
            "recovery_max_publication_limit": KEPT,
            # As often as the others. The writer's pong comes after its publications, which a busy server reads late.
            "ping_interval": "60s",
            "pong_timeout": "55s",
        },
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": True,
                "allow_publish_for_client": True,
                "history_size": KEPT,
                "history_ttl": "10m",
                "force_recovery": True,
            }
        },
    }


class Client(PeerReader):
    """A reader, or the publisher, which has no session. `epoch` and `offset`: of the last publication that it got."""

    epoch = ""
    offset = b"0"

    async def open(self, port: int) -> None:
        """Connect with a token of one's own."""
        claims = {"sub": str(self.number), "exp": int(time.time()) + 3600}
        await self.connect(port, "/connection/websocket")
        await self.command(CONNECT, "connect", token=jwt.encode(claims, KEY, algorithm="HS256"))

    async def subscribe(self, **where: object) -> dict[str, Any]:
        """Follow one's session, from a position if it is given; return the reply."""
        line = await self.command(SUBSCRIBE, "subscribe", channel=str(self.number), **where)
        self.size += len(line)
        reply: dict[str, Any] = orjson.loads(line)["subscribe"]
        self.epoch = reply["epoch"]
        return reply

    async def command(self, number: int, name: str, **arguments: object) -> bytes:
        """Send a command; return its reply. Raises ConnectionError where it is refused."""
        replied = asyncio.ensure_future(self.next(b'{"id":%d,' % number))
        await asyncio.sleep(0)
        self.send(TEXT, orjson.dumps({"id": number, name: arguments}))
        line = (await replied).partition(b"\n")[0]
        if b'"error":' in line[:30]:
            raise ConnectionError(f"{name} was refused: {line.decode()}")
        return line

    def on_text(self, payload: bytes) -> None:
        # A frame has one message in a line, or several. Nothing is parsed while it is measured.
        for line in payload.split(b"\n"):
            if line.startswith(PUBLICATION):
                self.keep(line.split(DATA, 1)[1].partition(b'"')[0], len(line))
                self.offset = line.split(OFFSET, 1)[1].partition(b"}")[0].partition(b",")[0]
            elif line == PING:
                self.send(TEXT, PING)

    def live_tokens(self, payload: bytes) -> int:
        lines = payload.strip().split(b"\n")
        return len(lines) if all(line.startswith(PUBLICATION) for line in lines) else 0


class Centrifugo(Peer[Client]):
    """A Centrifugo server. One connection of the writer's publishes to all channels."""

    _publishing: asyncio.Task[Client] | None = None
    _published = SUBSCRIBE

    async def following(self, number: int) -> Client:
        reader = Client(number)
        await reader.open(self.port)
        await reader.subscribe()
        return reader

    async def writer(self, number: int) -> Write:
        publisher = await self._publisher()

        def publish(token: str) -> None:
            self._published += 1
            command = {"id": self._published, "publish": {"channel": str(number), "data": token}}
            publisher.send(TEXT, orjson.dumps(command))

        return publish

    async def _publisher(self) -> Client:
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._connected(-1))
        return await self._publishing

    async def _connected(self, number: int) -> Client:
        client = Client(number)
        await client.open(self.port)
        return client

    def left(self, reader: Client, tokens: int) -> Missed:
        reader.close()
        where = {"epoch": reader.epoch, "offset": int(reader.offset)}
        return Missed(reader.number, where, tokens - reader.tokens)

    async def returning(self, missed: Missed) -> Client:
        reader = await self._connected(missed.number)
        reply = await reader.subscribe(recover=True, **missed.where)
        if not reply.get("recovered"):
            raise Wrong("its publications were not recovered")
        for publication in reply.get("publications", []):
            reader.keep(publication["data"].encode(), 0)
        return reader


def program() -> str | None:
    """Return the path of Centrifugo, if it is there."""
    return shutil.which(os.environ.get(PROGRAM) or "centrifugo")


def missing() -> str:
    """Return what this machine lacks, or nothing."""
    return "" if program() else f"centrifugo is not on PATH, and {PROGRAM} doesn't name it"


@contextmanager
def centrifugo(seed: int) -> Iterator[Centrifugo]:
    port = free_port()
    with own_place() as place:
        (place / "config.json").write_text(json.dumps(configuration(port)))
        with running([str(program()), "--config", "config.json"], place, port) as pids:
            yield Centrifugo(place, seed, port, pids)
