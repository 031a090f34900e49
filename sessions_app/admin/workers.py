"""Admin for workers: the processes and producers that write responses."""

from __future__ import annotations

from typing import Any, Protocol

import orjson
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from sessions_app import conf
from sessions_app.admin.readonly import ReadOnlyAdmin, ago, clip, moment
from sessions_app.event_log import queries
from sessions_app.models import Run, Worker


class ListedWorker(Protocol):
    """A worker with the annotation of the list."""

    running_count: int


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ["process", "alive", "runs_agents", "running", "seen", "beats", "started"]
    list_filter = ["alive"]
    search_fields = ["=id", "name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        running = Count("runs", filter=Q(runs__status=Run.Status.RUNNING))
        annotated: QuerySet[Worker] = super().get_queryset(request).annotate(running_count=running)
        return annotated

    @admin.display(description="name", ordering="name")
    def process(self, worker: Worker) -> str:
        return clip(worker.name)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Warn of agents elsewhere that have no worker."""
        if missing := sorted(set(conf.settings.remote_agents) - queries.remote_agents()):
            messages.warning(request, f"No worker runs {', '.join(missing)}: their messages wait.")
        listed: HttpResponse = super().changelist_view(request, extra_context)
        return listed

    @admin.display(description="agents")
    def runs_agents(self, worker: Worker) -> str:
        """The agents of a remote worker."""
        return clip(", ".join(orjson.loads(worker.agents))) if worker.agents else ""

    @admin.display(description="started", ordering="started_at")
    def started(self, worker: Worker) -> str:
        return moment(worker.started_at)

    @admin.display(description="active runs", ordering="running_count")
    def running(self, worker: ListedWorker) -> int:
        return worker.running_count

    @admin.display(description="last seen", ordering="seen_at")
    def seen(self, worker: Worker) -> str:
        return ago(worker.seen_at)
