"""A lean WebSocket client, the same for every server measured; it stores frames for later evaluation."""

import asyncio
import base64
import os
import struct
import time
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
RECEIVE_BUFFER = 4096  # of a client that stops reading, in bytes: so that what waits, waits in the server
DEADLINE_S = 60


def whole_frames(buffer: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Return the opcode and payload of each frame that is all there, and where they end."""
    found, at = [], 0
    # By position: what is large is cut once, not at every frame in it.
    while len(buffer) >= at + 2:
        length, start = buffer[at + 1], at + 2
        if length > 125:
            start, form = (at + 4, "!H") if length == 126 else (at + 10, "!Q")
            if len(buffer) < start:
                break
            length = struct.unpack_from(form, buffer, at + 2)[0]
        if len(buffer) < start + length:
            break
        found.append((buffer[at] & 15, buffer[start : start + length]))
        at = start + length
    return found, at


class Socket(asyncio.Protocol):
    """A WebSocket's client side. `arrived` keeps each text frame with its time, in monotonic seconds."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = False
        self.address: str | None = None  # of this machine, to connect from
        self._now = 0.0  # when what is being read came
        self._buffer = b""
        self._transport: Any = None
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    async def connect(self, port: int, path: str, **headers: str) -> None:
        source = (self.address, 0) if self.address else None
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port, local_addr=source)
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n{more}\r\n".encode()
        )
        async with asyncio.timeout(DEADLINE_S):
            await self.opened

    async def next(self, prefix: bytes) -> bytes:
        """Wait for the next frame that begins so."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[prefix] = future
        async with asyncio.timeout(DEADLINE_S):
            await future
        return future.result()

    def send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros is a mask, and leaves the payload as it is.
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 128 | opcode, 128 | size)
        else:
            head = struct.pack("!BBH", 128 | opcode, 254, size)
        self._transport.write(head + bytes(4) + payload)

    def close(self) -> None:
        self.ended = True
        self._transport.abort()

    @property
    def is_between_frames(self) -> bool:
        return not self._buffer

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let another protocol have what comes from now on; it may pass it to this one."""
        self._transport.set_protocol(protocol)

    def stall(self) -> None:
        """Read no more."""
        self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
        self._transport.pause_reading()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended:
            self._fail(f"the server closed the connection: {exc}")

    def data_received(self, data: bytes) -> None:
        self._now = time.monotonic()
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
        self._read_frames()

    def _read_frames(self) -> None:
        found, end = whole_frames(self._buffer)
        self._buffer = self._buffer[end:]
        for opcode, payload in found:
            self._frame(opcode, payload)

    def on_text(self, payload: bytes) -> None:
        """Keep a text frame."""
        self.arrived.append((self._now, payload))

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.send(PONG, payload)
        elif opcode == TEXT:
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
