"""Rate limits for HTTP requests, by person and by address (`fairness.rates`)."""

from __future__ import annotations

import math

from django.http import HttpRequest
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from sessions_app.auth.addresses import client_key
from sessions_app.auth.identity import Identity
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer, payer_of
from sessions_app.http.authentication import identity_of


class Throttle(BaseThrottle):
    """Rate limit per address and per identity, if there is one. What they were answered counts, too."""

    _wait = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        payer = request_payer(request, identity_of(request) if request.auth is not None else None)
        kind: rates.Kind = "read" if request.method in SAFE_METHODS else "write"
        self._wait = math.ceil(rates.take(kind, payer))
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


def consume(kind: rates.Kind, request: HttpRequest, identity: Identity) -> None:
    """Count a request. Raises Throttled with the seconds to wait."""
    if wait := rates.take(kind, request_payer(request, identity)):
        raise Throttled(math.ceil(wait))


def request_payer(request: Request | HttpRequest, identity: Identity | None) -> Payer:
    """Return the payer of a request by this identity."""
    return payer_of(identity, address_of(request))


def address_of(request: Request | HttpRequest) -> str:
    """Return the key of the client's address."""
    return client_key(request.META.get("REMOTE_ADDR"), request.META.get("HTTP_X_FORWARDED_FOR", ""))
