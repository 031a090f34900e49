"""The door of the views that aren't the REST framework's: the same checks, refused in the same form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import Throttled

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.auth.middleware import get_identity
from sessions_app.auth.origin import is_own_page
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import SESSION_ID
from sessions_app.http import errors, throttling
from sessions_app.http.authentication import enforce_csrf
from sessions_app.http.errors import ApiError, Refusal
from sessions_app.http.json_body import read_json
from sessions_app.telemetry import log_context

View = Callable[..., Coroutine[None, None, HttpResponseBase]]
Refuse = Callable[[Refusal, dict[str, str]], HttpResponse]
Budget = tuple[str, int]  # of what, and how many a minute from one owner

OWN_SITES = ("same-origin", "none")  # Sec-Fetch-Site of a page of ours, and of an address that somebody typed


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """One person's answer, which nobody on the way may keep or change."""
    kept = {"Cache-Control": "no-store, no-transform", **(headers or {})}
    return HttpResponse(body, status=status, content_type="application/json", headers=kept)


def refused(refusal: Refusal, headers: dict[str, str]) -> HttpResponse:
    return json_response(orjson.dumps(refusal.as_dict()), refusal.kind.status, headers)


def links() -> Budget:
    return "link", conf.settings.links_per_minute


def publishes() -> Budget:
    return "publish", conf.settings.publishes_per_second * 60


def guard(method: str, *, refuse: Refuse = refused, budget: Callable[[], Budget] = links) -> Callable[[View], View]:
    """Let into a view who may come in: `view(request, identity, …)`. `refuse` answers what it or the door raises.

    The view must not touch `request.user` and `request.session`: they open a database connection in the request's own
    thread.
    """

    def decorate(view: View) -> View:
        @csrf_exempt  # the middleware's refusal is a page; `_check` enforces it
        @functools.wraps(view)
        async def guarded(request: HttpRequest, **where: Any) -> HttpResponseBase:
            if SESSION_ID.match(where.get("session", "")):
                log_context.work_on(session=where["session"])
            try:
                return await view(request, _check(request, method, *budget()), **where)
            except Exception as error:
                refusal = errors.refusal_of(error)
                if refusal is None:
                    raise
                return refuse(refusal, errors.headers_of(error, refusal))

        return guarded

    return decorate


def _check(request: HttpRequest, method: str, kind: str, per_minute: int) -> Identity:
    """Return who asks, and may."""
    if request.method != method:
        raise ApiError("method_not_allowed", f"send {method}")
    who = get_identity(request)
    by_token = who is not None and who.grant is not None  # which no browser sends by itself
    if not by_token:
        _check_origin(request)
    if who is None:
        raise HoldfastError("signed_out", "open the page first: it gives visitors an identity")
    if method == "POST" and request.content_type != "application/json":
        raise ApiError("unsupported_media_type")  # before the CSRF token, which is sought in forms too
    if not by_token:
        enforce_csrf(request)
    wait = throttling.take(request, who.owner, kind, per_minute)
    if wait:
        raise Throttled(wait)
    return who


def _check_origin(request: HttpRequest) -> None:
    """Refuse other sites' pages, reading too: a page may ask with its visitor's cookies for what it can't see."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_own_page(origin):
        raise HoldfastError("forbidden_origin")
    if origin is None and request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
        raise HoldfastError("forbidden_origin")


def json_body(request: HttpRequest) -> dict[str, Any]:
    """Return the object in a request's body. Raises body_too_large, bad_json and bad_frame."""
    data = read_json(request)
    if not isinstance(data, dict):
        raise HoldfastError("bad_frame", "The body is one JSON object.")
    return data
