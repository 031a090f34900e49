"""Admin for approvals: pending tool calls, decisions and their execution."""

from __future__ import annotations

from typing import Protocol

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE
from django.db.models import QuerySet
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator

from sessions_app.admin import actions
from sessions_app.admin.readonly import ReadOnlyAdmin, ReadOnlyInline, clip, link, moment, sender, text
from sessions_app.core.errors import HoldfastError
from sessions_app.models import Approval, ApprovalQuerySet
from sessions_app.runs import admin_changes, lifecycle

ARGUMENTS_LENGTH = 80  # characters of a call's arguments in a list


class ListedApproval(Protocol):
    """An approval with the annotation of `_light`."""

    beginning: str


class ApprovalColumns:
    """List columns shared by the approval admin and its inline."""

    @admin.display(description="tool", ordering="tool")
    def tool_name(self, approval: Approval) -> str:
        return clip(approval.tool)

    @admin.display(description="execution", ordering="execution")
    def outcome(self, approval: Approval) -> str:
        return clip(approval.get_execution_display())

    @admin.display(description="decided by")
    def decider(self, approval: Approval) -> str:
        return sender(approval.decision)

    @admin.display(description="decided", ordering="decided_at")
    def decided(self, approval: Approval) -> str:
        return moment(approval.decided_at)

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, approval: Approval) -> str:
        return moment(approval.expires_at)

    @admin.display
    def arguments(self, approval: ListedApproval) -> str:
        return clip(Truncator(approval.beginning).chars(ARGUMENTS_LENGTH))


def _light(approvals: QuerySet[Approval]) -> QuerySet[Approval]:
    """Defer the columns that can hold a megabyte each; annotate the start of the arguments instead."""
    light = approvals.select_related("session", "decision").defer("input", "decision__payload")
    annotated: QuerySet[Approval] = light.annotate(beginning=Substr("input", 1, ARGUMENTS_LENGTH + 1))
    return annotated


@admin.register(Approval)
class ApprovalAdmin(ApprovalColumns, ReadOnlyAdmin):
    list_display = [
        "tool_name", "arguments", "status", "decider", "outcome", "expires", "in_session",
    ]  # fmt: skip
    list_filter = ["status", "execution"]
    search_fields = ["=uid", "=session__id", "=run__id", "=call"]
    search_help_text = "Search by the id of an approval, session, run or tool call."
    ordering = ["-id"]
    actions = ["expire"]
    fields = [
        "in_session", "in_run", "uid", "tool", "call", "all_arguments", "input_hash", "editable", "reason", "status",
        "decider", "decided_at", "by_signal", "execution", "created_at", "expires_at",
    ]  # fmt: skip

    class Media:
        css = {"all": ["holdfast/admin/sessions.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return _light(super().get_queryset(request))

    @admin.display(description="session", ordering="session")
    def in_session(self, approval: Approval) -> str:
        return link(approval.session)

    @admin.display(description="run")
    def in_run(self, approval: Approval) -> str:
        return link(approval.run)

    @admin.display(description="decision")
    def by_signal(self, approval: Approval) -> str:
        return link(approval.decision)

    @admin.display(description="arguments")
    def all_arguments(self, approval: Approval) -> str:
        return text(approval.input)

    def has_expire_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sessions_app.change_approval")

    @admin.action(description="Expire…", permissions=["expire"])
    def expire(self, request: HttpRequest, queryset: ApprovalQuerySet) -> HttpResponse | None:
        pending = queryset.pending()
        if "confirmed" not in request.POST:
            return actions.confirm(
                self, request, pending, action="expire", verb="Expire",
                consequence="They can no longer be decided. Agents continue as if they had been denied.",
            )  # fmt: skip
        due = list(pending)
        actions.log(request, due, CHANGE, "Expired.")
        expired = 0
        for approval in due:
            try:
                expired += admin_changes.change_session(approval.session_id, lifecycle.expire, approval.uid)
            except HoldfastError as problem:
                self.message_user(request, f"{approval}: {problem.message}", messages.ERROR)
        self.message_user(request, f"Approvals expired: {expired}.", messages.SUCCESS)
        return None


class ApprovalInline(ApprovalColumns, ReadOnlyInline):
    """Approvals on a run's page."""

    model = Approval
    fields = readonly_fields = ("tool_name", "arguments", "status", "decider", "decided", "outcome", "expires")
    ordering = ["id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return _light(super().get_queryset(request))
