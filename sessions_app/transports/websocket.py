"""WebSocket consumer: a thin adapter between Channels and a `Connection`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from channels.consumer import AsyncConsumer
from django.db import DatabaseError
from django.http.cookie import parse_cookie

from sessions_app import conf, process
from sessions_app.auth import lookups
from sessions_app.auth.addresses import scope_client_key
from sessions_app.auth.identity import signed_out, token_in
from sessions_app.auth.origin import check_handshake
from sessions_app.core import frames
from sessions_app.core.asgi_types import Message, Receive, Scope, Send
from sessions_app.core.errors import HoldfastError
from sessions_app.delivery.connection import Connection
from sessions_app.diagnostics.connection_records import ConnectionEnd, Ended, end_of_socket
from sessions_app.fairness import rates
from sessions_app.fairness.payer import payer_of
from sessions_app.telemetry import log_context
from sessions_app.transports.frame_dispatch import FrameDispatch

# A page can't set headers of a handshake. It offers these two as subprotocols; the first is accepted.
SUBPROTOCOL = "holdfast"
BEARER = "bearer."


class SessionConsumer(AsyncConsumer):
    """Consumer of one WebSocket, which follows any number of sessions (PROTOCOL.md §4 and §5).

    It replaces the loop of Channels' consumers, which gives each socket a channel and passes every message through one
    thread of the process (`aclose_old_connections`), where one slow query delays all sockets.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send_message = send
        self._closed_with: int | None = None
        await receive()  # websocket.connect
        offered = scope.get("subprotocols", ())
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None})
        server = await process.current()
        try:
            connection = await self._open(server, scope, offered)
        except HoldfastError as problem:
            await self._refuse(problem)
            return
        log_context.work_on(connection=connection.id)
        beginning = server.connection_recorder.begin("websocket", scope["headers"])
        scope["headers"] = []  # frees memory while the socket is open
        disconnect: Message | None = None  # the server's; None if this process ends the connection
        clock = asyncio.get_running_loop().time
        try:
            dispatch = FrameDispatch(server, connection)
            connection.greet()
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

    async def _open(self, server: process.Process, scope: Scope, offered: Iterable[str]) -> Connection:
        """Authenticate and admit the connection. Raises HoldfastError if it is refused."""
        headers = dict(scope["headers"])
        token = _token(headers, offered)
        if token is None:
            check_handshake(scope)
        try:
            visitor = await (lookups.identify(_cookies(headers)) if token is None else lookups.identify_by_token(token))
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        if visitor is None:
            raise signed_out()
        address = scope_client_key(scope)
        if rates.take("link", payer_of(visitor, address)):
            raise HoldfastError("rate_limited", f"at most {conf.settings.links_per_minute} connections a minute")
        connection = Connection(server.connections, visitor, send=self._send, close=self._close, address=address)
        server.connections.admit(connection)
        try:
            await connection.pay_for_opening()
        except asyncio.CancelledError:
            server.connections.dismiss(connection)
            raise
        return connection

    def _end(self, connection: Connection, disconnect: Message | None) -> ConnectionEnd:
        if disconnect is None or self._closed_with is not None:
            return ConnectionEnd(Ended.BY_SERVER, self._closed_with)
        return end_of_socket(disconnect, connection.idle_s(asyncio.get_running_loop().time()))

    async def _refuse(self, problem: HoldfastError) -> None:
        # After accepting, since a page can't see why a handshake was refused.
        await self._send([frames.error(problem)])
        await self._close(4000 + problem.kind.status)

    async def _send(self, texts: list[str]) -> None:
        for text in texts:
            await self._send_message({"type": "websocket.send", "text": text})

    async def _close(self, code: int) -> None:
        self._closed_with = code
        await self._send_message({"type": "websocket.close", "code": code})


def _token(headers: Mapping[bytes, bytes], offered: Iterable[str]) -> str | None:
    """Return the token of a handshake. Unlike cookies, a browser doesn't send it for other sites' pages."""
    token = token_in(headers.get(b"authorization", b"").decode("latin1"))
    offers = (protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER))
    return token if token is not None else next(offers, None)


def _cookies(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    # Django's parser: `http.cookies` would drop all cookies if one is malformed.
    return parse_cookie(headers.get(b"cookie", b"").decode("latin1"))
