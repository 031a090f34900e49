"""What actions on a selection share: the page that asks first, and the note of who did it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

M = TypeVar("M", bound=Model)

SHOWN = 20  # of a selection, on the page that asks


def ask(admin: ModelAdmin[M], request: HttpRequest, queryset: QuerySet[M], **context: object) -> HttpResponse:
    """The page that asks before an action. It sends the same selection again, as the list does.

    `action` and `verb` name it; `consequence` says what it does beyond that.
    """
    total = queryset.count()
    return TemplateResponse(
        request,
        "holdfast/admin/confirm.html",
        {
            **admin.admin_site.each_context(request),
            "title": "Are you sure?",
            "opts": admin.opts,
            "noun": admin.opts.verbose_name if total == 1 else admin.opts.verbose_name_plural,
            "chosen": queryset[:SHOWN],
            "total": total,
            "more": total > SHOWN,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox": ACTION_CHECKBOX_NAME,
            **context,
        },
    )


def log(request: HttpRequest, objects: Iterable[Model], flag: int, message: str = "") -> None:
    """Note in the admin's own log who does what to these."""
    LogEntry.objects.log_actions(cast(int, request.user.pk), objects, flag, message)
