"""Base class of the API's views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from inspect import isclass
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema as extend_any_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions_app.auth.identity import Identity
from sessions_app.auth.middleware import get_identity
from sessions_app.core.errors import HoldfastError
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer
from sessions_app.fairness.requests import Requests
from sessions_app.http import errors
from sessions_app.http.authentication import CookieAuthentication, IsAuthenticatedOrGuest, TokenAuthentication
from sessions_app.http.guards import refused
from sessions_app.http.json_body import JSONParser, JSONRenderer
from sessions_app.http.throttling import Throttle, request_payer

ExceptionHandler = Callable[[Exception, Mapping[str, object]], Response | None]
F = TypeVar("F", bound=Callable[..., Any])
is_generating = ContextVar("is_generating", default=False)  # Holdfast's own document


LEAST_BYTES = 16_384  # what a request costs at least: four times an attach's queries (`fairness.answers`)

_turns = Requests()


def _identity(request: HttpRequest) -> Identity | None:
    try:
        return get_identity(request)
    except HoldfastError:  # the view answers it
        return None


def _answer(payer: Payer, view: Callable[..., HttpResponse], *args: object, **kwargs: object) -> HttpResponse:
    """Call a view, render its response and charge for it."""
    response = view(*args, **kwargs)
    if isinstance(response, SimpleTemplateResponse):
        response.render()
    rates.spend("answer", payer, max(LEAST_BYTES, len(response.content)))
    return response


class OperationSchema(AutoSchema):
    """Schema of an operation: part of Holdfast's own document, left out of the one that the project may have."""

    def is_excluded(self) -> bool:
        return not is_generating.get() or bool(super().is_excluded())


def extend_schema(**options: Any) -> Callable[[F], F]:
    """Return drf-spectacular's decorator of this name, for a project with another DEFAULT_SCHEMA_CLASS, too."""
    extend = extend_any_schema(**options)

    def decorate(view: F) -> F:
        if not isclass(view):
            view.kwargs = {"schema": OperationSchema} | getattr(view, "kwargs", {})  # type: ignore[attr-defined]
        return extend(view)

    return decorate


class HoldfastView(APIView):
    """Base view: authentication, permissions, rate limit and format. It comes first among a view's bases.

    These aren't defaults in REST_FRAMEWORK, because that setting belongs to the site, which may have its own API.
    With the site's defaults, this API would use the site's authentication and format.
    """

    authentication_classes = [TokenAuthentication, CookieAuthentication]
    permission_classes = [IsAuthenticatedOrGuest]
    throttle_classes = [Throttle]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation
    versioning_class = None
    metadata_class = None
    filter_backends: Any = []  # read by list views
    schema: Any = OperationSchema()

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the view, whose requests are worked on by turns and charged by the bytes of their answers."""
        view = super().as_view(*args, **kwargs)

        @wraps(view)
        async def in_turn(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            payer = request_payer(request, _identity(request))
            try:
                if in_debt_s := rates.wait("answer", payer):  # refused here, it costs no thread
                    raise HoldfastError("read_limit", retry_after_s=in_debt_s)
                async with _turns.turn(payer):
                    return await sync_to_async(_answer)(payer, view, request, *args, **kwargs)
            except HoldfastError as problem:
                return refused(problem, errors.headers_of(problem, problem))

        return in_turn

    def get_exception_handler(self) -> ExceptionHandler:
        return errors.handle

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")  # personal data
        return response
