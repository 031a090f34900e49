"""Django's model permissions in the API. Staff status alone grants nothing; superusers have every permission."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser, AnonymousUser
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.views import APIView

from sessions_app.http.errors import ApiError

ISSUE_FOR_OTHERS = "sessions_app.issue_token_for_others"
ISSUE_FOR_ALL_AGENTS = "sessions_app.issue_token_for_all_agents"


def require(user: AbstractUser | AnonymousUser, permission: str) -> None:
    """Raise forbidden, naming the permission, unless the user is active staff and has it."""
    if not (user.is_active and user.is_staff and user.has_perm(permission)):
        raise ApiError("forbidden", permission)


class ModelPermissions(DjangoModelPermissions):
    """The admin's permissions: `view` for reads, then `add`, `change` and `delete`."""

    perms_map = {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
        "POST": ["%(app_label)s.add_%(model_name)s"],
        "PATCH": ["%(app_label)s.change_%(model_name)s"],
        "DELETE": ["%(app_label)s.delete_%(model_name)s"],
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        for permission in self.get_required_permissions(request.method or "", self._queryset(view).model):
            require(request.user, permission)
        return True


class TokenPermissions(ModelPermissions):
    """Permissions for tokens: issuing has its own; revoking requires `add` of revoked tokens, as in the admin."""

    perms_map = {
        "POST": ["%(app_label)s.issue_token"],
        "DELETE": ["%(app_label)s.add_%(model_name)s"],
    }
