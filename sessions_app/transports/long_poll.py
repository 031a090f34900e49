"""Long polling (PROTOCOL.md §2): each request waits for changes in sessions.

Plain async Django views, since the REST framework's views occupy a thread while they wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson
from django.http import HttpRequest, HttpResponse

from sessions_app import conf, process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.delivery.connection import Connection
from sessions_app.diagnostics.connection_records import ConnectionEnd, Ended, headers_of
from sessions_app.http.guards import guard, json_body, json_response
from sessions_app.http.throttling import address_of
from sessions_app.transports.attach_requests import attach_frame, attach_query, attaches_in, whole_number
from sessions_app.transports.sse import release_thread


@guard("POST")
async def poll(request: HttpRequest, identity: Identity) -> HttpResponse:
    """`POST /api/poll/`: changes in several sessions."""
    body = json_body(request)
    attaches = attaches_in(body)
    long_poll = LongPoll(await process.current(), identity, request)
    texts = await long_poll.respond(attaches, wait_s=wait_s_of(body.get("wait_ms")))
    return json_response(_frames(texts))


@guard("GET")
async def session_poll(request: HttpRequest, identity: Identity, session: str) -> HttpResponse:
    """`GET /api/sessions/<id>/poll/`: changes in one session, and the cursor for the next poll."""
    attach = attach_frame(attach_query(request, session))
    wait_s = wait_s_of(whole_number(request, "wait_ms"))
    long_poll = LongPoll(await process.current(), identity, request)
    texts = await long_poll.respond([attach], wait_s=wait_s, refusals=False)
    cursors = [cursor for text in texts if (cursor := frames.cursor_of(text))]
    return json_response(_frames(texts, cursor=cursors[-1] if cursors else str(attach.cursor or "")))


def _frames(texts: list[str], **more: str) -> bytes:
    rest = orjson.dumps(more).decode()[1:-1]
    return f'{{"frames":[{",".join(texts)}]{"," if rest else ""}{rest}}}'.encode()


class LongPoll:
    """One poll request. It counts as a connection while it waits."""

    def __init__(self, server: process.Process, identity: Identity, request: HttpRequest) -> None:
        self._texts: list[str] = []
        self._expected = 1  # frames that aren't news: `connected`, and an `attached` without changes
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._server = server
        self._beginning = server.connection_recorder.begin("poll", headers_of(request))
        self._connection = Connection(
            server.connections,
            identity,
            send=self._send,
            close=self._close,
            transport="poll",
            address=address_of(request),
        )

    async def respond(self, attaches: Iterable[ClientFrame], *, wait_s: float, refusals: bool = True) -> list[str]:
        """Return the frames. With `refusals`, a session's error is one of them; otherwise it is raised."""
        self._server.connections.admit(self._connection)
        try:
            ends_at = asyncio.get_running_loop().time() + wait_s
            self._connection.greet()
            await self._attach(attaches, refusals)
            await release_thread()
            await self._wait(ends_at)
            await self._connection.flush()
            return self._texts
        except asyncio.CancelledError:  # polls are many, so only aborted ones are recorded
            silent_s = asyncio.get_running_loop().time() - self._beginning.at
            end = ConnectionEnd(Ended.LEFT, idle_s=silent_s)
            self._server.connection_recorder.end(self._beginning, end, owner=self._connection.identity.owner)
            raise
        finally:
            self._server.connections.dismiss(self._connection)

    async def _attach(self, attaches: Iterable[ClientFrame], refusals: bool) -> None:
        for attach in attaches:
            if self._bytes >= conf.settings.snapshot_bytes:
                return  # the next poll gets the rest, since it needs less of these
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


def wait_s_of(wait_ms: object) -> float:
    """Return the seconds that a poll waits at most. Raises bad_frame."""
    if wait_ms is None:
        return conf.settings.poll_ms / 1000
    if not isinstance(wait_ms, int) or isinstance(wait_ms, bool) or wait_ms < 0:
        raise HoldfastError("bad_frame", "`wait_ms` must be a number of milliseconds, 0 or more")
    return min(wait_ms, conf.settings.poll_ms) / 1000
