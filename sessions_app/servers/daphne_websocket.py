"""Connections under Daphne, with backpressure in both directions and less memory and CPU time per WebSocket."""

import asyncio
import socket
import struct
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.tcp import Connection

from sessions_app.servers.websocket_frames import POLICY_VIOLATION, MessageLimits, MessageTimer, encode

# Messages of a client that may wait for the application; at the limit the server stops reading from the client.
INBOX_MESSAGES = 16
# Offset of last_data_sent, last_ack_sent and last_data_recv (ms) in struct tcp_info (linux/tcp.h).
TCP_INFO_LAST_DATA = 44
TCP_INFO_BYTES = 56
SERVICE_RESTART = 1012  # close code (IANA registry): reconnect
# Attributes of the handshake request that autobahn and Daphne keep for the whole connection.
HANDSHAKE_ATTRIBUTES = (
    "_raw_query_string", "_transport_details", "application_deferred", "clean_headers", "http_headers",
    "http_request_data", "http_request_host", "http_request_params", "http_request_path", "http_request_uri",
    "http_response_data", "http_status_line",
)  # fmt: skip


class Producer:
    """Backpressure from a client. Twisted pauses it above 64 KiB of buffered output and resumes it when empty."""

    drained: asyncio.Future[None] | None = None  # set while the transport's buffer is full

    async def writable(self) -> None:
        """Wait until the transport has room."""
        while self.drained is not None:
            await self.drained

    def pauseProducing(self) -> None:
        if self.drained is None:  # Twisted repeats the call at each further write, such as a ping
            self.drained = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def stopProducing(self) -> None:  # the connection is lost
        self.resumeProducing()


async def take_body(request: WebRequest, *, more: bool) -> None:
    """Wait until a response may write its next chunk; Daphne itself buffers without limit.

    If a response is cancelled while it waits, its client doesn't read: the connection is cut.
    """
    if request.producer is None and more and request.channel is not None:
        request.registerProducer(Producer(), True)
    if request.producer is None:
        return
    try:
        await request.producer.writable()
    except asyncio.CancelledError:
        if request.channel is not None:
            request.channel.transport.abortConnection()
        raise
    if not more and request.channel is not None:
        request.unregisterProducer()


class SocketProtocol(Producer, WebSocketProtocol):
    """Daphne's protocol with backpressure in both directions and a close frame for restarts."""

    reading = True
    idle_s: float | None = None  # time without traffic before the connection was cut
    inbox_messages = INBOX_MESSAGES
    arrival: MessageTimer | None = None  # of large messages

    def onOpen(self) -> None:
        super().onOpen()
        # Free the request, which would stay in memory while the socket is open: 3 KiB, more with many cookies.
        self.transport.unregisterProducer()  # the HTTP channel that the request came through
        self.transport.registerProducer(self, True)
        self.request.headers.clear()
        for name in HANDSHAKE_ATTRIBUTES:
            self.__dict__.pop(name, None)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.arrival is not None:
            self.arrival.stop()
        if hasattr(self, "server"):  # otherwise autobahn refused the handshake before Daphne saw it
            self.muted = True  # replace Daphne's message, which doesn't say how it ended
            super().onClose(wasClean, code, reason)
            if hasattr(self, "application_queue"):
                end = {"code": code, "ended": self.ended(wasClean), "idle_s": self.idle_s}
                self.application_queue.put_nowait({"type": "websocket.disconnect", **end})

    @property
    def is_ended(self) -> bool:
        return self.state in (self.STATE_CLOSING, self.STATE_CLOSED)

    def ended(self, was_clean: bool) -> str:
        """Return a ConnectionRecord's `ended`: the side that closed, or how the connection broke."""
        if self.closedByMe:
            return "server"
        if was_clean:
            return "client"
        return "lost" if self.droppedByMe else "cut"

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if self.arrival is not None:
            self.arrival.stop()
        if self.reading and len(self.application_queue.messages) >= self.inbox_messages:
            self.reading = False
            self.transport.pauseProducing()

    def limit_messages(self, limits: MessageLimits) -> None:
        self.maxMessagePayloadSize = self.maxFramePayloadSize = limits.max_bytes
        self.inbox_messages = 1
        self.arrival = MessageTimer(limits.timeout_s, self.time_out)

    def consumeData(self) -> None:
        super().consumeData()
        if self.arrival is not None:
            is_half = self.inside_message or self.current_frame is not None or bool(self.data)
            self.arrival.watch(is_half=is_half and self.reading and self.state == self.STATE_OPEN)

    def time_out(self) -> None:
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=POLICY_VIOLATION, reasonUtf8=b"the message did not arrive in time")

    def processData(self) -> bool:
        # Data read before the pause stays in the parser's buffer.
        return self.reading and super().processData()

    def resume_reading(self) -> None:
        if not self.reading:
            self.reading = True
            asyncio.get_running_loop().call_soon(self.continue_reading)

    def continue_reading(self) -> None:
        self.consumeData()
        if self.reading:
            self.transport.resumeProducing()

    def send_text(self, text: str) -> None:
        """Send a text frame, directly if nothing is buffered: five times as fast as through autobahn and Twisted."""
        frame = encode(text)
        transport = self.transport
        if isinstance(transport, Connection) and not (transport.dataBuffer or transport._tempDataBuffer):
            sent = transport.writeSomeData(frame)
            frame = frame[sent:] if isinstance(sent, int) else frame  # `write` handles a lost connection
        if frame:
            transport.write(frame)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.state != self.STATE_OPEN:
            self.transport.unregisterProducer()  # otherwise it would not be closed

    def stopProducing(self) -> None:
        # The peer has ended the connection; this is the last moment to read the kernel's counters.
        self.idle_s = kernel_idle_s(self.transport.getHandle())
        super().stopProducing()

    def go_away(self) -> None:
        if self.state == self.STATE_OPEN:
            # Not sendClose: it refuses every code from 1001 to 2999.
            self.sendCloseFrame(code=SERVICE_RESTART, reasonUtf8=b"the server is restarting")
        elif self.state == self.STATE_CONNECTING and hasattr(self, "handshake_deferred"):
            self.serverReject()


def kernel_idle_s(connection: socket.socket) -> float | None:
    """Return the seconds since a TCP socket last sent or received data, pings included; None if unknown.

    Linux keeps these counters, so nothing has to be counted per frame.
    """
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except (AttributeError, OSError):  # not Linux, or TLS, which hides the socket
        return None
    sent_ms, received_ms = struct.unpack_from("=I4xI", info, TCP_INFO_LAST_DATA)
    return float(min(sent_ms, received_ms)) / 1000


def share_options(factory: Any) -> None:
    """Set autobahn's options on the class; otherwise it copies them, 2 KiB, into each connection."""
    for name in SocketProtocol.CONFIG_ATTRS:
        option = getattr(factory, name)
        if not callable(option):  # a function would become a method
            setattr(SocketProtocol, name, option)
