"""WebSocket consumer of Holdfast's own clients: a thin adapter between the server and a `Connection`."""

from __future__ import annotations

from sessions_app import process
from sessions_app.core import frames
from sessions_app.core.asgi_types import Receive, Scope
from sessions_app.core.errors import HoldfastError
from sessions_app.transports.frame_dispatch import FrameDispatch
from sessions_app.transports.sockets import Opened, SocketConsumer, opening


class SessionConsumer(SocketConsumer):
    """Consumer of one WebSocket, which follows any number of sessions (PROTOCOL.md §4 and §5)."""

    async def _open(self, scope: Scope, receive: Receive) -> Opened | None:
        await self._accept(scope)
        server = await process.current()
        try:
            connection = self._admit(server, scope, await self._identify(scope), self._send)
            with opening(server, connection):
                await connection.pay_for_opening()
        except HoldfastError as problem:
            await self._refuse(problem)
            return None
        connection.greet()
        return Opened(server, connection, FrameDispatch(server, connection))

    async def _refuse(self, problem: HoldfastError) -> None:
        # After accepting, since a page can't see why a handshake was refused.
        await self._send([frames.error(problem)])
        await self._close(4000 + problem.kind.status)
