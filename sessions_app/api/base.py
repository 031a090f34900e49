"""Base class of the API's views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions_app.http import errors
from sessions_app.http.authentication import CookieAuthentication, IsAuthenticatedOrGuest, TokenAuthentication
from sessions_app.http.json_body import JSONParser, JSONRenderer
from sessions_app.http.throttling import Throttle

ExceptionHandler = Callable[[Exception, Mapping[str, object]], Response | None]


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

    def get_exception_handler(self) -> ExceptionHandler:
        return errors.handle

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")  # personal data
        return response
