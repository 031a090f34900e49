"""Read-only admin classes and their helpers: links, clipped texts, times, inlines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince

from sessions_app.admin import transcript
from sessions_app.admin.lists import ListAdmin
from sessions_app.models import Signal

INLINE_ROWS = 100  # per inline on one page


def link(to: Model | None) -> str:
    """Return a link to an object's admin page, or a dash."""
    if to is None:
        return "–"
    address = reverse(f"admin:{to._meta.app_label}_{to._meta.model_name}_change", args=[quote(to.pk)])
    return format_html('<a class="clip" href="{}" title="{}">{}</a>', address, to, to)


def clip(value: str) -> str:
    """Return a text that a list cuts at the width of its cell; the whole of it is the tooltip."""
    return format_html('<span class="clip" title="{}">{}</span>', value, value) if value else "–"


def moment(value: datetime | None) -> str:
    """Return a moment in short form, with the year and the time zone as its tooltip, or a dash."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    short, full = date_format(local, "M j, H:i:s"), date_format(local, "Y-m-d H:i:s e")
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), full, short)


def sender(signal: Signal | None) -> str:
    """Return who sent a signal, with whoever had the token issued that it was sent with, or a dash."""
    if signal is None:
        return "–"
    return clip(f"{signal.actor}, by a token that {signal.issued_by} issued" if signal.issued_by else signal.actor)


def filtered(model: type[Model], label: object, **by: Model) -> str:
    """Return a link to the list filtered by the given objects."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    query = urlencode({f"{name}__{to._meta.pk.name}__exact": to.pk for name, to in by.items()})
    return format_html('<a href="{}?{}">{}</a>', address, query, label)


def ago(moment: datetime) -> str:
    """Return the time since `moment`, in seconds during the first minute."""
    return f"{duration(timezone.now() - moment)} ago"


def duration(length: timedelta) -> str:
    """Return a length of time in its largest unit: seconds below one minute."""
    seconds = max(0.0, length.total_seconds())
    now = timezone.now()
    return f"{seconds:.0f}\N{NO-BREAK SPACE}s" if seconds < 60 else timesince(now - length, now, depth=1)


def text(json: str) -> str:
    """Return JSON sent by a person or a model as escaped, readable text."""
    return format_html('<pre class="readable">{}</pre>', transcript.readable(json))


class ReadOnlyAdmin(ListAdmin):
    list_per_page = 50
    show_full_result_count = False
    actions: Sequence[str] | None = None

    class Media:
        css = {"all": ["holdfast/admin/lists.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FirstRows(BaseInlineFormSet):  # type: ignore[type-arg]  # not generic at run time
    """The first `INLINE_ROWS` rows, to keep the page small; the list page has all of them."""

    def get_queryset(self) -> Any:
        if not hasattr(self, "_first"):
            self._first = list(super().get_queryset()[:INLINE_ROWS])
        return self._first


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    formset = FirstRows
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
