"""Admin for messages of all sessions."""

from __future__ import annotations

from typing import Any, Protocol

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat

from sessions_app.admin import transcript
from sessions_app.admin.readonly import ReadOnlyAdmin, clip, link, moment
from sessions_app.event_log import queries
from sessions_app.models import Message


class ListedMessage(Protocol):
    """A message with the annotation of the list."""

    characters: int


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = [
        "message_id", "role", "status", "in_session", "size", "serials", "updated",
    ]  # fmt: skip
    list_filter = ["status", "role"]
    list_select_related = ["session"]
    search_fields = ["=uid", "=session__id"]
    search_help_text = "Search by the id of a message or session."
    fields = [
        "in_session", "uid", "role", "status", "metadata", "size",
        ("parent", "continues", "replaced_by"), "first_serial", "last_serial", "created_at", "updated_at",
    ]  # fmt: skip
    change_form_template = "holdfast/admin/transcript_form.html"

    class Media:
        css = {"all": ["holdfast/admin/sessions.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        # These columns can hold megabytes each; a message's own page reads them through `queries`.
        light = super().get_queryset(request).defer("parts", "open", "marks")
        annotated: QuerySet[Message] = light.annotate(characters=Length("parts"))
        return annotated

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        found = queries.message(row.session_id, row.uid) if row is not None else None
        context = {"transcript": [transcript.entry(found)] if found else []}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    @admin.display(description="session", ordering="session")
    def in_session(self, message: Message) -> str:
        return link(message.session)

    @admin.display(description="id", ordering="uid")
    def message_id(self, message: Message) -> str:
        return clip(message.uid)

    @admin.display(ordering="first_serial")
    def serials(self, message: Message) -> str:
        return f"{message.first_serial} – {message.last_serial}"

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, message: Message) -> str:
        return moment(message.updated_at)

    @admin.display(ordering="characters")
    def size(self, message: ListedMessage) -> str:
        return filesizeformat(message.characters)
