"""WebSockets of all addresses: who opens one, how it is admitted and served, and the record of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from channels.consumer import AsyncConsumer
from django.db import DatabaseError
from django.http.cookie import parse_cookie

from sessions_app import conf, process
from sessions_app.auth import lookups
from sessions_app.auth.addresses import scope_client_key
from sessions_app.auth.identity import Identity, signed_out, token_in
from sessions_app.auth.origin import check_handshake
from sessions_app.core.asgi_types import Message, Receive, Scope, Send
from sessions_app.core.errors import HoldfastError
from sessions_app.delivery.connection import Connection
from sessions_app.diagnostics.connection_records import ConnectionEnd, Ended, end_of_socket
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer, payer_of
from sessions_app.servers.websocket_frames import LIMITS, MessageLimits
from sessions_app.telemetry import log_context

# A page can't set headers of a handshake. It offers these two as subprotocols; the first is accepted.
SUBPROTOCOL = "holdfast"
BEARER = "bearer."


class Dispatch(Protocol):
    """What handles the frames of one socket's client."""

    async def receive(self, text: str | None, *, now: float) -> None:
        """Handle one frame; None stands for a binary message."""


class Opened(NamedTuple):
    """An open socket."""

    server: process.Process
    connection: Connection
    dispatch: Dispatch


@contextmanager
def opening(server: process.Process, connection: Connection) -> Iterator[None]:
    """Dismiss an admitted connection if what remains to be done before it is served fails: its client may have gone."""
    try:
        yield
    except BaseException:
        server.connections.dismiss(connection)
        raise


class SocketConsumer(AsyncConsumer):
    """Consumer of one WebSocket.

    It replaces the loop of Channels' consumers, which gives each socket a channel and passes every message through one
    thread of the process (`aclose_old_connections`), where one slow query delays all sockets.
    """

    _send_message: Send
    _closed_with: int | None = None  # the code, if this process has closed it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the client until either side ends the connection, and record how it ended."""
        self._send_message = send
        await receive()  # websocket.connect
        opened = await self._open(scope, receive)
        if opened is None:
            return
        server, connection, dispatch = opened
        log_context.work_on(connection=connection.id)
        beginning = server.connection_recorder.begin("websocket", scope["headers"])
        scope["headers"] = []  # frees memory while the socket is open
        disconnect: Message | None = None  # the server's; None if this process ends the connection
        clock = asyncio.get_running_loop().time
        try:
            await connection.flush()
            while not connection.closed:  # no coroutine of its own: it would be one more for each idle socket
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    disconnect = message
                    break
                await dispatch.receive(message.get("text"), now=clock())
                del message  # frees memory until there is another one
        finally:
            end = self._end(connection, disconnect)
            server.connections.dismiss(connection, end.ended)
            server.connection_recorder.end(beginning, end, owner=connection.identity.owner)

    async def _open(self, scope: Scope, receive: Receive) -> Opened | None:
        """Accept the handshake and admit the client; refuse it and return None if it may not connect."""
        raise NotImplementedError

    async def _accept(self, scope: Scope, limits: MessageLimits | None = None) -> None:
        """Accept the handshake. `limits`: of this client's messages, if they are others than the server's."""
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in _offered(scope) else None
        extra = {} if limits is None else {LIMITS: limits}
        await self._send_message({"type": "websocket.accept", "subprotocol": subprotocol, **extra})

    async def _identify(self, scope: Scope) -> Identity:
        """Return who opens it, from a page that may. Raises HoldfastError."""
        headers = dict(scope["headers"])
        token = _token(headers, _offered(scope))
        if token is None:
            check_handshake(scope)
        try:
            visitor = await (lookups.identify(_cookies(headers)) if token is None else lookups.identify_by_token(token))
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        if visitor is None:
            raise signed_out()
        return visitor

    def _admit(
        self,
        server: process.Process,
        scope: Scope,
        visitor: Identity,
        send: Callable[[list[str]], Awaitable[None]],
        *,
        is_silent: bool = False,
    ) -> Connection:
        """Count and admit the connection. `is_silent`: as `Connection`'s. Raises HoldfastError."""
        address = scope_client_key(scope)
        if rates.take("link", payer_of(visitor, address)):
            raise HoldfastError("rate_limited", f"at most {conf.settings.links_per_minute} connections a minute")
        connection = Connection(
            server.connections, visitor, send=send, close=self._close, address=address, is_silent=is_silent
        )
        server.connections.admit(connection)
        return connection

    def _end(self, connection: Connection, disconnect: Message | None) -> ConnectionEnd:
        if disconnect is None or self._closed_with is not None:
            return ConnectionEnd(Ended.BY_SERVER, self._closed_with)
        return end_of_socket(disconnect, connection.idle_s(asyncio.get_running_loop().time()))

    async def _send(self, texts: list[str]) -> None:
        for text in texts:
            await self._send_message({"type": "websocket.send", "text": text})

    async def _close(self, code: int) -> None:
        self._closed_with = code
        await self._send_message({"type": "websocket.close", "code": code})


async def keep_pace(payer: Payer) -> None:
    """Wait until this person and this address may send another frame: their connections are read no faster."""
    while wait_s := rates.take("frame", payer):
        await asyncio.sleep(wait_s)


def _offered(scope: Scope) -> Iterable[str]:
    offered: Iterable[str] = scope.get("subprotocols", ())
    return offered


def _token(headers: Mapping[bytes, bytes], offered: Iterable[str]) -> str | None:
    """Return the token of a handshake. Unlike cookies, a browser doesn't send it for other sites' pages."""
    token = token_in(headers.get(b"authorization", b"").decode("latin1"))
    offers = (protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER))
    return token if token is not None else next(offers, None)


def _cookies(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    # Django's parser: `http.cookies` would drop all cookies if one is malformed.
    return parse_cookie(headers.get(b"cookie", b"").decode("latin1"))
