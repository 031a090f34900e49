"""Admin for sessions: state, transcript, retention, and the actions on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.timesince import timesince, timeuntil

from sessions_app.admin import actions, transcript
from sessions_app.admin.lists import ListAdmin
from sessions_app.admin.readonly import ago, clip, filtered
from sessions_app.core.errors import HoldfastError
from sessions_app.database import locking
from sessions_app.event_log import queries
from sessions_app.models import Message, RetentionPolicy, Run, Session, SessionQuerySet, Signal
from sessions_app.retention import purge as retention

STREAMING = Message.objects.streaming().filter(session=OuterRef("pk"))
TRANSCRIPT_MESSAGES = 30  # on one page
# In rows, as a session's page shows them.
DETAILS = (
    ("id", "external_id", "owner", "agent"),
    ("state", "count", "size"),
    ("created_at", "active_at", "expiry"),
    ("epoch", "tail", "trimmed"),
    ("its_signals", "its_runs"),
)
USERS_FOUND = 100  # by one search


class ListedSession(Protocol):
    """A session with what `describe` adds."""

    removed_at: datetime | None
    expires_at: datetime | None
    message_count: int
    message_size: int
    is_streaming: bool
    owner_name: str


def describe(sessions: Sequence[Any]) -> None:
    """Set the list's computed columns on each session, with three queries in all: counts, sizes, user names.

    Not annotations of the list's query: a database would compute those for every row before it sorts.
    """
    ids = [session.pk for session in sessions]
    found = Message.objects.filter(session__in=ids).values("session").order_by()
    totals = found.annotate(count=Count("pk"), size=Sum(Length("parts")))
    stats = {row["session"]: (row["count"], row["size"]) for row in totals}
    streaming = set(found.filter(status=Message.Status.STREAMING).values_list("session", flat=True))
    names = _usernames(session.owner for session in sessions)
    for session in sessions:
        session.message_count, session.message_size = stats.get(session.pk, (0, 0))
        session.is_streaming = session.pk in streaming
        session.owner_name = names.get(session.owner, session.owner)


def _usernames(owners: Iterable[str]) -> dict[str, str]:
    pks = {owner.removeprefix("user:") for owner in owners if owner.startswith("user:")}
    users = get_user_model().objects.filter(pk__in=pks)
    return {f"user:{user.pk}": user.get_username() for user in users}


class SessionList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        describe(self.result_list)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Session]) -> list[tuple[str, str]]:
        return [(name, name) for name in ("streaming", "idle", "expired", "being removed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "being removed":
            return queryset.removed()
        if self.value() == "streaming":
            return queryset.filter(Exists(STREAMING))
        if self.value() == "idle":
            return queryset.visible().exclude(Exists(STREAMING))
        if self.value() == "expired":
            return queryset.expired().exclude(Exists(STREAMING))
        return queryset


class OwnerKindFilter(admin.SimpleListFilter):
    title = "owner"
    parameter_name = "owner_kind"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Session]) -> list[tuple[str, str]]:
        return [("user", "users"), ("guest", "guests")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        if self.value() in ("user", "guest"):
            return queryset.filter(owner__startswith=f"{self.value()}:")
        return queryset


@admin.register(Session)
class SessionAdmin(ListAdmin):
    list_display = ["name", "state", "owned_by", "active", "expiry", "held", "count", "size", "tail", "answered_by"]
    list_filter = [StateFilter, "held", "policy", OwnerKindFilter, "agent"]
    list_select_related = ["policy"]
    list_per_page = 50
    show_full_result_count = False
    search_fields = ["=id", "=external_id", "=owner", "title"]
    search_help_text = (
        "Search by session id, external id, owner (user:1, guest:…, or a user name) or words in the title."
    )
    actions = ["purge", "hold", "release", "change_policy"]
    fieldsets = [
        (None, {"fields": ["title", "policy", "held"]}),
        ("Details", {"fields": DETAILS}),
    ]
    readonly_fields = tuple(name for row in DETAILS for name in row)
    change_form_template = "holdfast/admin/transcript_form.html"

    class Media:
        css = {"all": ["holdfast/admin/lists.css", "holdfast/admin/sessions.css"]}

    # Columns

    @admin.display(description="session", ordering="title")
    def name(self, session: Session) -> str:
        return clip(session.title or session.pk)

    @admin.display
    def state(self, session: ListedSession) -> str:
        if session.removed_at is not None:
            return "being removed"
        if session.is_streaming:
            return "streaming"
        if session.expires_at is not None and session.expires_at < timezone.now():
            return "expired"
        return "idle"

    @admin.display(description="owner", ordering="owner")
    def owned_by(self, session: ListedSession) -> str:
        name: str = session.owner_name
        return f"{name[:14]}…" if name.startswith("guest:") else name or "–"  # enough to tell guests apart

    @admin.display(description="agent", ordering="agent")
    def answered_by(self, session: Session) -> str:
        return clip(session.agent)

    @admin.display(description="messages")
    def count(self, session: ListedSession) -> int:
        return session.message_count

    @admin.display
    def size(self, session: ListedSession) -> str:
        return filesizeformat(session.message_size)

    @admin.display(description="signals")
    def its_signals(self, session: Session) -> str:
        return filtered(Signal, session.signals.count(), session=session)

    @admin.display(description="runs")
    def its_runs(self, session: Session) -> str:
        return filtered(Run, session.runs.count(), session=session)

    @admin.display(description="last active", ordering="active_at")
    def active(self, session: Session) -> str:
        return ago(session.active_at)

    @admin.display(description="expires")
    def expiry(self, session: Session) -> str:
        if session.expires_at is None:
            return "never: on hold"
        if session.expires_at < timezone.now():
            return f"{timesince(session.expires_at, depth=1)} ago"
        return f"in {timeuntil(session.expires_at, depth=1)}"

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if search_term:
            users = get_user_model().objects.filter(**{f"{get_user_model().USERNAME_FIELD}__icontains": search_term})
            owners = [f"user:{pk}" for pk in users.values_list("pk", flat=True)[:USERS_FOUND]]
            found |= queryset.filter(owner__in=owners)
        return found, may_repeat

    # One session

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Session | None:
        session: Session | None = super().get_object(request, object_id, from_field)
        if session is not None:
            describe([session])
        return session

    def get_form(
        self, request: HttpRequest, obj: Session | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Session]]:
        form = super().get_form(request, obj, change, **kwargs)
        if "policy" in form.base_fields:  # absent with view permission only
            widget = form.base_fields["policy"].widget
            widget.can_add_related = widget.can_change_related = False
            widget.can_delete_related = widget.can_view_related = False
        return form

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_read = request.method == "GET" and request.user.has_perm("sessions_app.view_message")
        key = unquote(object_id)  # the admin's own links quote what is in an id
        exists = may_read and self.get_object(request, key) is not None
        context = _transcript(key, request.GET) if exists else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def save_model(self, request: HttpRequest, obj: Session, form: forms.ModelForm[Session], change: bool) -> None:
        # Only the changed fields: tail and epoch belong to the log writer, which may be changing them now.
        obj.save(update_fields=form.changed_data)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.held)

    def get_deleted_objects(
        self, objs: QuerySet[Session] | Sequence[Session], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        # Don't collect the related rows: there may be very many, and all are deleted with the session anyway.
        return [str(session) for session in objs], {"sessions": len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        retention.delete_sessions([obj.pk])

    # Actions

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., str], str, str] | None]:
        found = super().get_actions(request)
        found.pop("delete_selected", None)  # replaced by `purge`, which deletes in steps and respects holds
        return found

    @admin.action(description="Purge…", permissions=["delete"])
    def purge(self, request: HttpRequest, queryset: SessionQuerySet) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            held = queryset.filter(held=True).count()
            return actions.confirm(
                self, request, queryset, action="purge", verb="Purge", held=held,
                consequence="Everything in a session is deleted with it, immediately and permanently.",
            )  # fmt: skip
        due = queryset.filter(held=False)
        ids = list(due.values_list("pk", flat=True))
        actions.log(request, due, DELETION)
        purged = retention.delete_sessions(ids)
        self.message_user(request, f"Purged {purged}.", messages.SUCCESS)
        return None

    @admin.action(description="Put on hold (no expiry)", permissions=["change"])
    def hold(self, request: HttpRequest, queryset: SessionQuerySet) -> None:
        self._change(request, queryset, "on hold", held=True)

    @admin.action(description="Release from hold", permissions=["change"])
    def release(self, request: HttpRequest, queryset: SessionQuerySet) -> None:
        self._change(request, queryset, "released", held=False)

    @admin.action(description="Change policy…", permissions=["change"])
    def change_policy(self, request: HttpRequest, queryset: SessionQuerySet) -> HttpResponse | None:
        form = PolicyChoice(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return actions.confirm(
                self, request, queryset, action="change_policy", verb="Change the policy of", form=form
            )  # fmt: skip
        policy = form.cleaned_data["policy"]
        self._change(request, queryset, f"now with the policy {policy}", policy=policy)
        return None

    def _change(self, request: HttpRequest, queryset: SessionQuerySet, now: str, **values: object) -> None:
        present = queryset.present()
        actions.log(request, present, CHANGE, f"Sessions {now}.")
        ids = list(present.values_list("pk", flat=True))
        with transaction.atomic():
            locking.sessions(ids)
            changed = Session.objects.filter(pk__in=ids).update(**values)
        self.message_user(request, f"Sessions {now}: {changed}.", messages.SUCCESS)


class PolicyChoice(forms.Form):
    policy = forms.ModelChoiceField(RetentionPolicy.objects.all(), empty_label=None)


def _transcript(session_id: str, query: QueryDict) -> dict[str, object]:
    """Template context of one transcript page: the newest messages, or those before `?before=<serial>`."""
    before = query.get("before", "")
    try:
        found = queries.history(
            session_id,
            limit=TRANSCRIPT_MESSAGES,
            with_replaced=True,
            before=int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None,
        )
    except HoldfastError:
        return {}  # the admin reports a missing session itself
    entries = [transcript.entry(message) for message in found.messages]
    earlier = entries[0].message.first_serial if found.more else None
    return {"transcript": entries, "earlier": earlier, "at_the_end": not before}
