"""Middleware: static files, malformed forms, and the Content-Security-Policy of every response."""

from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from django.conf import settings
from django.core.exceptions import BadRequest, DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBadRequest
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware
from servestatic.middleware import ServeStaticMiddleware
from servestatic.responders import MissingFileError

from sessions_app.auth.addresses import is_api
from sessions_app.http.authentication import FORMS


class StaticFilesMiddleware(ServeStaticMiddleware):
    """ServeStatic, with a 404 for a missing file; with DEBUG it would log a traceback for each."""

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase
        try:
            response = await super().__call__(request)
        except MissingFileError:
            response = await self.get_response(request)
        return response


@async_only_middleware
def refuse_malformed_forms(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Answer a malformed form with a plain 400. It comes before everything that reads a form.

    Django logs a traceback for it, and its page for an address that doesn't exist fails with 500: it reads the form to
    check the CSRF token. The API reads no forms; it answers in its own format.
    """

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.content_type not in FORMS or is_api(request.path_info):
            return await get_response(request)
        try:
            request.POST  # noqa: B018
        except (BadRequest, MultiPartParserError, SuspiciousOperation):
            return HttpResponseBadRequest("The form is malformed.\n", content_type="text/plain; charset=utf-8")
        return await get_response(request)

    return middleware


@async_only_middleware
def content_security_policy(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        policy = settings.CONTENT_SECURITY_POLICY.format(images=_static_files(request))
        response.headers.setdefault("Content-Security-Policy", policy)
        return response

    return middleware


def _static_files(request: HttpRequest) -> str:
    """Return the address of the static files as a source of a policy, which needs a host to have a path."""
    try:
        host = request.get_host()
    except DisallowedHost:  # its response has no images
        return ""
    if host.startswith("["):  # policies can't name IPv6 addresses
        return "'self'"
    return urljoin(f"{request.scheme}://{host}/", settings.STATIC_URL)
