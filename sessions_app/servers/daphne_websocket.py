"""Connections under Daphne: neither side gets ahead of the other; a WebSocket is light on memory and CPU time."""

import asyncio
import socket
import struct
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.tcp import Connection

from sessions_app.servers.websocket_frames import encode

# Messages of one client that wait for its application; beyond it the server stops reading from that client.
INBOX_MESSAGES = 16
# In struct tcp_info (linux/tcp.h): where last_data_sent, last_ack_sent and last_data_recv stand, in ms.
TCP_INFO_LAST_DATA = 44
TCP_INFO_BYTES = 56
SERVICE_RESTART = 1012  # close code (IANA registry): come back
# What autobahn and Daphne keep of the request in each connection.
OF_THE_HANDSHAKE = (
    "_raw_query_string", "_transport_details", "application_deferred", "clean_headers", "http_headers",
    "http_request_data", "http_request_host", "http_request_params", "http_request_path", "http_request_uri",
    "http_response_data", "http_status_line",
)  # fmt: skip


class Producer:
    """Waits while a client doesn't read: Twisted says when its buffer has more than 64 KiB, and when it is empty."""

    drained: asyncio.Future[None] | None = None  # set while more is written than the transport should hold

    async def writable(self) -> None:
        """Wait until the transport has room."""
        while self.drained is not None:
            await self.drained

    def pauseProducing(self) -> None:
        if self.drained is None:  # Twisted says it again at each write that doesn't wait, a ping's for example
            self.drained = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def stopProducing(self) -> None:  # the connection is lost
        self.resumeProducing()


async def take_body(request: WebRequest, *, more: bool) -> None:
    """Wait until a response may write its next piece. Daphne's takes all that it is given.

    A response that is ended while it waits has a client that doesn't read: its connection is cut.
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
    """Daphne's, but neither side gets ahead of the other, and it can say that the server restarts."""

    reading = True
    idle_s: float | None = None  # when it was cut: since anything was sent or received before

    def onOpen(self) -> None:
        super().onOpen()
        # The request would stay in memory for as long as the socket is open: 3 KiB, and more with many cookies.
        self.transport.unregisterProducer()  # the HTTP channel that the request came through
        self.transport.registerProducer(self, True)
        self.request.headers.clear()
        for name in OF_THE_HANDSHAKE:
            self.__dict__.pop(name, None)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if hasattr(self, "server"):  # else autobahn has refused the handshake, and Daphne never heard of it
            self.muted = True  # Daphne's message doesn't say how it ended
            super().onClose(wasClean, code, reason)
            if hasattr(self, "application_queue"):
                end = {"code": code, "ended": self.ended(wasClean), "idle_s": self.idle_s}
                self.application_queue.put_nowait({"type": "websocket.disconnect", **end})

    def ended(self, was_clean: bool) -> str:
        """By whom, or how if by nobody: a ConnectionRecord's `ended`."""
        if self.closedByMe:
            return "server"
        if was_clean:
            return "client"
        return "lost" if self.droppedByMe else "cut"

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        super().onMessage(payload, isBinary)
        if self.reading and len(self.application_queue.messages) >= INBOX_MESSAGES:
            self.reading = False
            self.transport.pauseProducing()

    def processData(self) -> bool:
        # What had been read before the pause stays in the parser's buffer.
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
        """Sends a frame at once where nothing waits before it, which takes a fifth of autobahn's and Twisted's way."""
        frame = encode(text)
        transport = self.transport
        if isinstance(transport, Connection) and not (transport.dataBuffer or transport._tempDataBuffer):
            sent = transport.writeSomeData(frame)
            frame = frame[sent:] if isinstance(sent, int) else frame  # a lost connection is for `write` to notice
        if frame:
            transport.write(frame)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.state != self.STATE_OPEN:
            self.transport.unregisterProducer()  # or it would not be closed

    def stopProducing(self) -> None:
        # The other side has ended the connection: the last moment at which the kernel can be asked.
        self.idle_s = kernel_idle_s(self.transport.getHandle())
        super().stopProducing()

    def go_away(self) -> None:
        if self.state == self.STATE_OPEN:
            # Not sendClose: it refuses every code from 1001 to 2999.
            self.sendCloseFrame(code=SERVICE_RESTART, reasonUtf8=b"the server is restarting")
        elif self.state == self.STATE_CONNECTING and hasattr(self, "handshake_deferred"):
            self.serverReject()


def kernel_idle_s(connection: socket.socket) -> float | None:
    """Seconds since a TCP socket last sent or received data, pings included; None where the kernel doesn't say.

    Linux keeps account of it, so that nobody else has to at each frame.
    """
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except (AttributeError, OSError):  # another system; TLS, which hides the socket
        return None
    sent_ms, received_ms = struct.unpack_from("=I4xI", info, TCP_INFO_LAST_DATA)
    return float(min(sent_ms, received_ms)) / 1000


def share_options(factory: Any) -> None:
    """Puts autobahn's options on the class: it copies those that aren't there into each connection, 2 KiB of them."""
    for name in SocketProtocol.CONFIG_ATTRS:
        option = getattr(factory, name)
        if not callable(option):  # that would become a method
            setattr(SocketProtocol, name, option)
