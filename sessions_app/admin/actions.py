"""Helpers for admin actions on a selection: the confirmation page and the admin's audit log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sessions_app.telemetry import audit as audit_log

M = TypeVar("M", bound=Model)

ITEMS_SHOWN = 20  # of a selection, on the confirmation page


def confirm(admin: ModelAdmin[M], request: HttpRequest, queryset: QuerySet[M], **context: object) -> HttpResponse:
    """Return the confirmation page of an action. Its form posts the same selection again, as the list does.

    `action` and `verb` name the action; `consequence` says what else it does.
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
            "chosen": queryset[:ITEMS_SHOWN],
            "total": total,
            "more": total > ITEMS_SHOWN,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "checkbox": ACTION_CHECKBOX_NAME,
            **context,
        },
    )


def audit(request: HttpRequest, action: str) -> None:
    """Record what the logged-in user did in the audit log, once it is committed."""
    transaction.on_commit(lambda: audit_log.record(f"user:{request.user.pk}", action))


def log(request: HttpRequest, objects: Iterable[Model], flag: int, message: str = "") -> None:
    """Record the action on these objects in the admin's log."""
    LogEntry.objects.log_actions(cast(int, request.user.pk), objects, flag, message)
