"""Server-sent events (PROTOCOL.md §2): a streaming response with the frames of a connection.

Plain async Django views, since the REST framework's views occupy a thread while they last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Self, cast

import orjson
from asgiref.sync import SyncToAsync
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from sessions_app import process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.wire_types import ErrorFrame
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.diagnostics.connection_records import ConnectionEnd, Ended, headers_of
from sessions_app.event_log import queries
from sessions_app.http.errors import Refusal
from sessions_app.http.guards import guard, json_body, refused
from sessions_app.http.throttling import address_of, request_payer
from sessions_app.process import Process
from sessions_app.telemetry import log_context
from sessions_app.transports.attach_requests import attach_frame, attach_query, attaches_in

# A comment, which clients skip: some proxies buffer a response up to this size.
PADDING = f": {' ' * 2048}\n\n"
RETRY_MS = 1000  # reconnection delay of a browser's EventSource, randomized by half

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would buffer the whole response
    "Content-Encoding": "identity",  # compression would buffer the response
}

logger = logging.getLogger(__name__)

Encode = Callable[[str], str]


def event(text: str) -> str:
    """Return a frame as an event."""
    return f"data: {text}\n\n"


def resumable_event(text: str) -> str:
    """Return a frame as an event for a browser's EventSource, with its cursor or reconnection delay."""
    cursor = frames.cursor_of(text)
    if cursor:
        return f"id: {cursor}\n{event(text)}"
    if text.startswith('{"type":"going-away"'):
        return f"retry: {orjson.loads(text)['reconnect_in_ms']}\n{event(text)}"
    return event(text)


def retry() -> str:
    """Return the reconnection delay for an EventSource."""
    return f"retry: {round(RETRY_MS * random.uniform(0.5, 1.5))}\n\n"


class EventStream(StreamingHttpResponse):
    """Streaming response that closes its generator when it ends; Django leaves that to garbage collection."""

    def __init__(self, body: AsyncGenerator[bytes, None], headers: Mapping[str, str] = HEADERS) -> None:
        super().__init__(body, headers=headers)
        self._body = body

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._body


class StreamBody:
    """Body of a streaming response. The connection sends frames; the response takes them when its client reads."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._arrival = asyncio.Event()
        self._taken: asyncio.Future[None] | None = None
        self._taker: asyncio.Task[None] | None = None  # set while the server waits for the client
        self._closed = False
        self.sent_at = 0.0  # time when the server took the last frames

    async def send(self, texts: list[str]) -> None:
        """Send frames. Returns when the server has taken them, at the speed that its client reads."""
        self._texts = texts
        self._taken = asyncio.get_running_loop().create_future()
        self._arrival.set()
        await self._taken

    async def close(self, code: int) -> None:
        """End the response, immediately if its client doesn't read."""
        self._closed = True
        self._arrival.set()
        if self._taker is not None:
            self._taker.cancel()

    async def next(self) -> list[str] | None:
        """Return the next frames, None at the end. A call means that the previous frames are sent."""
        self._taker = None
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        await self._arrival.wait()
        self._arrival.clear()
        if self._closed:
            return None
        texts, self._texts = self._texts, []
        self._taker = asyncio.current_task()
        self.sent_at = asyncio.get_running_loop().time()
        return texts


class StreamConnection:
    """A connection whose frames go to a streaming response, for `async with`. Raises as `ConnectionRegistry.admit`."""

    def __init__(self, server: Process, identity: Identity, request: HttpRequest) -> None:
        self._server = server
        self._beginning = server.connection_recorder.begin("stream", headers_of(request))
        self.body = StreamBody()
        self.connection = Connection(
            server.connections,
            identity,
            send=self.body.send,
            close=self.body.close,
            transport="stream",
            address=address_of(request),
        )

    async def __aenter__(self) -> Self:
        log_context.work_on(**log_context.ids() | {"connection": self.connection.id})
        await release_thread()
        self._server.connections.admit(self.connection)
        return self

    async def __aexit__(self, *problem: object) -> None:
        end = _end(self.connection, self.body)
        if self.connection in self._server.connections:
            self._server.connection_recorder.end(self._beginning, end, owner=self.connection.identity.owner)
        self._server.connections.dismiss(self.connection, end.ended)


async def body(
    server: Process,
    identity: Identity,
    attaches: Sequence[ClientFrame],
    encode: Encode,
    *,
    request: HttpRequest,
    head: str = "",
) -> AsyncGenerator[bytes, None]:
    """Follow sessions until the client leaves or the stream's time is over. Acquires nothing before it is iterated."""
    try:
        async with StreamConnection(server, identity, request) as stream:
            stream.connection.greet()
            stream.connection.start(stream.connection.follow(attaches))
            head += PADDING
            while (texts := await stream.body.next()) is not None:
                chunk = (head + "".join(map(encode, texts))).encode()
                texts.clear()  # frees memory: `send` holds the list while the client doesn't read
                yield chunk
                head = ""
    except HoldfastError as problem:  # the connection limit was reached after the view's check
        yield encode(frames.error(problem)).encode()
    except Exception:
        logger.exception("a stream failed")
        yield encode(frames.error(HoldfastError("internal"))).encode()


def _end(connection: Connection, stream: StreamBody) -> ConnectionEnd:
    if connection.closed or connection.end_reason:
        return ConnectionEnd(Ended.BY_SERVER)
    now = asyncio.get_running_loop().time()
    return ConnectionEnd(Ended.LEFT, idle_s=min(connection.idle_s(now), now - stream.sent_at))


async def release_thread() -> None:
    """End the thread that Django keeps for this request's synchronous code, and close its database connections.

    It would stay idle for as long as the response lasts. A new one is created if needed.
    """
    request = SyncToAsync.thread_sensitive_context.get(None)
    thread = SyncToAsync.context_to_thread_executor.pop(request, None) if request is not None else None
    if thread is not None:
        await asyncio.get_running_loop().run_in_executor(thread, connections.close_all)
        thread.shutdown(wait=False)


# Views


@guard("POST")
async def stream(request: HttpRequest, identity: Identity) -> EventStream:
    """`POST /api/stream/`: follow several sessions."""
    attaches = attaches_in(json_body(request))
    server = await process.current()
    server.connections.check_room(request_payer(request, identity))
    return EventStream(body(server, identity, attaches, event, request=request))


def _refuse_as_event(refusal: Refusal, headers: dict[str, str]) -> HttpResponse:
    # An EventSource never reconnects after a status other than 200.
    if not refusal.kind.retryable:
        return refused(refusal, headers)
    text = retry() + event(frames.encode(cast(ErrorFrame, {"type": "error", **refusal.as_dict()})))
    return HttpResponse(text, headers=HEADERS)


@guard("GET", refuse=_refuse_as_event)
async def session_stream(request: HttpRequest, identity: Identity, session: str) -> EventStream:
    """`GET /api/sessions/<id>/stream/`: follow one session with a browser's EventSource."""
    query = attach_query(request, session)
    resumes_at = request.headers.get("Last-Event-ID")
    attach = attach_frame(query | {"cursor": resumes_at} if resumes_at else query)
    server = await process.current()
    server.connections.check_room(request_payer(request, identity))
    identity.check("read", session)
    await threads.run(queries.readable, session, identity.owner)  # while an error can still be a status
    return EventStream(body(server, identity, [attach], resumable_event, request=request, head=retry()))
