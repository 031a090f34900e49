"""Admin for retention policies: their durations and the sessions that use them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from django import forms
from django.contrib import admin
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timesince import timesince

from sessions_app.admin import actions
from sessions_app.admin.lists import ListAdmin
from sessions_app.models import RetentionPolicy


class ListedPolicy(Protocol):
    """A policy with the annotations of the list."""

    pk: int
    is_default: bool
    session_count: int
    held_count: int
    active_at: datetime | None


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ListAdmin):
    list_display = ["name", "hours", "is_default", "sessions", "on_hold", "last_active"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[RetentionPolicy]:
        held = Count("sessions", filter=Q(sessions__held=True))
        counted = super().get_queryset(request).annotate(session_count=Count("sessions"), held_count=held)
        annotated: QuerySet[RetentionPolicy] = counted.annotate(active_at=Max("sessions__active_at"))
        return annotated

    @admin.display(ordering="session_count")
    def sessions(self, policy: ListedPolicy) -> str:
        address = reverse("admin:sessions_app_session_changelist")
        return format_html('<a href="{}?policy__id__exact={}">{}</a>', address, policy.pk, policy.session_count)

    @admin.display(ordering="held_count")
    def on_hold(self, policy: ListedPolicy) -> int:
        return policy.held_count

    @admin.display(ordering="active_at")
    def last_active(self, policy: ListedPolicy) -> str:
        return f"{timesince(policy.active_at, depth=1)} ago" if policy.active_at else "–"

    def save_model(
        self, request: HttpRequest, obj: RetentionPolicy, form: forms.ModelForm[RetentionPolicy], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        actions.audit(request, f"{'changed' if change else 'created'} {obj.described()}")

    def delete_model(self, request: HttpRequest, obj: RetentionPolicy) -> None:
        described = obj.described()
        super().delete_model(request, obj)
        actions.audit(request, f"deleted {described}")

    def has_delete_permission(self, request: HttpRequest, obj: ListedPolicy | None = None) -> bool:
        needed = obj is not None and (obj.is_default or obj.session_count)
        return super().has_delete_permission(request, obj) and not needed
