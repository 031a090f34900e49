"""CORS: pages of the origins in ORIGINS may use the API with tokens. Cookies from other origins are never accepted.

One mechanism for every door below `api/`, around all of them: a browser hides responses without these headers from the
page, refusals too.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Iterable

from django.http import HttpResponse

from sessions_app import conf
from sessions_app.auth.addresses import path_below
from sessions_app.auth.origin import Origin, parse
from sessions_app.core.asgi_types import Application, Message, Receive, Scope, Send
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import refused

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",  # not X-CSRFToken: for cookies
    "Access-Control-Max-Age": "7200",  # seconds: Chrome's maximum
}
EXPOSED = "Retry-After, WWW-Authenticate"  # beside those that every page may read, such as Content-Type

Headers = list[tuple[bytes, bytes]]


def share(application: Application) -> Application:
    """Return an ASGI application that shares the API's responses with pages of the listed origins."""

    async def shared(scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_api(scope):
            await application(scope, receive, send)
        elif _is_preflight(scope):
            await _answer_preflight(scope, send)
        else:
            await application(scope, receive, _sharing(headers_for(scope), send))

    return shared


def listed_origin(scope: Scope) -> Origin | None:
    """Return the origin of the page that sends a request, if the site lists it."""
    given = _values(scope, b"origin")
    origin = parse(given[0].decode("latin1")) if len(given) == 1 else None
    return origin if origin in _origins(conf.settings.origins) else None


def headers_for(scope: Scope) -> Headers:
    """Return the headers that share the response to a request; at other addresses than the API's, none."""
    if not _is_api(scope):
        return []
    return _sharing_headers(listed_origin(scope))


def _sharing_headers(origin: Origin | None) -> Headers:
    vary = (b"vary", b"Origin")
    if origin is None:
        return [vary]
    return [
        (b"access-control-allow-origin", str(origin).encode()),
        (b"access-control-expose-headers", EXPOSED.encode()),
        vary,
    ]


def _is_api(scope: Scope) -> bool:
    return (path_below(scope) or "").startswith("api/")


@functools.lru_cache(maxsize=8)
def _origins(texts: tuple[str, ...]) -> frozenset[Origin]:
    return frozenset(origin for text in texts if (origin := parse(text)) is not None)


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and all(
        _values(scope, name) for name in (b"origin", b"access-control-request-method")
    )


async def _answer_preflight(scope: Scope, send: Send) -> None:
    origin = listed_origin(scope)
    if origin is None:
        response = refused(ApiError("origin_not_allowed"), {})
        response["Content-Length"] = str(len(response.content))
    else:
        response = HttpResponse(status=204, headers=PREFLIGHT)
        del response["Content-Type"]
    headers = [*_encoded(response.items()), *_sharing_headers(origin)]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def _sharing(headers: Headers, send: Send) -> Send:
    """Return `send` with these headers on the response, instead of any that the project's middleware has set."""

    def sending(message: Message) -> Awaitable[None]:  # no coroutine of its own: a stream sends every token with it
        if message["type"] != "http.response.start":
            return send(message)
        own = [each for each in message.get("headers", ()) if not bytes(each[0]).lower().startswith(b"access-control-")]
        return send({**message, "headers": [*own, *headers]})

    return sending
