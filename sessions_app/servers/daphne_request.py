"""Request bodies under Daphne that are passed on as they come. Twisted gives a request away when its body is whole.

That is so for bodies that are known to be small. A body that announces more than BODY_BYTES, or no length, would fill
the temporary folder before the application, which limits it, is called.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

from daphne.http_protocol import WebRequest

from sessions_app import conf
from sessions_app.core.asgi_types import AsgiMessage, Scope

# Pieces of a body that wait for its application; beyond it the server stops reading from that client.
PIECES = 16

Takes = Callable[[Scope], bool]


class RequestBody:
    """What has come of a request's body and its application has not taken yet; Daphne's queue knows no limit."""

    def __init__(self, request: "StreamedRequest") -> None:
        self.request = request
        self.messages: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self.reading = True

    def put_nowait(self, message: AsgiMessage) -> None:
        """Daphne's own messages: of the body, which it takes for empty, only the others count."""
        if message["type"] != "http.request":
            self.messages.put_nowait(message)

    def add(self, data: bytes, *, more: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": data, "more_body": more})
        if self.reading and self.messages.qsize() >= PIECES:
            self.reading = False
            self.request.transport.pauseProducing()

    async def get(self) -> AsgiMessage:
        message = await self.messages.get()
        if not self.reading and self.messages.empty() and self.request.channel is not None:
            self.reading = True
            self.request.transport.resumeProducing()
        return message


class StreamedRequest(WebRequest):
    """Daphne's, but it begins when its headers are there if its body may be large or `takes_stream` chooses it."""

    takes_stream: Takes = staticmethod(lambda scope: False)
    body: RequestBody | None = None

    def gotLength(self, length: int | None) -> None:
        by_line = length != 0 and self.takes_stream(self._scope())
        is_too_large = not by_line and length is not None and length > conf.settings.body_bytes
        is_streamed = by_line or is_too_large or length is None
        super().gotLength(0 if is_streamed else length)  # Twisted makes a file for as much
        if is_too_large:
            self.requestHeaders.removeHeader(b"Expect")  # Twisted would ask for it with 100
        if is_streamed:
            self._begin()
        if by_line:
            self.channel.setTimeout(None)  # its application knows how long it may be silent

    def _begin(self) -> None:
        self.body = RequestBody(self)
        channel = self.channel
        # It may be answered before it is whole: what follows must not be taken for another request, or for frames.
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
