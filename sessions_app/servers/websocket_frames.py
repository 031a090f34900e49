"""What WebSockets under Daphne and under uvicorn have in common."""

import asyncio
import struct
from typing import Protocol

from sessions_app.core.asgi_types import AsgiMessage


class Reading(Protocol):
    """What an inbox asks of its connection."""

    def resume_reading(self) -> None:
        """The inbox is empty: read on if it was full. May be called at any time."""


class ReceiveQueue:
    """What a client has sent and its application, its one reader, has not taken yet.

    The servers' asyncio.Queue knows no limit that a socket could wait for, and takes 2 KiB more.
    """

    __slots__ = ("protocol", "messages", "arrival")

    def __init__(self, protocol: Reading) -> None:
        self.protocol = protocol
        self.messages: list[AsgiMessage] = []
        self.arrival: asyncio.Future[None] | None = None

    def put_nowait(self, message: AsgiMessage) -> None:
        self.messages.append(message)
        if self.arrival and not self.arrival.done():
            self.arrival.set_result(None)

    async def get(self) -> AsgiMessage:
        while not self.messages:
            self.arrival = asyncio.get_running_loop().create_future()
            await self.arrival
        message = self.messages.pop(0)
        if not self.messages:
            self.protocol.resume_reading()
        return message


def encode(text: str) -> bytes:
    """A text frame as servers send it (RFC 6455 §5.2): whole, not masked."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload
