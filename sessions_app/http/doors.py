"""Limits of request bodies: one table of all doors, from the narrowest to the one for everything else.

A door is what a request is for, by method, path below the prefix and media type. All bodies are counted as they arrive,
at the ASGI application (`sessions_app/http/body_limit.py`), before anything stores or parses them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from django.core.handlers.asgi import ASGIRequest
from django.utils.http import parse_header_parameters

from sessions_app import conf
from sessions_app.auth.addresses import path_below
from sessions_app.auth.identity import Identity
from sessions_app.core.asgi_types import Scope
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import authenticate_publisher, authenticate_visitor
from sessions_app.servers.request_limits import BodyRule

UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")


class Door(NamedTuple):
    """One row of the table."""

    name: str
    setting: str  # the largest body, in bytes
    path: re.Pattern[str] = re.compile("")
    method: str | None = None  # None: any
    media_type: str | None = None  # None: any
    # The check of who asks, made before the first byte of the body is read. Every door with a limit above BODY_BYTES
    # has one. Its application then reads the body as it arrives, and has a time limit of its own.
    authenticate: Callable[[ASGIRequest], Awaitable[Identity]] | None = None

    @property
    def max_bytes(self) -> int:
        limit: int = getattr(conf.settings, self.setting)
        return limit

    def takes(self, method: str, path: str, media_type: str) -> bool:
        return (
            self.method in (None, method)
            and self.media_type in (None, media_type)
            and self.path.match(path) is not None
        )


UPLOAD = Door(
    "upload",  # a response as lines of NDJSON (PROTOCOL.md §14)
    "upload_bytes",
    path=re.compile(r"api/sessions/([^/]+)/publish/\Z"),
    method="POST",
    media_type="application/x-ndjson",
    authenticate=authenticate_publisher,
)
CHAT = Door(
    "chat",  # an AI SDK client's message, with its whole conversation (PROTOCOL.md §15)
    "chat_body_bytes",
    path=re.compile(r"api/chat/?\Z"),
    method="POST",
    authenticate=authenticate_visitor,
)
OTHER = Door("other", "body_bytes")  # pages, forms, the API, the admin, and addresses that don't exist
DOORS = (UPLOAD, CHAT, OTHER)


def door_of(scope: Scope) -> Door:
    """Return the door of a request below the prefix."""
    method, path, media_type = scope["method"], path_below(scope) or "", _media_type(scope)
    return next(door for door in DOORS if door.takes(method, path, media_type))


def body_rule(scope: Scope) -> BodyRule:
    """Return what a server does with a request's body. The project's other addresses have no time limit."""
    if path_below(scope) is None:
        return BodyRule(conf.settings.body_bytes, None, is_streamed=False)
    door = door_of(scope)
    if door.authenticate is not None:
        return BodyRule(door.max_bytes, None, is_streamed=True)
    return BodyRule(door.max_bytes, conf.settings.request_body_s, is_streamed=False)


def check_media_type(scope: Scope) -> None:
    """Raise unsupported_media_type for a Content-Type that is malformed, or whose charset isn't UTF-8.

    Django decodes a request's query and form in that charset, and some of Python's codecs don't decode text.
    """
    try:
        parameters = parse_header_parameters(_content_type(scope))[1]
    except Exception:  # of the standard library's parser of mail, which fails in many ways
        raise ApiError("unsupported_media_type", "Content-Type is malformed") from None
    if str(parameters.get("charset", "utf-8")).lower() not in UTF_8:
        raise ApiError("unsupported_media_type", "the charset must be UTF-8")


def _media_type(scope: Scope) -> str:
    return _content_type(scope).partition(";")[0].strip().lower()


def _content_type(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"content-type"]
    return ",".join(value.decode("latin1") for value in values)  # as Django joins them
