"""WebSocket protocol for uvicorn that uses less memory and CPU time.

`uvicorn --ws sessions_app.servers.uvicorn_websocket:SocketProtocol`. With `--ws websockets-sansio` everything works as
well, at a higher cost.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

from sessions_app.servers import uvicorn_pings
from sessions_app.servers.websocket_frames import (
    LIMITS,
    POLICY_VIOLATION,
    MessageLimits,
    MessageTimer,
    ReceiveQueue,
    encode,
    whole_text,
)

# Replaces uvicorn's logger, which gets three lines per socket, and at DEBUG the content of messages.
logger = logging.getLogger(__name__)
NO_PINGS: set[uvicorn_pings.Pinged] = set()
# Shared by all connections that are writable: an event of its own would cost each 1 KiB.
WRITABLE = asyncio.Event()
WRITABLE.set()


class SocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's protocol with a fast path for text frames, and without the data of the handshake."""

    # Uvicorn's attributes: 0.3 KiB in slots, 1.6 KiB in a dictionary.
    __slots__ = (
        "app", "app_state", "asgi_version", "client", "close_sent", "close_timeout", "close_timer", "config", "conn",
        "connections", "curr_msg_data_type", "default_headers", "disconnected", "frames", "handshake_complete",
        "handshake_initiated", "initial_response", "last_ping_rtt", "logger", "loop", "pending_ping_payload",
        "ping_interval", "ping_sent_at", "ping_timeout", "ping_timer", "pong_timer", "queue", "read_paused", "request",
        "response", "root_path", "scheme", "scope", "server", "tasks", "transport", "writable",
        "arrival", "is_closed", "is_plain", "pings",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = logger
        self.conn.debug = logger.isEnabledFor(logging.DEBUG)
        self.queue = ReceiveQueue(self)  # type: ignore[assignment]
        self.writable = WRITABLE
        self.pings: set[uvicorn_pings.Pinged] = NO_PINGS  # that the next one is among
        self.arrival: MessageTimer | None = None  # of large messages
        self.is_closed = False  # by the application
        self.is_plain = False  # accepted, without extensions or debug logging

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        self.writable.set()
        self.writable = WRITABLE

    def schedule_ping(self) -> None:
        assert self.ping_interval is not None  # as in uvicorn's
        self.pings = uvicorn_pings.of(self.loop).add(self, max(0.0, self.ping_interval - self.last_ping_rtt))

    def stop_keepalive(self) -> None:
        self.pings.discard(self)
        super().stop_keepalive()

    def receive(self) -> Any:
        return self.queue.get()  # no coroutine around it: there is one per idle socket

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
            self.watch_arrival()

    def data_received(self, data: bytes) -> None:
        payload = whole_text(data, self.config.ws_max_size) if self.takes_frames() else None
        try:
            text = None if payload is None else payload.decode()
        except UnicodeDecodeError:
            text = None
        if text is None:
            super().data_received(data)
            self.watch_arrival()
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if self.queue.qsize() > 1 and not self.read_paused:  # the application is still at work on others
            self.read_paused = True
            self.transport.pause_reading()

    def takes_frames(self) -> bool:
        """Return True if a frame can be read directly: none is half there, and the state of websockets isn't affected.

        Eight times as fast as through websockets, for acknowledgements above all.
        """
        conn = self.conn
        return (
            self.is_plain
            and conn.state is OPEN
            and conn.current_size is None
            and not conn.reader.buffer
            and not self.close_sent
        )

    def limit_messages(self, limits: MessageLimits) -> None:
        self.conn.max_message_size = limits.max_bytes
        self.arrival = MessageTimer(limits.timeout_s, self.time_out)

    def watch_arrival(self) -> None:
        if self.arrival is not None:
            is_half = self.conn.current_size is not None or bool(self.conn.reader.buffer)
            self.arrival.watch(is_half=is_half and not self.read_paused and self.conn.state is OPEN)

    def time_out(self) -> None:
        if self.conn.state is OPEN and not self.close_sent:
            self.conn.send_close(POLICY_VIOLATION, "the message did not arrive in time")
            self.handle_parser_exception()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.arrival is not None:
            self.arrival.stop()
        super().connection_lost(exc)

    def send_receive_event_to_app(self) -> None:
        if self.arrival is not None:
            self.arrival.stop()
        if self.curr_msg_data_type != "text" or self.close_sent or is_utf_8(self.frames):
            super().send_receive_event_to_app()
            return
        self.frames = []
        if self.conn.state is OPEN:  # otherwise the client has sent a close frame before
            self.conn.send_close(1007)  # uvicorn would log a traceback for what a client sent
            self.handle_parser_exception()

    async def send(self, message: Any) -> None:
        text = message.get("text")
        if text is not None and message["type"] == "websocket.send" and self.takes_text():
            # Eight times as fast as through websockets, whose state isn't affected by complete frames.
            self.transport.write(encode(text))
            return
        if self.close_sent and self.handshake_complete and not self.is_closed:
            # The client has closed, and the application doesn't know yet. Uvicorn would log a traceback, as for a bug.
            raise ClientDisconnected
        self.is_closed = message["type"] == "websocket.close"
        await super().send(message)
        if message["type"] == "websocket.accept" and self.conn.state is OPEN:
            self.opened()
            if LIMITS in message:
                self.limit_messages(message[LIMITS])

    def takes_text(self) -> bool:
        """Return True if a text can be written directly. Otherwise uvicorn waits or raises."""
        return self.is_plain and self.conn.state is OPEN and not self.disconnected and self.writable.is_set()

    def opened(self) -> None:
        # Debug logging must see every frame.
        self.is_plain = not (self.conn.extensions or self.conn.debug)
        # Free the request, which would stay in memory while the socket is open: 4 KiB, more with many cookies.
        self.request.headers.clear()  # websockets' parser also holds the request
        del self.request, self.response


def is_utf_8(pieces: list[bytes]) -> bool:
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
