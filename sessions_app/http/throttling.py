"""Rate limits for HTTP requests per process, by identity and by address."""

from __future__ import annotations

import functools
import math
import threading
import time
from typing import Literal

from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from sessions_app import conf
from sessions_app.auth.addresses import client_key
from sessions_app.core.limits import RateLimiter
from sessions_app.http.authentication import identity_of

MAX_COUNTED = 10_000  # addresses, and owners, counted separately per kind of request
SHARED_ADDRESS = 10  # an address gets the budget of this many people, since an office shares one

_lock = threading.Lock()


@functools.cache
def limiter(kind: str, by: Literal["address", "owner"], per_minute: int) -> RateLimiter:
    """Return the limiter of one kind of request."""
    return RateLimiter.per_minute(per_minute, MAX_COUNTED)


class Throttle(BaseThrottle):
    """Rate limit per address and per identity, if there is one."""

    _wait = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        kind, per_minute = _budget(request)
        owner = identity_of(request).owner if request.auth is not None else None
        self._wait = consume(request, owner, kind, per_minute)
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


def consume(request: Request | HttpRequest, owner: str | None, kind: str, per_minute: int) -> int:
    """Count a request. Return 0 if it is allowed, else the seconds to wait."""
    address = address_of(request)
    with _lock:
        now = time.monotonic()
        waits = [limiter(kind, "address", per_minute * SHARED_ADDRESS).take(address, now)]
        if owner is not None:
            waits.append(limiter(kind, "owner", per_minute).take(owner, now))
    return math.ceil(max(waits))


def _budget(request: Request) -> tuple[str, int]:
    if request.method in SAFE_METHODS:
        return "read", conf.settings.reads_per_minute
    return "write", conf.settings.writes_per_minute


def address_of(request: Request | HttpRequest) -> str:
    """Return the key of the client's address."""
    return client_key(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR", ""))
