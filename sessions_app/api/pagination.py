"""Pagination by cursor, stable while the list changes. Links are paths without a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from sessions_app.api.serializers import PageQuery
from sessions_app.core import fold
from sessions_app.core.wire_types import SignalRecord, WireMessage
from sessions_app.event_log import queries
from sessions_app.http.errors import ApiError

M = TypeVar("M", bound=Model)
R = TypeVar("R")


class SessionPages(CursorPagination):
    """Pagination of sessions, most recently active first."""

    ordering = ("-active_at", "-id")
    page_size = 50
    page_size_query_param = "limit"

    def paginate_queryset(
        self, queryset: QuerySet[M, R] | Sequence[R], request: Request, view: APIView | None = None
    ) -> list[R] | None:
        PageQuery(data=request.query_params.dict()).is_valid(raise_exception=True)
        return super().paginate_queryset(queryset, request, view)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Override: refuse an invented position here, where no database has seen it yet."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not _is_moment(str(cursor.position)):
            raise ApiError("bad_page")
        return cursor

    # Links are paths: behind a proxy, this server's host name isn't the client's.

    def get_next_link(self) -> str | None:
        return _path(super().get_next_link())

    def get_previous_link(self) -> str | None:
        return _path(super().get_previous_link())


def _is_moment(text: str) -> bool:
    """Return True if a position is a moment in the form of this API's own, which exists in every time zone."""
    try:
        moment = parse_datetime(text)
        if moment is None or moment.tzinfo is None or str(moment) != text:
            return False
        return 1 < moment.astimezone(UTC).year < 9999
    except (ValueError, OverflowError):
        return False


def _path(link: str | None) -> str | None:
    return urlsplit(link)._replace(scheme="", netloc="").geturl() if link else None


class HistoryPage(NamedTuple):
    """Part of a history, oldest first, each item with its serial. `more`: the history continues beyond it."""

    items: Sequence[tuple[int, WireMessage | SignalRecord]]
    more: bool


def messages(
    session_id: str, *, limit: int, before: int | None = None, after: int | None = None, with_replaced: bool
) -> HistoryPage:
    page = queries.history(session_id, limit=limit, before=before, after=after, with_replaced=with_replaced)
    return HistoryPage([(message.first_serial, fold.to_wire(message)) for message in page.messages], page.more)


def signals(session_id: str, *, limit: int, before: int | None = None, after: int | None = None) -> HistoryPage:
    return HistoryPage(*queries.signal_history(session_id, limit=limit, before=before, after=after))


def history_page(
    path: str,
    read: Callable[..., HistoryPage],
    kept: dict[str, str],
    *,
    limit: int,
    order: str,
    before: int | None = None,
    after: int | None = None,
) -> dict[str, object]:
    """Return a page of history, `{"next", "previous", "results"}`. Its links are below `path`, with `kept` in each."""
    if after is None and before is None and order == "oldest":
        after = 0
    items, more = read(limit=limit, before=before, after=after)
    link = _linker(path, kept | {"limit": str(limit), "order": order})
    # A request with `before` or `after` came from the other side, so there is more on that side.
    has_older, has_newer = (more, before is not None) if after is None else (bool(after), more)
    older = link(before=items[0][0]) if has_older and items else None
    newer = link(after=items[-1][0]) if has_newer and items else None
    results = [item for _, item in items]
    if order == "newest":
        return {"next": older, "previous": newer, "results": results[::-1]}
    return {"next": newer, "previous": older, "results": results}


def _linker(path: str, kept: dict[str, str]) -> Callable[..., str]:
    return lambda **where: f"{path}?{urlencode(where | kept)}"
