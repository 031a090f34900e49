"""WebSocket consumer of Holdfast's own clients: a thin adapter between the server and a `Connection`."""

from __future__ import annotations

from sessions_app import process
from sessions_app.core import frames
from sessions_app.core.asgi_types import Receive, Scope, Send
from sessions_app.core.errors import HoldfastError
from sessions_app.delivery.connection import Connection
from sessions_app.transports.frame_dispatch import FrameDispatch
from sessions_app.transports.sockets import SocketConsumer


class SessionConsumer(SocketConsumer):
    """Consumer of one WebSocket, which follows any number of sessions (PROTOCOL.md §4 and §5)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send_message = send
        await receive()  # websocket.connect
        await self._accept(scope)
        server = await process.current()
        try:
            connection = await self._open(server, scope)
        except HoldfastError as problem:
            await self._refuse(problem)
            return
        connection.greet()
        await self._serve(server, scope, connection, FrameDispatch(server, connection), receive)

    async def _open(self, server: process.Process, scope: Scope) -> Connection:
        """Authenticate and admit the connection. Raises HoldfastError if it is refused."""
        visitor = await self._identify(scope)
        connection = self._admit(server, scope, visitor, self._send)
        await self._pay(server, connection)
        return connection

    async def _refuse(self, problem: HoldfastError) -> None:
        # After accepting, since a page can't see why a handshake was refused.
        await self._send([frames.error(problem)])
        await self._close(4000 + problem.kind.status)
