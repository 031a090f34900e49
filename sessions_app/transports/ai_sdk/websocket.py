"""WebSocket consumer of AI SDK clients: the vendor's `WebSocketChatTransport`, unmodified (PROTOCOL.md §15)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from django.core.handlers.asgi import get_script_prefix
from django.urls import set_script_prefix

from sessions_app import conf, process
from sessions_app.core.asgi_types import Receive, Scope
from sessions_app.core.errors import HoldfastError
from sessions_app.servers.websocket_frames import MessageLimits
from sessions_app.transports.ai_sdk import chat
from sessions_app.transports.ai_sdk.socket_requests import SocketRequests, refusal_frame, request_in
from sessions_app.transports.sockets import Opened, SocketConsumer, opening

# A frame beyond its limit is refused by its request's name; one beyond this isn't read at all.
TOO_BIG_FACTOR = 2
FIRST_FRAME_S = 3.0  # for a client that may not connect: only an answer to a request of its own tells it why


class ChatConsumer(SocketConsumer):
    """Consumer of one WebSocket, which carries any number of requests, one after the other or at once."""

    async def _open(self, scope: Scope, receive: Receive) -> Opened | None:
        set_script_prefix(get_script_prefix(scope))  # as for a request: errors name addresses
        server = await process.current()
        requests = SocketRequests(server, self._send_message)
        try:
            # Before the handshake's answer: who sends a large frame is known before it is read.
            visitor = await self._identify(scope)
            connection = self._admit(server, scope, visitor, requests.tell, is_silent=True)
        except HoldfastError as problem:
            await self._refuse(scope, problem, receive)
            return None
        requests.connection = connection
        with opening(server, connection):
            await self._accept(scope, _limits(conf.settings.chat_body_bytes))
            await connection.pay_for_opening()
        return Opened(server, connection, requests)

    async def _refuse(self, scope: Scope, problem: HoldfastError, receive: Receive) -> None:
        await self._accept(scope, _limits(conf.settings.frame_bytes))
        if problem.code not in chat.COMES_BACK and not await self._told(problem, receive):
            return
        await self._close(4000 + problem.kind.status)

    async def _told(self, problem: HoldfastError, receive: Receive) -> bool:
        """Answer the client's first request with the problem. Return False if it has gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_FRAME_S):
                message = await receive()
            if message["type"] == "websocket.disconnect":
                return False
            await self._send([refusal_frame(request_in(message.get("text")), problem)])
        return True


def _limits(most: int) -> MessageLimits:
    return MessageLimits(TOO_BIG_FACTOR * most, conf.settings.request_body_s)
