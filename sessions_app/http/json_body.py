"""JSON parser and renderer: strict, size-limited, with the wire's encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from sessions_app import conf
from sessions_app.core import json_text
from sessions_app.http.errors import ApiError


class JSONParser(BaseParser):
    """JSON parser that rejects NaN, lone surrogates, numbers beyond 64 bits and excessive nesting."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, object] | None = None
    ) -> Any:
        return _read(stream, json_text.parse)


def read_json(request: HttpRequest, *, halves: bool = False, most: int | None = None) -> object:
    """Read at most `most` bytes of JSON, else FRAME_BYTES, for readers that check numbers, and texts with `halves`.

    Raises body_too_large and bad_json.
    """
    return _read(request, lambda body: json_text.read(body, halves=halves).value, most)


def _read(stream: IO[bytes] | HttpRequest, parse: Callable[[bytes], object], most: int | None = None) -> Any:
    limit = conf.settings.frame_bytes if most is None else most
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise ApiError("body_too_large", f"at most {limit} bytes")
    try:
        return parse(body)
    except ValueError as error:
        raise ApiError("bad_json", str(error)) from None


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None  # JSON is always UTF-8; it has no charset parameter

    def render(
        self, data: object, accepted_media_type: str | None = None, renderer_context: Mapping[str, object] | None = None
    ) -> bytes:
        # `default` converts lazy translations to text. Errors in a list's items have numbers as keys.
        return b"" if data is None else orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)
