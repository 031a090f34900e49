"""Admin for runs."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.http import HttpRequest, HttpResponse

from sessions_app.admin import actions
from sessions_app.admin.approvals import ApprovalInline
from sessions_app.admin.readonly import ReadOnlyAdmin, ago, clip, duration, link, moment
from sessions_app.admin.signals import SignalInline
from sessions_app.core.errors import HoldfastError
from sessions_app.models import Run, RunQuerySet
from sessions_app.runs import admin_changes, lifecycle

INTERRUPTED = "Interrupted by an administrator."


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["run_id", "answered_by", "state", "in_session", "held_by", "created", "took", "tokens"]
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

    @admin.display(description="id", ordering="id")
    def run_id(self, run: Run) -> str:
        return clip(run.pk)

    @admin.display(description="agent", ordering="agent")
    def answered_by(self, run: Run) -> str:
        return clip(run.agent)

    @admin.display(description="status", ordering="status")
    def state(self, run: Run) -> str:
        status = run.get_status_display()
        return f"{status}, lease lost" if _has_lost_lease(run) else status

    @admin.display(description="session", ordering="session")
    def in_session(self, run: Run) -> str:
        return link(run.session)

    @admin.display
    def lease(self, run: Run) -> str:
        if run.status != Run.Status.RUNNING or run.worker is None:
            return "–"
        return f"{'lost' if _has_lost_lease(run) else 'held'}, seen {ago(run.worker.seen_at)}"

    @admin.display(description="worker", ordering="worker")
    def held_by(self, run: Run) -> str:
        return link(run.worker)

    @admin.display(description="caused by")
    def caused_by(self, run: Run) -> str:
        return link(run.cause)

    @admin.display(description="stopped by")
    def stopped_by(self, run: Run) -> str:
        return link(run.cancel)

    @admin.display(description="tokens in, out", ordering="output_tokens")
    def tokens(self, run: Run) -> str:
        if not (run.input_tokens or run.output_tokens):
            return "–"
        return f"{_count(run.input_tokens)}, {_count(run.output_tokens)}"

    @admin.display(description="created", ordering="created_at")
    def created(self, run: Run) -> str:
        return moment(run.created_at)

    @admin.display
    def took(self, run: Run) -> str:
        if run.started_at is None or run.ended_at is None:
            return "–"
        return duration(run.ended_at - run.started_at)

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


def _count(tokens: int) -> str:
    """Return a number of tokens; in millions, where digits would widen the list."""
    return str(tokens) if tokens < 100_000 else f"{tokens / 1_000_000:.1f}M"


def _has_lost_lease(run: Run) -> bool:
    """Return True for a run whose worker is dead: it is about to be ended as interrupted."""
    return run.status == Run.Status.RUNNING and run.worker is not None and not run.worker.alive
