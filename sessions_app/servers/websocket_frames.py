"""WebSocket code shared by Daphne and uvicorn: the receive queue and the frame encoder."""

import asyncio
import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C where there is a compiled wheel

from sessions_app.core.asgi_types import Message

LIMITS = "holdfast.limits"  # of a `websocket.accept`: MessageLimits; other servers ignore it
POLICY_VIOLATION = 1008  # close code (RFC 6455 §7.4.1): a message that doesn't arrive in time


class MessageLimits(NamedTuple):
    """Limits of one client's messages, in place of the server's. The application then reads them one by one."""

    max_bytes: int
    timeout_s: float  # for a message that has begun to arrive


class MessageTimer:
    """Timer of a message that has begun to arrive."""

    __slots__ = ("_seconds", "_time_out", "_handle")

    def __init__(self, seconds: float, time_out: Callable[[], None]) -> None:
        self._seconds = seconds
        self._time_out = time_out
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, *, is_half: bool) -> None:
        """Start if a message is half there; the time of one message runs on."""
        if not is_half:
            self.stop()
        elif self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._time_out)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Reading(Protocol):
    """Interface of a connection as its receive queue uses it."""

    def resume_reading(self) -> None:
        """Resume reading if the queue was full; called when it is empty. Idempotent."""


class ReceiveQueue:
    """Queue of a client's messages for the application, its only reader.

    An asyncio.Queue, as the servers use it, can't pause a socket and takes 2 KiB more.
    """

    __slots__ = ("protocol", "messages", "arrival")

    def __init__(self, protocol: Reading) -> None:
        self.protocol = protocol
        self.messages: list[Message] = []
        self.arrival: asyncio.Future[None] | None = None

    def qsize(self) -> int:
        return len(self.messages)

    def put_nowait(self, message: Message) -> None:
        self.messages.append(message)
        if self.arrival and not self.arrival.done():
            self.arrival.set_result(None)

    async def get(self) -> Message:
        while not self.messages:
            self.arrival = asyncio.get_running_loop().create_future()
            await self.arrival
        message = self.messages.pop(0)
        if not self.messages:
            self.protocol.resume_reading()
        return message


def encode(text: str) -> bytes:
    """Encode a text frame of a server (RFC 6455 §5.2): unfragmented, unmasked."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def whole_text(data: bytes, most: int | None) -> bytes | None:
    """Return the payload of a client's text frame (RFC 6455 §5.2) that is all of `data`: unfragmented and masked.

    Return None for anything else, and for a payload of more than `most` bytes or more than 65,535.
    """
    if len(data) < 6 or data[0] != 0x81:
        return None
    size, start = data[1] - 128, 6
    if size == 126 and len(data) > 8:
        size, start = int.from_bytes(data[2:4]), 8
    elif size > 125:
        return None
    if not 0 <= size == len(data) - start or (most is not None and size > most):
        return None
    return apply_mask(data[start:], data[start - 4 : start])
