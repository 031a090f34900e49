"""The OpenAPI document and its page: Holdfast's operations, at the addresses where the project includes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.templatetags.static import static
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.settings import SPECTACULAR_DEFAULTS, patched_settings
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sessions_app import __version__
from sessions_app.api.base import HoldfastView, is_generating
from sessions_app.auth.addresses import NAMESPACE, prefix

TITLE = "Holdfast"
# The project's own SPECTACULAR_SETTINGS are about its own document. What is about views can't be patched, nor need be.
SETTINGS: dict[str, Any] = {
    **{
        name: value
        for name, value in SPECTACULAR_DEFAULTS.items()
        if not name.startswith("SERVE_") and name != "DEFAULT_GENERATOR_CLASS"
    },
    "TITLE": TITLE,
    "DESCRIPTION": "Durable sessions between agents and the people who use them.",
    "VERSION": __version__,
    # Both have a field `status`.
    "ENUM_NAME_OVERRIDES": {
        "MessageStatus": "sessions_app.models.Message.Status",
        "SignalStatus": "sessions_app.models.Signal.Status",
    },
}

_lock = threading.Lock()


@contextmanager
def _generating() -> Iterator[None]:
    token = is_generating.set(True)
    try:
        yield
    finally:
        is_generating.reset(token)


def generate(below: str) -> dict[str, Any]:
    """Return the OpenAPI document of Holdfast's routes included at a path, such as `/chat/`."""
    routes = [path(below.removeprefix("/"), include("sessions_app.urls"))]
    # drf-spectacular patches settings of the whole process, so one document at a time.
    with _lock, patched_settings(SETTINGS), _generating():
        generator: Any = SchemaGenerator(patterns=routes)  # type: ignore[no-untyped-call]
        return dict(generator.get_schema(public=True))


_cached = cache(generate)  # nothing in it depends on the request


class DocumentView(HoldfastView):
    """The OpenAPI document, as YAML or JSON."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []
    renderer_classes = [OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2]
    schema = None  # it is no operation

    def get(self, request: Request) -> Response:
        below = prefix()
        assert below, "this view has an address"
        return Response(_cached(below))


class DocumentPage(HoldfastView, SpectacularSwaggerSplitView):
    """The OpenAPI document as a page that works offline: its scripts are static files of this site."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []
    renderer_classes = [TemplateHTMLRenderer]
    template_name = "holdfast/api_docs.html"
    title = TITLE
    url_name = f"{NAMESPACE}:schema"
    schema = None

    @staticmethod
    def _swagger_ui_resource(filename: str) -> str:
        return static(f"drf_spectacular_sidecar/swagger-ui-dist/{filename}")

    @staticmethod
    def _swagger_ui_favicon() -> str:
        return DocumentPage._swagger_ui_resource("favicon-32x32.png")
