"""Limit on HTTP request bodies, counted as they arrive: 413 beyond BODY_BYTES.

Django writes a body to a temporary file before it calls a view, so before any access check.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sessions_app import conf
from sessions_app.core.asgi_types import Application, Message, Receive, Scope, Send
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import refused

# Seconds to keep reading after a refusal. Closing with unread bytes resets the connection, and a client that is
# still sending may never see the response.
LINGER_S = 1.0


def limit_bodies(application: Application) -> Application:
    """Wrap an ASGI application. It must read the whole body before it responds, as Django does."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        body = CountedBody(receive)
        if announced_bytes(scope) <= conf.settings.body_bytes:
            await application(scope, body.receive, send)
            if not body.is_too_large:
                return
        await refuse(receive, send)

    return limited


class CountedBody:
    """A request body that ends at the limit with `http.disconnect`, as if the client had gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0
        self.is_too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes <= conf.settings.body_bytes:
            return message
        self.is_too_large = True
        return {"type": "http.disconnect"}


def announced_bytes(scope: Scope) -> int:
    """Return the request's Content-Length, or 0. ASGI servers reject one that isn't a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


async def refuse(receive: Receive, send: Send) -> None:
    """Answer 413 and close the connection."""
    response = refused(ApiError("body_too_large", f"at most {conf.settings.body_bytes} bytes"), {"Connection": "close"})
    response["Content-Length"] = str(len(response.content))  # makes the response complete before the connection closes
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})
