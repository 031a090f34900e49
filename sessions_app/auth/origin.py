"""Origin check: only pages of this site, or of origins that it trusts, may use its visitors' cookies.

Cookies ignore ports, and unless they are `__Host-` cookies schemes too: a page at another port or scheme of the same
host sends them. So the whole origin is compared, as Django's CSRF check does for forms.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.utils.http import is_same_domain

from sessions_app.core.asgi_types import Scope
from sessions_app.core.errors import HoldfastError

DEFAULT_PORTS = {"http": "80", "https": "443"}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# What a WebSocket's scheme is called, by servers and in proxies' headers, and what its page's is.
PAGE_SCHEMES = {"ws": "http", "wss": "https"}
OWN_SITES = ("same-origin", "none")  # Sec-Fetch-Site of our own pages, and of a typed address
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^\[\]/?#@:\s]+)(?::([0-9]{1,5}))?\Z", re.IGNORECASE)


class Origin(NamedTuple):
    """An origin in its one form: lower case, with its port. A trusted one's host may be `*.example.com`."""

    scheme: str
    host: str
    port: str

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def covers(self, page: Origin) -> bool:
        """Return True if `page` is this origin, or fits its wildcard, which includes the domain itself, as Django's."""
        fits = self.host.startswith("*.") and is_same_domain(page.host, self.host[1:])
        return (self.scheme, self.port) == (page.scheme, page.port) and (fits or page.host == self.host)


def exact_problem(text: str, *, is_debug: bool) -> str:
    """Return the problem of a setting that names an exact origin; empty if there is none."""
    origin = parse(text)
    if origin is None or not text.isascii() or "*" in text or int(origin.port) not in range(1, 65_536):
        return f"{text!r} is no origin"
    if origin.scheme != "https" and not is_debug and origin.host not in LOOPBACK:
        return f"{text} has no TLS: others on its network could change its pages, and take their tokens"
    return ""


@functools.lru_cache(maxsize=256)  # mostly the site's own
def parse(text: str) -> Origin | None:
    """Return the origin that a header or setting names; None for `null` and for what is no http origin."""
    match = _ORIGIN.match(text)
    if match is None:
        return None
    scheme = match[1].lower()
    return Origin(scheme, match[2].lower(), str(int(match[3])) if match[3] else DEFAULT_PORTS[scheme])


def check_page(request: HttpRequest) -> None:
    """Raise forbidden_origin for requests from other sites' pages, reads included: cookies come with them."""
    origin = request.headers.get("Origin")
    if origin is not None:
        _check(origin, request)
    elif request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
        raise HoldfastError("forbidden_origin")


def check_handshake(scope: Scope) -> None:
    """Raise forbidden_origin unless a WebSocket handshake names the origin of one of this site's pages."""
    request = _PageRequest(scope)
    _check(request.META.get("HTTP_ORIGIN", ""), request)


def _check(text: str, request: HttpRequest) -> None:
    page, own = parse(text), site_origin(request)
    trusted = map(parse, settings.CSRF_TRUSTED_ORIGINS)
    if page is None or not (page == own or any(each is not None and each.covers(page) for each in trusted)):
        raise HoldfastError("forbidden_origin", f"this site's is {own}" if own else "the Host isn't one of this site's")


def site_origin(request: HttpRequest) -> Origin | None:
    """Return the origin that a request was sent to; behind proxies, by the headers that Django's settings trust.

    These are SECURE_PROXY_SSL_HEADER and USE_X_FORWARDED_HOST. None if ALLOWED_HOSTS lacks the host.
    """
    try:
        host = request.get_host()
    except DisallowedHost:
        return None
    return parse(f"{'https' if request.is_secure() else 'http'}://{host}")


class _PageRequest(HttpRequest):
    """A handshake as the page's request, with no more than Django needs to know the host and the scheme."""

    def __init__(self, scope: Scope) -> None:  # without Django's, which makes what only views read
        scheme: str = scope.get("scheme", "ws")
        self._page_scheme: str = PAGE_SCHEMES.get(scheme, scheme)
        name, port = scope.get("server") or ("unknown", 0)
        self.META = {"SERVER_NAME": name, "SERVER_PORT": str(port), **_header_fields(scope)}
        if settings.SECURE_PROXY_SSL_HEADER:  # some proxies, such as Traefik, name the WebSocket's scheme there
            field = settings.SECURE_PROXY_SSL_HEADER[0]
            first = self.META.get(field, "").split(",")[0].strip()
            if first in PAGE_SCHEMES:
                self.META[field] = PAGE_SCHEMES[first]

    def _get_scheme(self) -> str:
        return self._page_scheme


def _header_fields(scope: Scope) -> dict[str, str]:
    """Return the headers as Django names them in META: repeated ones joined, and none with an underscore."""
    fields: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name != b"cookie" and b"_" not in name:
            field = "HTTP_" + name.decode("latin1").upper().replace("-", "_")
            text = value.decode("latin1")
            fields[field] = f"{fields[field]},{text}" if field in fields else text
    return fields
