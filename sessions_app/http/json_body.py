"""JSON parser and renderer: strict, size-limited, with the wire's encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from sessions_app import conf
from sessions_app.http.errors import ApiError


class JSONParser(BaseParser):
    """JSON parser that rejects NaN, lone surrogates and excessive nesting."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, object] | None = None
    ) -> Any:
        return read_json(stream)


def read_json(stream: IO[bytes] | HttpRequest, parse: Callable[[bytes], Any] = orjson.loads) -> Any:
    """Read at most FRAME_BYTES of JSON. Raises body_too_large and bad_json."""
    body = stream.read(conf.settings.frame_bytes + 1)
    if len(body) > conf.settings.frame_bytes:
        raise ApiError("body_too_large", f"at most {conf.settings.frame_bytes} bytes")
    try:
        return parse(body)
    except orjson.JSONDecodeError as error:
        raise ApiError("bad_json", str(error)) from None


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None  # JSON is always UTF-8; it has no charset parameter

    def render(
        self, data: object, accepted_media_type: str | None = None, renderer_context: Mapping[str, object] | None = None
    ) -> bytes:
        # `default` converts lazy translations to text.
        return b"" if data is None else orjson.dumps(data, default=str)
