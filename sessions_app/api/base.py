"""Base class of the API's views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from inspect import isclass
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema as extend_any_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions_app.http import errors
from sessions_app.http.authentication import CookieAuthentication, IsAuthenticatedOrGuest, TokenAuthentication
from sessions_app.http.json_body import JSONParser, JSONRenderer
from sessions_app.http.throttling import Throttle

ExceptionHandler = Callable[[Exception, Mapping[str, object]], Response | None]
F = TypeVar("F", bound=Callable[..., Any])
is_generating = ContextVar("is_generating", default=False)  # Holdfast's own document


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

    def get_exception_handler(self) -> ExceptionHandler:
        return errors.handle

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")  # personal data
        return response
