"""Base class of the API's views."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.views import APIView

from sessions_app.http import errors
from sessions_app.http.authentication import CookieAuthentication, IsAuthenticatedOrGuest, TokenAuthentication
from sessions_app.http.json_body import JSONParser, JSONRenderer
from sessions_app.http.throttling import Throttle


class HoldfastView(APIView):
    """Authentication, permissions, rate limit and format of every operation; comes first among a view's bases.

    All of it is explicit, although REST_FRAMEWORK could have it as defaults: that setting belongs to the site, which
    may have an API of its own. With the site's defaults, this API would let in whom the site lets in, and answer in
    the site's format.
    """

    authentication_classes = [TokenAuthentication, CookieAuthentication]
    permission_classes = [IsAuthenticatedOrGuest]
    throttle_classes = [Throttle]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation
    versioning_class = None
    metadata_class = None
    filter_backends: Any = []  # of views that list

    def get_exception_handler(self) -> Any:
        return errors.handle

    def finalize_response(self, request: Any, response: Any, *args: object, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "private, no-store")  # it is one person's
        return response
