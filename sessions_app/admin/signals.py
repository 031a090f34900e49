"""Admin for signals: their content, status and result."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from sessions_app.admin.readonly import ReadOnlyAdmin, ReadOnlyInline, clip, link, moment, sender, text
from sessions_app.core.signals import KINDS
from sessions_app.models import Signal

REASON_LENGTH = 120  # characters of a reason in a list


class KindFilter(admin.SimpleListFilter):
    """Filter by the known kinds. Reading the kinds in use from the database would scan every row."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Signal]) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Signal]) -> QuerySet[Signal]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class SignalColumns:
    """List columns shared by the signal admin and its inline."""

    @admin.display(description="status", ordering="status")
    def outcome(self, signal: Signal) -> str:
        reason = Truncator(signal.reason).chars(REASON_LENGTH)
        status = signal.get_status_display()
        return clip(f"{status}: {reason}" if reason else status)

    @admin.display(description="actor", ordering="actor")
    def sender(self, signal: Signal) -> str:
        return sender(signal)

    @admin.display(description="created", ordering="created_at")
    def created(self, signal: Signal) -> str:
        return moment(signal.created_at)

    @admin.display(description="changed", ordering="changed_at")
    def changed(self, signal: Signal) -> str:
        return moment(signal.changed_at)


@admin.register(Signal)
class SignalAdmin(SignalColumns, ReadOnlyAdmin):
    list_display = ["sender_id", "kind", "outcome", "in_session", "sender", "created", "changed"]
    list_filter = [KindFilter, "status"]
    list_select_related = ["session"]
    search_fields = ["=uid", "=session__id", "=run__id", "=message", "=target"]
    search_help_text = "Search by the id of a signal, session, run, response, approval or tool call."
    ordering = ["-id"]
    fields = [
        "in_session", "uid", "kind", "actor", "issued_by", "status", "code", "reason", "sent", "target", "message",
        "in_run", "serial", "last_serial", "created_at", "changed_at",
    ]  # fmt: skip

    class Media:
        css = {"all": ["holdfast/admin/sessions.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        # A payload can hold a megabyte.
        light: QuerySet[Signal] = super().get_queryset(request).defer("payload")
        return light

    @admin.display(description="id", ordering="uid")
    def sender_id(self, signal: Signal) -> str:
        return clip(signal.uid)

    @admin.display(description="session", ordering="session")
    def in_session(self, signal: Signal) -> str:
        return link(signal.session)

    @admin.display(description="run")
    def in_run(self, signal: Signal) -> str:
        return link(signal.run)

    @admin.display(description="payload")
    def sent(self, signal: Signal) -> str:
        return text(signal.payload)


class SignalInline(SignalColumns, ReadOnlyInline):
    """Signals on a run's page."""

    model = Signal
    fields = readonly_fields = ("kind", "outcome", "sender", "created", "changed")
    ordering = ["serial"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        light: QuerySet[Signal] = super().get_queryset(request).defer("payload")
        return light
