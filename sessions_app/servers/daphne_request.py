"""Requests under Daphne: time limits, and streamed bodies. Twisted itself passes a request on only once it is complete.

That is kept for bodies known to be small. A longer one, or one of unknown length, would fill the temporary directory
before the application, which enforces the limit, is called.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import WebRequest
from twisted.web import http

from sessions_app import conf
from sessions_app.core.asgi_types import Message, Scope
from sessions_app.servers.request_limits import RequestLimits

# Chunks of a body that may wait for the application; at the limit the server stops reading from the client.
MAX_CHUNKS = 16
TwistedChannel: Any = http.HTTPChannel  # most of it has no types
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Channel(TwistedChannel):
    """Twisted's HTTP connection with a time limit for each request's head and body.

    Twisted's own limit counts from the last byte, so a client that sends one now and then would keep it open.
    """

    arrival: Any = None  # the timer of what the client has to send next
    is_body = False  # the client has sent a request's head, and not all of its body

    def connectionMade(self) -> None:
        super().connectionMade()
        self.expect(conf.settings.request_head_s)

    def dataReceived(self, data: bytes) -> None:
        self.expect_head()
        super().dataReceived(data)

    def requestDone(self, request: Any) -> None:
        self.expect(None)
        super().requestDone(request)
        if self.requests or self._buffer:  # the next request has begun
            self.expect_head()

    def connectionLost(self, reason: Any) -> None:
        self.expect(None)
        super().connectionLost(reason)

    def expect_head(self) -> None:
        if self.arrival is None and not self._handlingRequest and not self.is_body:
            self.expect(conf.settings.request_head_s)

    def expect(self, seconds: float | None) -> None:
        """Give the client this time for what it has to send next. None: nothing, or the application has a limit."""
        if self.arrival is not None and self.arrival.active():
            self.arrival.cancel()
        self.arrival = None if seconds is None else self.callLater(seconds, self.time_out)

    def time_out(self) -> None:
        has_begun = bool(self.requests or self._buffer)  # an idle connection gets no response
        if has_begun and not any(request._response_started for request in self.requests):
            scope = self.requests[-1]._scope() if self.is_body and self.requests else None
            self.transport.write(RequestLimits.timeout_response(scope))
        self.timeoutConnection()


class RequestBody:
    """Bounded queue of a request's body; Daphne's own queue has no limit.

    Nothing is read from the client before the application asks for the first message.
    """

    def __init__(self, request: "StreamedRequest") -> None:
        self.request = request
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = False
        request.transport.pauseProducing()

    def put_nowait(self, message: Message) -> None:
        """Queue a message of Daphne, except its `http.request`, which has an empty body."""
        if message["type"] != "http.request":
            self.messages.put_nowait(message)

    def add(self, data: bytes, *, more: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": data, "more_body": more})
        if self.reading and self.messages.qsize() >= MAX_CHUNKS:
            self.reading = False
            self.request.transport.pauseProducing()

    async def get(self) -> Message:
        if self.messages.empty():
            self.read()
        message = await self.messages.get()
        if self.messages.empty():
            self.read()
        return message

    def read(self) -> None:
        """Let the client send more."""
        if self.reading or getattr(self.request, "channel", None) is None:  # Twisted deletes it after the response
            return
        self.reading = True
        if self.request.awaits_continue:
            self.request.awaits_continue = False
            self.request.transport.write(CONTINUE)
        self.request.transport.resumeProducing()


class StreamedRequest(WebRequest):
    """Daphne's request, started as soon as its headers are read if its body may be large or the rule says so."""

    body: RequestBody | None = None
    awaits_continue = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Twisted's own answer to a malformed form would be a bare 400, before the application is called.
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)

    def gotLength(self, length: int | None) -> None:
        rule = RequestLimits.rule(self._scope())
        self.channel.is_body = True
        self.channel.expect(rule.timeout_s)
        is_streamed = length is None or length > (0 if rule.is_streamed else rule.max_bytes)
        super().gotLength(0 if is_streamed else length)  # Twisted creates a file of this size
        if is_streamed:
            self._start_streaming()
        if is_streamed and rule.timeout_s is None:
            self.channel.setTimeout(None)  # the application has its own timeout

    def process(self) -> None:
        """Override: refuse or drop headers that Daphne would fail at or believe."""
        # Any client could set it, and move its request to other addresses. A site has `daphne --root-path`.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if all(value.isascii() for value in self.requestHeaders.getRawHeaders(b"Sec-WebSocket-Protocol", [])):
            super().process()
        else:  # Daphne decodes it as ASCII, and logs a traceback
            self.basic_error(400, b"Bad Request", "Invalid header value")

    def _start_streaming(self) -> None:
        # Twisted would answer 100 Continue before the application has decided.
        self.awaits_continue = self.requestHeaders.getRawHeaders(b"Expect", [b""])[0].lower() == b"100-continue"
        self.requestHeaders.removeHeader(b"Expect")
        self.body = RequestBody(self)
        channel = self.channel
        # The response may end before the body does; the rest must not be read as another request or as frames.
        channel.persistent = False
        self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.requestHeaders.removeHeader(b"Upgrade")
        super().requestReceived(channel._command, channel._path, channel._version)

    def _scope(self) -> Scope:
        channel = self.channel
        names = (b"content-type", b"origin")
        return {
            "type": "http",
            "method": channel._command.decode("latin1"),
            "path": unquote(channel._path.split(b"?", 1)[0].decode("latin1")),
            "headers": [(name, value) for name in names for value in self.requestHeaders.getRawHeaders(name, [])],
        }

    def handleContentChunk(self, data: bytes) -> None:
        if self.body is None:
            super().handleContentChunk(data)
        else:
            self.body.add(data, more=True)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.channel is not None:
            self.channel.is_body = False
            self.channel.expect(None)
        if self.body is None:
            super().requestReceived(command, path, version)
        else:
            self.body.add(b"", more=False)


def generic_channel() -> Any:
    """Return a connection for Daphne's HTTP factory."""
    channel = http._GenericHTTPChannelProtocol(Channel())
    channel.requestFactory = StreamedRequest
    return channel
