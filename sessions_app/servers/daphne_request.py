"""Streamed request bodies under Daphne. Twisted itself passes a request on only once its body is complete.

That is kept for bodies known to be small. A body longer than BODY_BYTES, or of unknown length, would fill the temporary
directory before the application, which enforces the limit, is called.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

from daphne.http_protocol import WebRequest

from sessions_app import conf
from sessions_app.core.asgi_types import Message, Scope

# Chunks of a body that may wait for the application; at the limit the server stops reading from the client.
MAX_CHUNKS = 16

Takes = Callable[[Scope], bool]


class RequestBody:
    """Bounded queue of a request's body; Daphne's own queue has no limit."""

    def __init__(self, request: "StreamedRequest") -> None:
        self.request = request
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = True

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
        message = await self.messages.get()
        if not self.reading and self.messages.empty() and self.request.channel is not None:
            self.reading = True
            self.request.transport.resumeProducing()
        return message


class StreamedRequest(WebRequest):
    """Daphne's request, started as soon as its headers are read if its body may be large or `takes_stream` says so."""

    takes_stream: Takes = staticmethod(lambda scope: False)
    body: RequestBody | None = None

    def gotLength(self, length: int | None) -> None:
        by_line = length != 0 and self.takes_stream(self._scope())
        is_too_large = not by_line and length is not None and length > conf.settings.body_bytes
        is_streamed = by_line or is_too_large or length is None
        super().gotLength(0 if is_streamed else length)  # Twisted creates a file of this size
        if is_too_large:
            self.requestHeaders.removeHeader(b"Expect")  # Twisted would answer 100 Continue
        if is_streamed:
            self._start_streaming()
        if by_line:
            self.channel.setTimeout(None)  # the application has its own timeout

    def _start_streaming(self) -> None:
        self.body = RequestBody(self)
        channel = self.channel
        # The response may end before the body does; the rest must not be read as another request or as frames.
        channel.persistent = False
        self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.requestHeaders.removeHeader(b"Upgrade")
        super().requestReceived(channel._command, channel._path, channel._version)

    def _scope(self) -> Scope:
        channel = self.channel
        types = self.requestHeaders.getRawHeaders(b"Content-Type", [])
        return {
            "type": "http",
            "method": channel._command.decode("latin1"),
            "path": unquote(channel._path.split(b"?", 1)[0].decode("latin1")),
            "headers": [(b"content-type", value) for value in types],
        }

    def handleContentChunk(self, data: bytes) -> None:
        if self.body is None:
            super().handleContentChunk(data)
        else:
            self.body.add(data, more=True)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.body is None:
            super().requestReceived(command, path, version)
        else:
            self.body.add(b"", more=False)
