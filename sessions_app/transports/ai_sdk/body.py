"""Body of a chat request: received as a whole, within a time, before Django's application is called."""

from __future__ import annotations

import asyncio

from sessions_app import conf
from sessions_app.core.asgi_types import Application, Message, Receive, Scope, Send
from sessions_app.http.errors import ApiError


def body_first(application: Application) -> Application:
    """Return an application that calls this one with the whole body. Raises ApiError for one that comes too late."""

    async def received(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(conf.settings.request_body_s):
                body = await _receive_all(receive)
        except TimeoutError:
            raise ApiError("request_timeout") from None
        if body is None:
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await application(scope, replay, send)

    return received


async def _receive_all(receive: Receive) -> bytes | None:
    """Return the body, or None if the client has gone."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
