"""WebSocket protocol for uvicorn that uses less memory and CPU time.

`uvicorn --ws sessions_app.servers.uvicorn_websocket:SocketProtocol`. With `--ws websockets-sansio` everything works as
well, at a higher cost.
"""

import asyncio
import logging
from typing import Any
from urllib.parse import unquote

from uvicorn._types import ASGIVersions
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected, get_client_addr, get_path_with_query_string
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN, Protocol

from sessions_app.core.asgi_types import Message
from sessions_app.servers import uvicorn_pings
from sessions_app.servers.websocket_frames import ReceiveQueue, encode, whole_text

# Replaces uvicorn's logger, which gets three lines per socket, and at DEBUG the content of messages.
logger = logging.getLogger(__name__)
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
)
# Shared by all connections: of each scope, they would take 0.4 KiB for as long as it is open.
ASGI: ASGIVersions = {"version": "3.0", "spec_version": "2.4"}
EXTENSIONS: dict[str, dict[object, object]] = {"websocket.http.response": {}}
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
        "accept_key", "is_closed", "is_plain", "pings",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = logger
        self.conn.debug = logs_content()
        self.queue = ReceiveQueue(self)  # type: ignore[assignment]
        self.writable = WRITABLE
        self.pings: set[uvicorn_pings.Pinged] = NO_PINGS  # that the next one is among
        self.accept_key = b""  # answer to a handshake that `begin` was given
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

    def adopt(self, http: H11Protocol) -> None:
        """Take over a connection, as `connection_made`, with the addresses that are known of it."""
        self.connections.add(self)
        self.transport = http.transport
        self.server, self.client = http.server, http.client
        self.scheme = "wss" if http.scheme == "https" else "ws"

    def begin(self, target: bytes, headers: list[tuple[bytes, bytes]], accept_key: bytes) -> None:
        """Start the application for a valid handshake, as `handle_connect` does for one that websockets has parsed."""
        self.conn.parser = Protocol.parse(self.conn)  # of frames
        next(self.conn.parser)
        self.accept_key = accept_key
        self.handshake_initiated = True
        path, _, query = target.partition(b"?")
        protocols = [value for name, value in headers if name == b"sec-websocket-protocol"]
        self.scope = {
            "type": "websocket",
            "asgi": ASGI,
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "headers": headers,
            "subprotocols": [each.strip() for value in protocols for each in value.decode("ascii").split(",")],
            "state": self.app_state.copy(),
            "extensions": EXTENSIONS,
        }
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    def data_received(self, data: bytes) -> None:
        payload = whole_text(data, self.config.ws_max_size) if self.takes_frames() else None
        try:
            text = None if payload is None else payload.decode()
        except UnicodeDecodeError:
            text = None
        if text is None:
            super().data_received(data)
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

    def send_receive_event_to_app(self) -> None:
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
        if self.accept_key and message["type"] == "websocket.accept" and self.is_connecting():
            self.accept(message)
            return
        await super().send(message)
        if message["type"] == "websocket.accept" and self.conn.state is OPEN:
            self.opened()

    def takes_text(self) -> bool:
        """Return True if a text can be written directly. Otherwise uvicorn waits or raises."""
        return self.is_plain and self.conn.state is OPEN and not self.disconnected and self.writable.is_set()

    def is_connecting(self) -> bool:
        """Return True if a handshake can be answered directly. Otherwise uvicorn raises."""
        undecided = not self.handshake_complete and self.initial_response is None
        return undecided and not self.disconnected and not self.transport.is_closing()

    def accept(self, message: Message) -> None:
        """Accept a handshake that `begin` was given."""
        if self.logger.isEnabledFor(logging.INFO):
            place = get_client_addr(self.scope), get_path_with_query_string(self.scope)
            self.logger.info('%s - "WebSocket %s" [accepted]', *place)
        headers = [*self.default_headers, *message.get("headers", ())]
        if subprotocol := message.get("subprotocol"):
            headers.append((b"sec-websocket-protocol", subprotocol.encode()))
        more = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(ACCEPTED % (self.accept_key, more))
        self.accept_key = b""
        self.handshake_complete = True
        self.conn.state = OPEN
        self.start_keepalive()
        self.is_plain = not self.conn.debug

    def opened(self) -> None:
        # Debug logging must see every frame.
        self.is_plain = not (self.conn.extensions or self.conn.debug)
        # Free the request, which would stay in memory while the socket is open: 4 KiB, more with many cookies.
        self.request.headers.clear()  # websockets' parser also holds the request
        del self.request, self.response


def logs_content() -> bool:
    """Return True if debug logging is to see every handshake and frame."""
    return logger.isEnabledFor(logging.DEBUG)


def is_utf_8(pieces: list[bytes]) -> bool:
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
