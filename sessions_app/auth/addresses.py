"""Addresses: of Holdfast's routes, wherever the project includes them, and of the clients that limits count by."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Network, ip_address

from django.conf import settings
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.translation import get_language
from rest_framework.settings import api_settings

from sessions_app.core.asgi_types import Scope

NAMESPACE = "holdfast"
NETWORK_BITS = 64  # of an IPv6 address: one customer has at least a /64, and may use any address in it
_PORT = re.compile(r"(?:(?<=\])|(?<=\.[0-9])|(?<=\.[0-9]{2})|(?<=\.[0-9]{3})):[0-9]{1,5}\Z")  # after [IPv6] or IPv4


def prefix() -> str | None:
    """Return the path that `sessions_app.urls` is included at, such as `/` or `/chat/`; None if it isn't."""
    urlconf = get_urlconf() or settings.ROOT_URLCONF
    known = _known_prefix if isinstance(urlconf, str) else _prefix_in
    return known(urlconf, get_script_prefix(), get_language())


def _prefix_in(urlconf: str, script_prefix: str, language: str | None) -> str | None:
    try:
        return reverse(f"{NAMESPACE}:page", urlconf)
    except NoReverseMatch:
        return None


# Every request and handshake asks, and Django's look-up takes longer than to check a signature.
_known_prefix = functools.lru_cache(maxsize=64)(_prefix_in)


def page_of(session: str) -> str:
    """Return the address of a session's page, from the root of the site."""
    return reverse(f"{NAMESPACE}:conversation", args=[session])


def path_below(scope: Scope) -> str | None:
    """Return an ASGI request's path below Holdfast's prefix, such as `ws/`; None for the project's other pages."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    start = prefix()
    return path.removeprefix(start) if start is not None and path.startswith(start) else None


def is_ours(path: str) -> bool:
    """Return True if a path of the project is below Holdfast's prefix."""
    start = prefix()
    return start is not None and path.startswith(start)


def address_key(address: str | None) -> str:
    """Return the key that limits count a client's address by: an IPv4 address whole, an IPv6 address's /64.

    An IPv4 address is the same client whether it came over IPv4 or mapped into IPv6. A port, which some proxies append
    in X-Forwarded-For, doesn't count. What isn't an address, such as a Unix socket's empty one, shares the key "".
    """
    try:
        parsed = ip_address(_PORT.sub("", address or "").strip("[]"))
    except ValueError:
        return ""
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), NETWORK_BITS), strict=False))


def scope_client_key(scope: Scope) -> str:
    """Return the key of an ASGI connection's client."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    client = scope.get("client")  # None behind a Unix socket
    return client_key(client[0] if client else None, forwarded.decode("latin1"))


def client_key(peer: str | None, forwarded_for: str) -> str:
    """Return the key of a client's address, from the connection's peer and the header X-Forwarded-For.

    Trusts as many entries of X-Forwarded-For as the site has proxies, from the end; clients can forge the others.
    """
    proxies = api_settings.NUM_PROXIES or 0
    forwarded = forwarded_for.split(",")
    if proxies and forwarded_for.strip():
        return address_key(forwarded[-min(proxies, len(forwarded))].strip())
    return address_key(peer)


def is_api(path: str) -> bool:
    """Return True if a path of the project is below Holdfast's `api/`."""
    start = prefix()
    return start is not None and path.startswith(f"{start}api/")
