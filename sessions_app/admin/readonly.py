"""Read-only admin classes and their helpers: links, relative times, inlines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from sessions_app.admin import transcript
from sessions_app.admin.lists import ListAdmin

INLINE_ROWS = 100  # per inline on one page


def link(to: Model | None) -> str:
    """Return a link to an object's admin page, or a dash."""
    if to is None:
        return "–"
    address = reverse(f"admin:{to._meta.app_label}_{to._meta.model_name}_change", args=[to.pk])
    return format_html('<a href="{}">{}</a>', address, to)


def filtered(model: type[Model], label: object, **by: Model) -> str:
    """Return a link to the list filtered by the given objects."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    query = urlencode({f"{name}__{to._meta.pk.name}__exact": to.pk for name, to in by.items()})
    return format_html('<a href="{}?{}">{}</a>', address, query, label)


def ago(moment: datetime) -> str:
    """Return the time since `moment`, in seconds during the first minute."""
    seconds = (timezone.now() - moment).total_seconds()
    return f"{max(0, seconds):.0f} s ago" if seconds < 60 else f"{timesince(moment, depth=1)} ago"


def text(json: str) -> str:
    """Return JSON sent by a person or a model as escaped, readable text."""
    return format_html('<pre class="readable">{}</pre>', transcript.readable(json))


class ReadOnlyAdmin(ListAdmin):
    list_per_page = 50
    show_full_result_count = False
    actions: Sequence[str] | None = None

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
