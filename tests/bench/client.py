"""A lean reader: it follows one session, acknowledges as PROTOCOL.md asks, and keeps what it gets for later."""

import asyncio
import base64
import os
import struct
import time
from typing import Any

import orjson

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
EVENTS = b'{"type":"events"'
DEADLINE_S = 60


class Socket(asyncio.Protocol):
    """A WebSocket's client side. `arrived` keeps each text frame with its time, in monotonic seconds."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = False
        self._buffer = b""
        self._transport: Any = None
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    async def _connect(self, port: int, cookie: str) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        self._transport.write(
            f"GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        await asyncio.wait_for(self.opened, DEADLINE_S)

    async def next(self, kind: str) -> bytes:
        """Wait for the next frame of a type."""
        prefix = b'{"type":"%s"' % kind.encode()
        future = self._waiting[prefix] = asyncio.get_running_loop().create_future()
        return await asyncio.wait_for(future, DEADLINE_S)

    def send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros is a mask, and leaves the payload as it is.
        size = len(payload)
        head = struct.pack("!BB", 128 | opcode, 128 | size) if size < 126 else struct.pack("!BBH", 129, 254, size)
        self._transport.write(head + bytes(4) + payload)

    def close(self) -> None:
        self.ended = True
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended:
            self._fail(f"the server closed the connection: {exc}")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._buffer += data
        if not self.opened.done():
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(head.decode())
                return
            self.opened.set_result(None)
        while (frame := self._take()) is not None:
            self._frame(*frame, now)

    def on_text(self, payload: bytes) -> None:
        """For readers."""

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length > 125:
            start, form = (4, "!H") if length == 126 else (10, "!Q")
            if len(buffer) < start:
                return None
            length = struct.unpack(form, buffer[2:start])[0]
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[0] & 15, buffer[start : start + length]

    def _frame(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == PING:
            self.send(PONG, payload)
        elif opcode == TEXT:
            self.arrived.append((now, payload))
            self.on_text(payload)
            if self._waiting:
                self._wake(payload)
        elif opcode == CLOSE and not self.ended:
            self._fail(f"the server closed: {payload!r}, after {self.arrived[-1:]}")

    def _wake(self, payload: bytes) -> None:
        for prefix in [prefix for prefix in self._waiting if payload.startswith(prefix)]:
            self._waiting.pop(prefix).set_result(payload)

    def _fail(self, problem: str) -> None:
        self.ended = True
        for future in (self.opened, *self._waiting.values()):
            if not future.done():
                future.set_exception(ConnectionError(problem))


class Reader(Socket):
    """One client with one session. `cursor` is what it has acknowledged or will."""

    def __init__(self, session: str) -> None:
        super().__init__()
        self.session = session
        self._ack_bytes, self._ack_s = 0, 0.0
        self._unacknowledged = 0
        self._last = b""  # the newest frame with a cursor
        self._timer: asyncio.TimerHandle | None = None

    @property
    def cursor(self) -> str:
        cursor: str = orjson.loads(self._last)["cursor"]
        return cursor

    async def open(self, port: int, cookie: str) -> None:
        """Connect, and wait until the server is ready."""
        connected = asyncio.ensure_future(self.next("connected"))
        await self._connect(port, cookie)
        limits = orjson.loads(await connected)["limits"]
        self._ack_bytes, self._ack_s = limits["ack_bytes"], limits["ack_ms"] / 1000

    async def attach(self, **how: Any) -> bytes:
        """Return the `attached` frame."""
        attached = asyncio.ensure_future(self.next("attached"))
        await asyncio.sleep(0)
        self.say(type="attach", session=self.session, **how)
        return await attached

    async def signal(self, text: str) -> None:
        """Send a person's message; wait until it is stored."""
        receipt = asyncio.ensure_future(self.next("receipt"))
        await asyncio.sleep(0)
        payload = {"parts": [{"type": "text", "text": text}]}
        self.say(type="signal", session=self.session, id=os.urandom(8).hex(), kind="message", payload=payload)
        if (answer := orjson.loads(await receipt))["status"] != "accepted":
            raise ConnectionError(f"the message was rejected: {answer}")

    def say(self, **frame: Any) -> None:
        self.send(TEXT, orjson.dumps(frame))

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        super().close()

    def on_text(self, payload: bytes) -> None:
        if payload.startswith(EVENTS):
            self._last = payload
            self._unacknowledged += len(payload)
            if self._unacknowledged >= self._ack_bytes:
                self._acknowledge()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._ack_s, self._acknowledge)
        elif payload.startswith(b'{"type":"attached"'):
            self._last = payload
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unacknowledged = 0
        if not self.ended:
            self.say(type="ack", session=self.session, cursor=self.cursor)
