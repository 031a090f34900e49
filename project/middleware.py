"""Middleware that sets the Content-Security-Policy of every response."""

from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware


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
