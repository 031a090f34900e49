"""Connections under uvicorn: its own, but a WebSocket is light on memory and CPU time.

`uvicorn --ws sessions_app.servers.uvicorn_websocket:SocketProtocol`; with `--ws websockets-sansio` all is the same, but
heavier.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

from sessions_app.servers.websocket_frames import ReceiveQueue, encode

# Uvicorn would log to its own three lines for each socket, and at DEBUG what people write.
logger = logging.getLogger(__name__)
# Of all connections to which more can be written: one for each would take a KiB.
WRITABLE = asyncio.Event()
WRITABLE.set()


class SocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's, with a short way for what is sent most, and without what only the handshake needed."""

    # Uvicorn's own attributes: in slots they take 0.3 KiB, in a dictionary 1.6.
    __slots__ = (
        "app", "app_state", "asgi_version", "client", "close_sent", "close_timeout", "close_timer", "config", "conn",
        "connections", "curr_msg_data_type", "default_headers", "disconnected", "frames", "handshake_complete",
        "handshake_initiated", "initial_response", "last_ping_rtt", "logger", "loop", "pending_ping_payload",
        "ping_interval", "ping_sent_at", "ping_timeout", "ping_timer", "pong_timer", "queue", "read_paused", "request",
        "response", "root_path", "scheme", "scope", "server", "tasks", "transport", "writable",
        "is_plain",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = logger
        self.conn.debug = logger.isEnabledFor(logging.DEBUG)
        self.queue = ReceiveQueue(self)  # type: ignore[assignment]
        self.writable = WRITABLE
        self.is_plain = False  # accepted, and a frame is its text and nothing else

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        self.writable.set()
        self.writable = WRITABLE

    async def receive(self) -> Any:
        return await self.queue.get()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        text = message.get("text")
        if text is not None and message["type"] == "websocket.send" and self.takes_text():
            # Websockets' way takes eight times as long. Its state needs to know of no frame that is whole.
            self.transport.write(encode(text))
            return
        await super().send(message)
        if message["type"] == "websocket.accept" and self.conn.state is OPEN:
            self.opened()

    def takes_text(self) -> bool:
        """Whether a text may be sent now, at once, as it is. If not, uvicorn waits or says why."""
        return self.is_plain and self.conn.state is OPEN and not self.disconnected and self.writable.is_set()

    def opened(self) -> None:
        # In a log of all frames none may be missing.
        self.is_plain = not (self.conn.extensions or self.conn.debug)
        # The request would stay in memory for as long as the socket is open: 4 KiB, and more with many cookies.
        self.request.headers.clear()  # websockets' parser, too, holds the request
        del self.request, self.response
