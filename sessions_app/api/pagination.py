"""Pages of lists: cursors, which stay right while the list changes, and links that don't name a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from sessions_app import store
from sessions_app.api.errors import ApiError
from sessions_app.api.serializers import PageQuery
from sessions_app.core import fold


class SessionPages(CursorPagination):
    """The session that was last active first."""

    ordering = ("-active_at", "-id")
    page_size = 50
    page_size_query_param = "limit"

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any] | None:
        PageQuery(data=request.query_params.dict()).is_valid(raise_exception=True)
        try:
            return super().paginate_queryset(queryset, request, view)
        except ValidationError:  # a cursor that somebody made up: what is in it isn't a time
            raise ApiError("bad_page") from None

    # The links are paths: what a proxy calls this server is none of the client's business.

    def get_next_link(self) -> str | None:
        return _path(super().get_next_link())

    def get_previous_link(self) -> str | None:
        return _path(super().get_previous_link())


def _path(link: str | None) -> str | None:
    return urlsplit(link)._replace(scheme="", netloc="").geturl() if link else None


class _Page(NamedTuple):
    """Messages, oldest first, and whether there are more on either side."""

    messages: list[dict[str, Any]]
    older: bool
    newer: bool


def history_page(
    path: str, session_id: str, *, limit: int, order: str, before: int | None = None, after: int | None = None
) -> dict[str, Any]:
    """Return a page of history, `{"next", "previous", "results"}`, with links to its neighbours below `path`."""
    if after is None and before is None and order == "oldest":
        after = 0
    page = _read(session_id, limit, before, after)
    link = _linker(path, limit, order)
    older = link(before=page.messages[0]["first_serial"]) if page.older and page.messages else None
    newer = link(after=page.messages[-1]["first_serial"]) if page.newer and page.messages else None
    if order == "newest":
        return {"next": older, "previous": newer, "results": page.messages[::-1]}
    return {"next": newer, "previous": older, "results": page.messages}


def _linker(path: str, limit: int, order: str) -> Callable[..., str]:
    return lambda **where: f"{path}?{urlencode({**where, 'limit': limit, 'order': order})}"


def _read(session_id: str, limit: int, before: int | None, after: int | None) -> _Page:
    # Behind us there are more if we came from there.
    messages, more = store.history(session_id, limit=limit, before=before, after=after)
    found = [fold.to_wire(message) for message in messages]
    if after is not None:
        return _Page(found, older=bool(after), newer=more)
    return _Page(found, older=more, newer=before is not None)
