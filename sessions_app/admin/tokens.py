"""Admin for revoked tokens and subjects. A revocation can't be undone."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from sessions_app.admin import actions
from sessions_app.admin.readonly import ReadOnlyAdmin, clip, moment
from sessions_app.models import RevokedSubject, RevokedToken

Revocation = RevokedToken | RevokedSubject


class RevocationAdmin(ReadOnlyAdmin):
    """Admin that allows adding rows, but not changing them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: Revocation, form: forms.ModelForm[Model], change: bool) -> None:
        super().save_model(request, obj, form, change)
        actions.audit(request, obj.described())

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, revocation: Revocation) -> str:
        return moment(revocation.expires_at)


@admin.register(RevokedToken)
class RevokedTokenAdmin(RevocationAdmin):
    list_display = ["token_id", "expires"]
    search_fields = ["=jti"]
    fields = ["jti"]

    @admin.display(description="token id", ordering="jti")
    def token_id(self, revocation: RevokedToken) -> str:
        return clip(revocation.jti)


@admin.register(RevokedSubject)
class RevokedSubjectAdmin(RevocationAdmin):
    list_display = ["subject", "before", "expires"]
    search_fields = ["=sub"]
    fields = ["sub"]

    @admin.display(description="subject", ordering="sub")
    def subject(self, revocation: RevokedSubject) -> str:
        return clip(revocation.sub)

    @admin.display(description="issued before", ordering="issued_before")
    def before(self, revocation: RevokedSubject) -> str:
        return moment(revocation.issued_before)
