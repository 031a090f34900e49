"""Addresses of Holdfast's routes, wherever the project includes them."""

from __future__ import annotations

from django.urls import NoReverseMatch, reverse

from sessions_app.core.asgi_types import Scope

NAMESPACE = "holdfast"


def prefix() -> str | None:
    """Return the path that `sessions_app.urls` is included at, such as `/` or `/chat/`; None if it isn't."""
    try:
        return reverse(f"{NAMESPACE}:page")
    except NoReverseMatch:
        return None


def path_below(scope: Scope) -> str | None:
    """Return an ASGI request's path below Holdfast's prefix, such as `ws/`; None for the project's other pages."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    start = prefix()
    return path.removeprefix(start) if start is not None and path.startswith(start) else None


def is_ours(path: str) -> bool:
    """Return True if a path of the project is below Holdfast's prefix."""
    start = prefix()
    return start is not None and path.startswith(start)


def is_api(path: str) -> bool:
    """Return True if a path of the project is below Holdfast's `api/`."""
    start = prefix()
    return start is not None and path.startswith(f"{start}api/")
