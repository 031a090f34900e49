"""WebSocket code shared by Daphne and uvicorn: the receive queue and the frame encoder."""

import asyncio
import struct
from typing import Protocol

from sessions_app.core.asgi_types import Message


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
