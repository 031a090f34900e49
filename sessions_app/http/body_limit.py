"""Limit on HTTP request bodies, counted as they arrive: 413 beyond the limit of the request's door.

Django writes a body to a temporary file before it calls a view, so before any access check.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from io import BytesIO

from django.core.handlers.asgi import ASGIRequest

from sessions_app.core.asgi_types import Application, Message, Receive, Scope, Send
from sessions_app.http import errors
from sessions_app.http.doors import Door, check_media_type, door_of
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import refused
from sessions_app.servers.request_limits import LINGER_S

IDENTITY = "holdfast.identity"  # of the scope: who asks, at a door that authenticates


def limit_bodies(applications: dict[str, Application], default: Application) -> Application:
    """Return an ASGI application that passes each request to its door's application, by the door's name.

    The default application must read the whole body before it responds, as Django does.
    """

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        door = door_of(scope)
        body = CountedBody(receive, door)
        try:
            await check(scope, door)
        except Exception as error:
            if not await refuse(error, receive, send):
                raise
            return
        try:
            await applications.get(door.name, default)(scope, body.receive, send)
        except ApiError as error:  # about the body, of an application that answers after it
            await refuse(error, receive, send)
            return
        if body.is_too_large and door.name not in applications:
            await refuse(too_large(door), receive, send)

    return limited


async def check(scope: Scope, door: Door) -> None:
    """Check a request by its head. Raises ApiError, HoldfastError or an error of the REST framework."""
    check_media_type(scope)
    if door.authenticate is not None:
        scope[IDENTITY] = await door.authenticate(ASGIRequest(scope, BytesIO()))
    if announced_bytes(scope) > door.max_bytes:
        raise too_large(door)


class CountedBody:
    """A request body that ends at its door's limit: with `http.disconnect`, as if the client had gone."""

    def __init__(self, receive: Receive, door: Door) -> None:
        self._receive = receive
        self._door = door
        self._bytes = 0
        self.is_too_large = False

    async def receive(self) -> Message:
        """Return the next message. At a door that authenticates, raises body_too_large instead of disconnecting."""
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes <= self._door.max_bytes:
            return message
        self.is_too_large = True
        if self._door.authenticate is not None:
            raise too_large(self._door)
        return {"type": "http.disconnect"}


def announced_bytes(scope: Scope) -> int:
    """Return the request's Content-Length, or 0. ASGI servers reject one that isn't a number."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def too_large(door: Door) -> ApiError:
    return ApiError("body_too_large", f"at most {door.max_bytes} bytes")


async def refuse(error: Exception, receive: Receive, send: Send) -> bool:
    """Answer with the error and close the connection. Return False if the error is a bug."""
    refusal = errors.refusal_of(error)
    if refusal is None:
        return False
    response = refused(refusal, {**errors.headers_of(error, refusal), "Connection": "close"})
    response["Content-Length"] = str(len(response.content))  # makes the response complete before the connection closes
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})
    return True
