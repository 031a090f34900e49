"""The operator's view of who is at work: the processes that write, and their runs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.timesince import timesince

from sessions_app.admin.readonly import ReadOnlyAdmin, link
from sessions_app.models import Run, Worker


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ["name", "alive", "running", "seen", "beats", "started_at"]
    list_filter = ["alive"]
    search_fields = ["=id", "name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        running = Count("runs", filter=Q(runs__status=Run.Status.RUNNING))
        annotated: QuerySet[Any] = super().get_queryset(request).annotate(running_count=running)
        return annotated

    @admin.display(description="runs at work", ordering="running_count")
    def running(self, worker: Any) -> Any:
        return worker.running_count

    @admin.display(description="last seen", ordering="seen_at")
    def seen(self, worker: Worker) -> str:
        return f"{timesince(worker.seen_at, depth=1)} ago"


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["id", "agent", "status", "in_session", "held_by", "created_at", "took"]
    list_filter = ["status", "agent"]
    list_select_related = ["session", "worker"]
    search_fields = ["=id", "=session__id", "=uid", "=worker__id"]
    ordering = ["-created_at"]
    fields = [
        "id", "agent", "status", "in_session", "held_by", "uid", "created_at", "started_at", "ended_at", "took",
    ]  # fmt: skip

    @admin.display(description="session", ordering="session")
    def in_session(self, run: Run) -> str:
        return link(run.session)

    @admin.display(description="worker", ordering="worker")
    def held_by(self, run: Run) -> str:
        return link(run.worker)

    @admin.display
    def took(self, run: Run) -> str:
        if run.started_at is None or run.ended_at is None:
            return "–"
        return timesince(run.started_at, run.ended_at)
