"""Admin for revoked tokens and subjects. A revocation can't be undone."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from sessions_app.admin import actions
from sessions_app.admin.readonly import ReadOnlyAdmin
from sessions_app.models import RevokedSubject, RevokedToken

Revocation = RevokedToken | RevokedSubject


class RevocationAdmin(ReadOnlyAdmin):
    """Admin that allows adding rows, but not changing them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: Revocation, form: forms.ModelForm[Model], change: bool) -> None:
        super().save_model(request, obj, form, change)
        actions.audit(request, obj.described())


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
