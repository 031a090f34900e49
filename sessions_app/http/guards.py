"""Access checks for the async views: identity, Origin, CSRF, rate limit; errors in the API's format."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine

import orjson
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from sessions_app.auth.identity import Identity, signed_out, token_in
from sessions_app.auth.lookups import identify, identify_by_token
from sessions_app.auth.middleware import get_identity
from sessions_app.auth.origin import check_page
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import SESSION_ID
from sessions_app.core.wire_types import JsonObject
from sessions_app.fairness import rates
from sessions_app.http import errors, throttling
from sessions_app.http.authentication import enforce_csrf
from sessions_app.http.errors import ApiError, Refusal
from sessions_app.http.json_body import read_json
from sessions_app.telemetry import log_context

View = Callable[..., Coroutine[object, None, HttpResponseBase]]
Refuse = Callable[[Refusal, dict[str, str]], HttpResponse]


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """Return a JSON response that proxies may neither store nor transform."""
    all_headers = {"Cache-Control": "no-store, no-transform", **(headers or {})}
    return HttpResponse(body, status=status, content_type="application/json", headers=all_headers)


def refused(refusal: Refusal, headers: dict[str, str]) -> HttpResponse:
    return json_response(orjson.dumps(refusal.as_dict()), refusal.kind.status, headers)


def guard(method: str, *, refuse: Refuse = refused, kind: rates.Kind = "link") -> Callable[[View], View]:
    """Decorate an async view with the access checks: `view(request, identity, …)`.

    `refuse` makes the response for errors of the checks and of the view; `kind` is the rate that requests count for.
    The view must not touch `request.user` and `request.session`: they open a database connection in the request's own
    thread.
    """

    def decorate(view: View) -> View:
        @csrf_exempt  # `_check` enforces CSRF; the middleware would answer with an HTML page
        @functools.wraps(view)
        async def guarded(request: HttpRequest, **where: str) -> HttpResponseBase:
            if SESSION_ID.match(where.get("session", "")):
                log_context.work_on(session=where["session"])
            try:
                return await view(request, _check(request, method, kind), **where)
            except Exception as error:
                refusal = errors.refusal_of(error)
                if refusal is None:
                    raise
                return refuse(refusal, errors.headers_of(error, refusal))

        return guarded

    return decorate


def _check(request: HttpRequest, method: str, kind: rates.Kind) -> Identity:
    """Check access and return the identity."""
    if request.method != method:
        raise ApiError("method_not_allowed", f"send {method}")
    identity = get_identity(request)
    by_token = identity is not None and identity.grant is not None  # browsers never send one on their own
    if not by_token:
        check_page(request)
    if identity is None:
        raise signed_out()
    if method == "POST" and request.content_type != "application/json":
        raise ApiError("unsupported_media_type")  # before the CSRF check, which would also read forms
    if not by_token:
        enforce_csrf(request)
    throttling.consume(kind, request, identity)
    return identity


async def authenticate_visitor(request: HttpRequest) -> Identity:
    """Return the identity of a request by its head alone: of its token, else of its cookies, if its page may use them.

    Raises HoldfastError and Throttled.
    """
    token = token_in(request.headers.get("Authorization", ""))
    if token is None:
        check_page(request)
    try:
        identity = await (identify(request.COOKIES) if token is None else identify_by_token(token))
    except DatabaseError:
        raise HoldfastError("storage_unavailable") from None
    if identity is None:
        raise signed_out()
    throttling.consume("link", request, identity)
    return identity


async def authenticate_publisher(request: HttpRequest) -> Identity:
    """Return the identity of an upload's token, by its head alone. Raises HoldfastError and Throttled."""
    token = token_in(request.headers.get("Authorization", ""))
    if token is None:
        raise HoldfastError("signed_out", "publishing needs a token")
    try:
        identity = await identify_by_token(token)
    except DatabaseError:
        raise HoldfastError("storage_unavailable") from None
    identity.require("publish")
    throttling.consume("publish", request, identity)
    return identity


def json_body(request: HttpRequest, *, halves: bool = False, most: int | None = None) -> JsonObject:
    """Return the JSON object in a request's body. Raises body_too_large, bad_json and bad_frame.

    `halves`: its texts may hold halves of surrogate pairs, which its reader joins. `most`: bytes, else FRAME_BYTES.
    """
    data = read_json(request, halves=halves, most=most)
    if not isinstance(data, dict):
        raise HoldfastError("bad_frame", "the body must be one JSON object")
    return data
