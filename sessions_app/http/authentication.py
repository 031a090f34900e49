"""Who asks, by a token or by cookies; and the CSRF token without which another site's page can't use the cookies."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from sessions_app.auth.identity import GUEST_COOKIE, Identity
from sessions_app.auth.middleware import get_identity
from sessions_app.http.errors import ApiError


class TokenAuthentication(BaseAuthentication):
    """`request.auth` is the Identity; `request.user` is nobody, since a token opens nothing that is for staff."""

    def authenticate(self, request: Request) -> tuple[Any, Identity] | None:
        identity = get_identity(request._request)
        return None if identity is None or identity.grant is None else (AnonymousUser(), identity)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"  # what makes it a 401


class CookieAuthentication(BaseAuthentication):
    """`request.auth` is the Identity, `request.user` Django's user, who is anonymous for a guest."""

    def authenticate(self, request: Request) -> tuple[Any, Identity] | None:
        identity = get_identity(request._request)
        if identity is None:
            return None
        enforce_csrf(request._request)
        return request._request.user, identity

    def authenticate_header(self, request: Request) -> str:
        return "Cookie"  # what makes it a 401


def enforce_csrf(request: HttpRequest) -> None:
    """Raise csrf_failed where a request may change something and lacks the token."""
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]  # it is never called
    check.process_request(request)
    if check.process_view(request, lambda _: HttpResponse(), (), {}):
        raise ApiError("csrf_failed")


def identity_of(request: Request) -> Identity:
    """Who asks; for operations that `IsAuthenticatedOrGuest` guards."""
    identity: Identity = request.auth  # type: ignore[assignment]
    return identity


class IsAuthenticatedOrGuest(BasePermission):
    """Users and guests."""

    def has_permission(self, request: Request, view: object) -> bool:
        return request.auth is not None


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's description says it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        description = "For agents and back ends elsewhere: PROTOCOL.md §13. With it, cookies are ignored."
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}


class CookieScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's description says it."""

    target_class = CookieAuthentication
    name = ["login", "guest"]

    def get_security_requirement(self, auto_schema: object) -> list[dict[str, list[Any]]]:
        return [{"login": []}, {"guest": []}]  # one of them

    def get_security_definition(self, auto_schema: object) -> list[dict[str, str]]:
        change = "Changes need the csrftoken cookie's value in the header X-CSRFToken."
        return [
            {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": f"Of a login. {change}"},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": GUEST_COOKIE,
                "description": f"Given to each visitor of the page. {change}",
            },
        ]
