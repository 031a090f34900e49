"""Lists of the admin: invented parameters and selections get the list with a notice, invented ids a 404."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ERROR_FLAG
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

logger = logging.getLogger(__name__)


class ListAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Base of all our admins. Django refuses wrong parameters when it builds a query, not those that fail in it."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        # PostgreSQL fails at a NUL, which no id has.
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, str] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except (DataError, OverflowError, ValueError) as error:  # a number or a moment out of range, a NUL
            given = request.GET.keys() - {ERROR_FLAG} or request.POST
            if not given:
                raise
            logger.warning("the parameters of an admin list are invalid: %s", error)
            self.message_user(request, "This list has no such rows or filters.", messages.WARNING)
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
