"""How often somebody may ask: a token bucket per identity and one per address, in this process."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from typing import Any

from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from sessions_app import conf
from sessions_app.core.limits import TokenBucket
from sessions_app.http.authentication import identity_of

REMEMBERED = 20_000  # buckets; whoever asked longest ago is forgotten first
SHARED_ADDRESS = 10  # an address may ask as often as so many people: an office has one


class _Buckets:
    """The buckets of a process, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, name: str, per_minute: int) -> float:
        """Take from a bucket. Returns 0.0 if there was something, else the seconds until there is."""
        with self._lock:
            bucket = self._buckets.setdefault(name, TokenBucket(per_minute / 60, per_minute))
            self._buckets.move_to_end(name)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
            if bucket.take(time.monotonic()):
                return 0.0
            return (1 - bucket.tokens) / bucket.rate

    def clear(self) -> None:
        with self._lock:
            self._buckets.clear()


buckets = _Buckets()


class Throttle(BaseThrottle):
    """Each request takes one token of its address and, if there is an identity, one of that."""

    _wait = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        kind, per_minute = _budget(request)
        owner = identity_of(request).owner if request.auth is not None else None
        self._wait = take(request, owner, kind, per_minute)
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


def take(request: Request | HttpRequest, owner: str | None, kind: str, per_minute: int) -> int:
    """Count a request. Returns 0 if it may be, else for how many seconds to wait."""
    waits = [buckets.take(f"{kind} {address_of(request)}", per_minute * SHARED_ADDRESS)]
    if owner is not None:
        waits.append(buckets.take(f"{kind} {owner}", per_minute))
    return math.ceil(max(waits))


def _budget(request: Request) -> tuple[str, int]:
    if request.method in SAFE_METHODS:
        return "read", conf.settings.reads_per_minute
    return "write", conf.settings.writes_per_minute


def address_of(request: Request | HttpRequest) -> str:
    """The address of the client, or of its network with IPv6, where one machine has many addresses.

    Trusts as many entries of X-Forwarded-For as the site has proxies, from the end: clients can send any.
    """
    proxies = api_settings.NUM_PROXIES or 0
    forwarded = [entry.strip() for entry in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if proxies and forwarded != [""]:
        text: str = forwarded[-min(proxies, len(forwarded))]
    else:
        text = request.META.get("REMOTE_ADDR") or ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else text
