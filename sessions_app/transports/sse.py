"""Server-sent events: a response that goes on with what a connection sends; PROTOCOL.md §2.

Django's own async views, since the REST framework's hold a thread for as long as they last.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import cast

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
from sessions_app.process import Process
from sessions_app.telemetry import log_context
from sessions_app.transports.attach_requests import attach_frame, attach_query, attaches_in

# A comment, which clients skip: some proxies hold a response back until they have so much of it.
PADDING = f": {' ' * 2048}\n\n"
RETRY_MS = 1000  # after which a browser's EventSource comes back when its stream broke; spread by half of it

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would keep it until it has ended
    "Content-Encoding": "identity",  # what compresses a response holds it back
}

logger = logging.getLogger(__name__)

Encode = Callable[[str], str]


def event(text: str) -> str:
    """A frame as an event."""
    return f"data: {text}\n\n"


def resumable_event(text: str) -> str:
    """A frame for a browser's EventSource: with the cursor to resume from, or when to come back."""
    cursor = frames.cursor_of(text)
    if cursor:
        return f"id: {cursor}\n{event(text)}"
    if text.startswith('{"type":"going-away"'):
        return f"retry: {orjson.loads(text)['reconnect_in_ms']}\n{event(text)}"
    return event(text)


def retry() -> str:
    """When an EventSource is to come back."""
    return f"retry: {round(RETRY_MS * random.uniform(0.5, 1.5))}\n\n"


class EventStream(StreamingHttpResponse):
    """A response whose body is over when it is: Django leaves the end of a generator to the garbage collector."""

    def __init__(self, body: AsyncGenerator[bytes, None]) -> None:
        super().__init__(body, headers=HEADERS)
        self._body = body

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._body


class StreamBody:
    """Passes what a connection sends to the response, which takes it piece by piece."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._arrival = asyncio.Event()
        self._taken: asyncio.Future[None] | None = None
        self._taker: asyncio.Task[None] | None = None  # while the server holds it back
        self._closed = False
        self.sent_at = 0.0  # when the server took the last frames

    async def send(self, texts: list[str]) -> None:
        """Return when the server has taken them: it takes no more than its client reads."""
        self._texts = texts
        self._taken = asyncio.get_running_loop().create_future()
        self._arrival.set()
        await self._taken

    async def close(self, code: int) -> None:
        """End the response, at once if its client doesn't read."""
        self._closed = True
        self._arrival.set()
        if self._taker is not None:
            self._taker.cancel()

    async def next(self) -> list[str] | None:
        """The next frames, None at the end. Who asks has sent those before."""
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


async def body(
    here: Process,
    who: Identity,
    attaches: Sequence[ClientFrame],
    encode: Encode,
    *,
    headers: Iterable[tuple[bytes, bytes]],
    head: str = "",
) -> AsyncGenerator[bytes, None]:
    """Follow sessions for as long as the client reads and its time lasts. Nothing is held before the first piece."""
    pieces = StreamBody()
    beginning = here.connection_recorder.begin("stream", headers)
    connection = Connection(here.connections, who, send=pieces.send, close=pieces.close, transport="stream")
    log_context.work_on(**log_context.ids() | {"connection": connection.id})
    try:
        await release_thread()
        here.connections.admit(connection)
        connection.greet()
        connection.start(connection.follow(attaches))
        head += PADDING
        while (texts := await pieces.next()) is not None:
            piece = (head + "".join(map(encode, texts))).encode()
            texts.clear()  # `send` has the list too, for as long as the client doesn't read
            yield piece
            head = ""
    except HoldfastError as problem:  # the last place was taken after the view had looked
        yield encode(frames.error(problem)).encode()
    except Exception:
        logger.exception("a stream failed")
        yield encode(frames.error(HoldfastError("internal"))).encode()
    finally:
        end = _end(connection, pieces)
        if connection in here.connections:
            here.connection_recorder.end(beginning, end, owner=who.owner)
        here.connections.dismiss(connection, end.ended)


def _end(connection: Connection, pieces: StreamBody) -> ConnectionEnd:
    if connection.closed:
        return ConnectionEnd(Ended.BY_SERVER)
    now = asyncio.get_running_loop().time()
    return ConnectionEnd(Ended.LEFT, idle_s=min(connection.idle_s(now), now - pieces.sent_at))


async def release_thread() -> None:
    """End the thread in which Django runs what isn't async for this request, and its database connections.

    It would wait for as long as the response lasts; it is made anew if something needs it.
    """
    request = SyncToAsync.thread_sensitive_context.get(None)
    thread = SyncToAsync.context_to_thread_executor.pop(request, None) if request is not None else None
    if thread is not None:
        await asyncio.get_running_loop().run_in_executor(thread, connections.close_all)
        thread.shutdown(wait=False)


# Views


@guard("POST")
async def stream(request: HttpRequest, who: Identity) -> EventStream:
    """`POST /api/stream/`: follow many sessions."""
    attaches = attaches_in(json_body(request))
    here = await process.current()
    here.connections.check_room(who.owner)
    return EventStream(body(here, who, attaches, event, headers=headers_of(request)))


def _for_now(refusal: Refusal, headers: dict[str, str]) -> HttpResponse:
    # An EventSource gives up for good at any other status than 200.
    if not refusal.kind.retryable:
        return refused(refusal, headers)
    told = retry() + event(frames.encode(cast(ErrorFrame, {"type": "error", **refusal.as_dict()})))
    return HttpResponse(told, headers=HEADERS)


@guard("GET", refuse=_for_now)
async def session_stream(request: HttpRequest, who: Identity, session: str) -> EventStream:
    """`GET /api/sessions/<id>/stream/`: follow one, with a browser's own EventSource."""
    query = attach_query(request, session)
    resumes_at = request.headers.get("Last-Event-ID")
    attach = attach_frame(query | {"cursor": resumes_at} if resumes_at else query)
    here = await process.current()
    here.connections.check_room(who.owner)
    who.check("read", session)
    await threads.run(queries.readable, session, who.owner)  # while it can be said by a status
    return EventStream(body(here, who, [attach], resumable_event, headers=headers_of(request), head=retry()))
