"""Admin for runs."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.http import HttpRequest, HttpResponse
from django.utils.timesince import timesince

from sessions_app.admin import actions
from sessions_app.admin.approvals import ApprovalInline
from sessions_app.admin.readonly import ReadOnlyAdmin, ago, link
from sessions_app.admin.signals import SignalInline
from sessions_app.core.errors import HoldfastError
from sessions_app.models import Run, RunQuerySet
from sessions_app.runs import admin_changes, lifecycle

INTERRUPTED = "Interrupted by an administrator."


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["id", "agent", "status", "in_session", "lease", "held_by", "created_at", "took", "mode", "tokens"]
    list_filter = ["status", "mode", "agent"]
    list_select_related = ["session", "worker"]
    search_fields = ["=id", "=session__id", "=uid", "=worker__id"]
    search_help_text = "Search by the id of a run, session, response or worker."
    ordering = ["-created_at"]
    actions = ["interrupt"]
    inlines = [SignalInline, ApprovalInline]
    # In rows, like a session's details.
    fields = [
        ("id", "in_session", "agent"),
        ("status", "lease", "held_by"),
        ("caused_by", "stopped_by", "mode"),
        ("uid", "prompt", "earlier"),
        ("created_at", "started_at", "ended_at"),
        ("took", "input_tokens", "output_tokens"),
    ]

    class Media:
        css = {"all": ["holdfast/admin/sessions.css"]}

    @admin.display(description="session", ordering="session")
    def in_session(self, run: Run) -> str:
        return link(run.session)

    @admin.display
    def lease(self, run: Run) -> str:
        if run.status != Run.Status.RUNNING or run.worker is None:
            return "–"
        return f"{'held' if run.worker.alive else 'lost'}, seen {ago(run.worker.seen_at)}"

    @admin.display(description="worker", ordering="worker")
    def held_by(self, run: Run) -> str:
        return link(run.worker)

    @admin.display(description="caused by")
    def caused_by(self, run: Run) -> str:
        return link(run.cause)

    @admin.display(description="stopped by")
    def stopped_by(self, run: Run) -> str:
        return link(run.cancel)

    @admin.display(description="tokens (in, out)", ordering="output_tokens")
    def tokens(self, run: Run) -> str:
        return f"{run.input_tokens}, {run.output_tokens}" if run.input_tokens or run.output_tokens else "–"

    @admin.display
    def took(self, run: Run) -> str:
        if run.started_at is None or run.ended_at is None:
            return "–"
        return timesince(run.started_at, run.ended_at)

    def has_interrupt_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sessions_app.change_run")

    @admin.action(description="Interrupt…", permissions=["interrupt"])
    def interrupt(self, request: HttpRequest, queryset: RunQuerySet) -> HttpResponse | None:
        active = queryset.active()
        if "confirmed" not in request.POST:
            return actions.confirm(
                self, request, active, action="interrupt", verb="Interrupt",
                consequence="Text already written is kept; anything the agents write after this is refused.",
            )  # fmt: skip
        due = list(active)
        actions.log(request, due, CHANGE, "Interrupted.")
        interrupted = 0
        for run in due:
            try:
                interrupted += admin_changes.change_session(run.session_id, lifecycle.interrupt, run.pk, INTERRUPTED)
            except HoldfastError as problem:
                self.message_user(request, f"{run}: {problem.message}", messages.ERROR)
        self.message_user(request, f"Runs interrupted: {interrupted}.", messages.SUCCESS)
        return None
