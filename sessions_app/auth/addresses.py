"""Addresses: where the project has included Holdfast's routes, and which of its paths are Holdfast's."""

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
    """Return an ASGI request's path below Holdfast's prefix, such as `ws/`; None for any other page of the project."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    start = prefix()
    return path.removeprefix(start) if start is not None and path.startswith(start) else None


def is_ours(path: str) -> bool:
    """Return whether a path of the project is Holdfast's."""
    start = prefix()
    return start is not None and path.startswith(start)
