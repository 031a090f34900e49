"""Origin check: only pages of this site may use its visitors' cookies."""

from __future__ import annotations

from urllib.parse import urlparse

from channels.security.websocket import OriginValidator
from django.conf import settings


def is_own_page(origin: str) -> bool:
    """Return True if an `Origin` header names this site."""
    allowed = settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
    try:
        page = urlparse(origin)
    except ValueError:
        return False
    return bool(OriginValidator(None, allowed).valid_origin(page))
