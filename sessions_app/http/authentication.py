"""Authentication of API requests by token or cookie, with CSRF checks for cookies."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from sessions_app.auth.identity import Identity, guest_cookie_name
from sessions_app.auth.middleware import get_identity
from sessions_app.auth.origin import check_page
from sessions_app.http.errors import ApiError

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class TokenAuthentication(BaseAuthentication):
    """Token authentication. `request.auth` is the Identity; `request.user` is anonymous: tokens never act as staff."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | AnonymousUser, Identity] | None:
        identity = get_identity(request._request)
        return None if identity is None or identity.grant is None else (AnonymousUser(), identity)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"  # without it, DRF answers 403 instead of 401


class CookieAuthentication(BaseAuthentication):
    """Cookie authentication. `request.auth` is the Identity; `request.user` is Django's user, anonymous for a guest."""

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | AnonymousUser, Identity] | None:
        identity = get_identity(request._request)
        if identity is None:
            return None
        if request._request.content_type in FORMS:  # the CSRF check would read it, malformed or not
            raise ApiError("unsupported_media_type")
        enforce_csrf(request._request)
        check_page(request._request)  # reads, which need no CSRF token
        return request._request.user, identity

    def authenticate_header(self, request: Request) -> str:
        return "Cookie"  # without it, DRF answers 403 instead of 401


def enforce_csrf(request: HttpRequest) -> None:
    """Raise csrf_failed for an unsafe request without a valid CSRF token."""
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]  # never called
    check.process_request(request)
    if check.process_view(request, lambda _: HttpResponse(), (), {}):
        raise ApiError("csrf_failed")


def identity_of(request: Request) -> Identity:
    """Return the request's identity. Only for views that `IsAuthenticatedOrGuest` guards."""
    identity: Identity = request.auth  # type: ignore[assignment]
    return identity


class IsAuthenticatedOrGuest(BasePermission):
    """Permission for users, guests and token holders."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.auth is not None


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """OpenAPI security scheme of tokens."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = "For external agents and back ends (PROTOCOL.md §13). Cookies are then ignored."
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}


class CookieScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """OpenAPI security schemes of cookies."""

    target_class = CookieAuthentication
    name = ["login", "guest"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[str]]]:
        return [{"login": []}, {"guest": []}]  # either

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, str]]:
        csrf = f"Unsafe methods need the cookie {settings.CSRF_COOKIE_NAME}'s value in the header X-CSRFToken."
        return [
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": f"Login session. {csrf}",
            },
            {
                "type": "apiKey",
                "in": "cookie",
                "name": guest_cookie_name(),
                "description": f"Guest identity, given to each visitor of the page. {csrf}",
            },
        ]
