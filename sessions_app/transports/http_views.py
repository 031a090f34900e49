"""The transports over HTTP, PROTOCOL.md §2: server-sent events, long poll, and what a client sends.

Thin shells that put a `Connection` on a request, as `consumers` does on a socket. They are Django's own async views,
since the REST framework's hold a thread for as long as they wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from sessions_app import conf, process
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
from sessions_app.http.guards import guard, json_body, json_response, publishes, refused
from sessions_app.transports import sse
from sessions_app.transports.sse import EventStream

# Streams


@guard("POST")
async def stream(request: HttpRequest, who: Identity) -> EventStream:
    """`POST /api/stream/`: follow many sessions."""
    attaches = _attaches(json_body(request))
    here = await process.current()
    here.connections.check_room(who.owner)
    return EventStream(sse.body(here, who, attaches, sse.event, headers=headers_of(request)))


def _for_now(refusal: Refusal, headers: dict[str, str]) -> HttpResponse:
    # An EventSource gives up for good at any other status than 200.
    if not refusal.kind.retryable:
        return refused(refusal, headers)
    told = sse.retry() + sse.event(frames.encode(cast(ErrorFrame, {"type": "error", **refusal.as_dict()})))
    return HttpResponse(told, headers=sse.HEADERS)


@guard("GET", refuse=_for_now)
async def session_stream(request: HttpRequest, who: Identity, session: str) -> EventStream:
    """`GET /api/sessions/<id>/stream/`: follow one, with a browser's own EventSource."""
    query = _attach_query(request, session)
    resumes_at = request.headers.get("Last-Event-ID")
    attach = _attach(query | {"cursor": resumes_at} if resumes_at else query)
    here = await process.current()
    here.connections.check_room(who.owner)
    who.check("read", session)
    await threads.run(queries.readable, session, who.owner)  # while it can be said by a status
    return EventStream(
        sse.body(here, who, [attach], sse.resumable_event, headers=headers_of(request), head=sse.retry())
    )


# Polls


@guard("POST")
async def poll(request: HttpRequest, who: Identity) -> HttpResponse:
    """`POST /api/poll/`: what is new in many sessions."""
    body = json_body(request)
    attaches = _attaches(body)
    answer = LongPoll(await process.current(), who, headers_of(request))
    texts = await answer.to(attaches, wait_s=_wait_s(body.get("wait_ms")))
    return json_response(_frames(texts))


@guard("GET")
async def session_poll(request: HttpRequest, who: Identity, session: str) -> HttpResponse:
    """`GET /api/sessions/<id>/poll/`: what is new in one, and the cursor to ask with next."""
    attach = _attach(_attach_query(request, session))
    wait_s = _wait_s(_whole(request, "wait_ms"))
    answer = LongPoll(await process.current(), who, headers_of(request))
    texts = await answer.to([attach], wait_s=wait_s, refusals=False)
    cursors = [cursor for text in texts if (cursor := frames.cursor_of(text))]
    return json_response(_frames(texts, cursor=cursors[-1] if cursors else str(attach.cursor or "")))


def _frames(texts: list[str], **more: str) -> bytes:
    rest = orjson.dumps(more).decode()[1:-1]
    return f'{{"frames":[{",".join(texts)}]{"," if rest else ""}{rest}}}'.encode()


class LongPoll:
    """One poll's answer, which is a connection as long as it is waited for."""

    def __init__(self, here: process.Process, who: Identity, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._texts: list[str] = []
        self._expected = 1  # frames that are no news: the first, and what brings nothing
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._here = here
        self._beginning = here.connection_recorder.begin("poll", headers)
        self._connection = Connection(here.connections, who, send=self._send, close=self._close, transport="poll")

    async def to(self, attaches: Iterable[ClientFrame], *, wait_s: float, refusals: bool = True) -> list[str]:
        """Return the frames. `refusals`: a session's refusal is one of them; else it is raised."""
        self._here.connections.admit(self._connection)
        try:
            ends_at = asyncio.get_running_loop().time() + wait_s
            self._connection.greet()
            await self._attach(attaches, refusals)
            await sse.release_thread()
            await self._wait(ends_at)
            await self._connection.flush()
            return self._texts
        except asyncio.CancelledError:  # polls are many: only one whose client didn't wait is worth a note
            silent_s = asyncio.get_running_loop().time() - self._beginning.at
            end = ConnectionEnd(Ended.LEFT, idle_s=silent_s)
            self._here.connection_recorder.end(self._beginning, end, owner=self._connection.identity.owner)
            raise
        finally:
            self._here.connections.dismiss(self._connection)

    async def _attach(self, attaches: Iterable[ClientFrame], refusals: bool) -> None:
        for attach in attaches:
            if self._bytes >= conf.settings.snapshot_bytes:
                return  # the rest is for the next poll, in which these bring less
            try:
                cursor = await self._connection.attach(attach)
            except HoldfastError as problem:
                if not refusals:
                    raise
                self._connection.queue(frames.error(problem, session=attach.session))
            else:
                self._expected += cursor == attach.cursor
            await self._connection.flush()

    async def _wait(self, ends_at: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at):
                while not self._has_news:
                    self._arrival.clear()
                    await self._arrival.wait()
                await asyncio.sleep(conf.settings.poll_gather_ms / 1000)
        except TimeoutError:
            if not self._has_news:
                self._connection.queue(self._connection.heartbeat())

    @property
    def _has_news(self) -> bool:
        return len(self._texts) > self._expected

    async def _send(self, texts: list[str]) -> None:
        self._texts += texts
        self._bytes += sum(map(len, texts))
        self._arrival.set()

    async def _close(self, code: int) -> None:
        self._arrival.set()


# Signals


@guard("POST")
async def signal(request: HttpRequest, who: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/signals/`: send into a session; the answer is the receipt."""
    frame = frames.read({**json_body(request), "type": "signal", "session": session})
    here = await process.current()
    receipt, problem = await here.signal_intake.accept(who, frame, now=asyncio.get_running_loop().time())
    return json_response(receipt.encode(), problem.kind.status if problem else 200)


# Publishing


@guard("POST", budget=publishes)
async def publish(request: HttpRequest, who: Identity, session: str) -> HttpResponse:
    """`POST /api/sessions/<id>/publish/`: a batch of a producer elsewhere; the answer is what a socket is told."""
    frame = frames.read({**json_body(request), "type": "publish", "session": session})
    serial = await (await process.current()).producers.publish(who, frame)
    return json_response(frames.published(frame, serial).encode())


@guard("POST", budget=publishes)
async def beat(request: HttpRequest, who: Identity) -> HttpResponse:
    """`POST /api/beat/`: a producer elsewhere lives."""
    await (await process.current()).producers.beat(who, frames.read({**json_body(request), "type": "beat"}))
    return HttpResponse(status=204)


# A socket that isn't one


@csrf_exempt
async def upgrade_required(request: HttpRequest) -> HttpResponse:
    """A handshake that lost its `Upgrade` on the way."""
    return refused(HoldfastError("upgrade_required"), {"Upgrade": "websocket"})


# What is asked


def _attaches(body: Mapping[str, Any]) -> list[ClientFrame]:
    asked = body.get("attach")
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise HoldfastError("bad_frame", "`attach` is a list of attach frames.")
    if len(asked) > conf.settings.sessions_per_connection:
        raise HoldfastError("too_many_sessions", f"at most {conf.settings.sessions_per_connection}")
    attaches = [_attach(one) for one in asked]
    if len({attach.session for attach in attaches}) < len(attaches):
        raise HoldfastError("bad_frame", "`attach` names a session twice.")
    return attaches


def _attach(fields: Mapping[str, Any]) -> ClientFrame:
    if fields.get("type", "attach") != "attach":
        raise HoldfastError("bad_frame", "`attach` takes attach frames only.")
    return frames.read({**fields, "type": "attach"})


def _attach_query(request: HttpRequest, session: str) -> dict[str, Any]:
    return {"session": session, "cursor": request.GET.get("cursor") or None, "rewind": _whole(request, "rewind")}


def _whole(request: HttpRequest, name: str) -> int | str | None:
    """A parameter as a number if it is one: what isn't, is refused where its frame is read."""
    text = request.GET.get(name) or None
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else text


def _wait_s(wait_ms: object) -> float:
    if wait_ms is None:
        return conf.settings.poll_ms / 1000
    if not isinstance(wait_ms, int) or isinstance(wait_ms, bool) or wait_ms < 0:
        raise HoldfastError("bad_frame", "`wait_ms` is a number of milliseconds, 0 or more.")
    return min(wait_ms, conf.settings.poll_ms) / 1000
