"""Admin for revoked tokens and subjects. A revocation can't be undone."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from sessions_app.admin.readonly import ReadOnlyAdmin
from sessions_app.models import RevokedSubject, RevokedToken


class RevocationAdmin(ReadOnlyAdmin):
    """Admin that allows adding rows, but not changing them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)


@admin.register(RevokedToken)
class RevokedTokenAdmin(RevocationAdmin):
    list_display = ["jti", "expires_at"]
    search_fields = ["=jti"]
    fields = ["jti"]


@admin.register(RevokedSubject)
class RevokedSubjectAdmin(RevocationAdmin):
    list_display = ["sub", "issued_before", "expires_at"]
    search_fields = ["=sub"]
    fields = ["sub"]
