"""A limit on the bodies of HTTP requests, counted as they come: beyond BODY_BYTES the answer is 413.

Django writes a body to the temporary folder before any view, and so any check of access, is called.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sessions_app import conf
from sessions_app.core.asgi_types import Application, AsgiMessage, Receive, Scope, Send
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import refused

# Seconds to read on after a refusal: bytes that are unread when a connection closes reset it, and a client that is
# still sending may never see the answer.
LINGER_S = 1.0


def limit_bodies(application: Application) -> Application:
    """Return the ASGI application behind a limit. It must read a body whole before it answers, as Django does."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        body = CountedBody(receive)
        if announced_bytes(scope) <= conf.settings.body_bytes:
            await application(scope, body.receive, send)
            if not body.is_too_large:
                return
        await refuse(receive, send)

    return limited


class CountedBody:
    """A request's body that breaks off at the limit: the application is told that the client has gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0
        self.is_too_large = False

    async def receive(self) -> AsgiMessage:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes <= conf.settings.body_bytes:
            return message
        self.is_too_large = True
        return {"type": "http.disconnect"}


def announced_bytes(scope: Scope) -> int:
    """Return the request's Content-Length, 0 without one; servers refuse one that isn't a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


async def refuse(receive: Receive, send: Send) -> None:
    """Answer 413 and close the connection."""
    response = refused(ApiError("body_too_large", f"at most {conf.settings.body_bytes} bytes"), {"Connection": "close"})
    response["Content-Length"] = str(len(response.content))  # so that the answer is whole before the connection closes
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})
