"""Middleware: identifies Holdfast's requests and sets the guest cookie; reads renamed cookies by their old names."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, IntegrityError, transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import async_only_middleware

from sessions_app import conf
from sessions_app.auth import provider_tokens
from sessions_app.auth.addresses import is_ours
from sessions_app.auth.cookies import has_old_name, old_name, value
from sessions_app.auth.identity import (
    GUEST_COOKIE_S,
    Identity,
    guest_cookie,
    guest_cookie_name,
    guest_in,
    identify_async,
    identify_by_token,
    token_in,
    user_identity,
)
from sessions_app.auth.sign_ins import TooManySignIns
from sessions_app.core.errors import HoldfastError
from sessions_app.database import locking
from sessions_app.database.connection_failures import describe
from sessions_app.models import Session

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware
def identity_middleware(get_response: GetResponse) -> GetResponse:
    """Identify each request for `get_identity`, and give new visitors of a Holdfast page a guest identity.

    Requests for the project's other pages pass through unchanged.
    """

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        if not is_ours(request.path):
            return await get_response(request)
        token = token_in(request.headers.get("Authorization", ""))
        request.identity = await _identity(request.COOKIES, token)  # type: ignore[attr-defined]
        response = await get_response(request)
        if token is None and not isinstance(request.identity, HoldfastError):  # type: ignore[attr-defined]
            _update_guest_cookie(response, request.identity, request.COOKIES)  # type: ignore[attr-defined]
        return response

    return middleware


async def _identity(cookies: Mapping[str, str], token: str | None) -> Identity | HoldfastError | None:
    try:
        if token is None:
            return await identify_async(cookies)
        await provider_tokens.await_key(token)
        return await sync_to_async(identify_by_token)(token)
    except HoldfastError as problem:
        return problem
    except DatabaseError as error:
        logger.error("can't identify the request: %s", describe(error))
        return HoldfastError("storage_unavailable")


def get_identity(request: HttpRequest) -> Identity | None:
    """Return the request's identity. Raises bad_token, token_expired and storage_unavailable."""
    identity: Identity | HoldfastError | None = request.identity  # type: ignore[attr-defined]
    if isinstance(identity, HoldfastError):
        raise identity
    return identity


def _update_guest_cookie(response: HttpResponseBase, identity: Identity | None, cookies: Mapping[str, str]) -> None:
    name = guest_cookie_name()
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if identity is not None and identity.user_id is not None:
        for each in {name, old_name(name)} & cookies.keys():
            response.delete_cookie(each, samesite="Lax")
    elif conf.settings.guests and (is_page or (identity is not None and has_old_name(cookies, name))):
        guest = identity.owner.removeprefix("guest:") if identity is not None else uuid.uuid4().hex
        _set_guest_cookie(response, guest)  # at every visit, so that its age counts from the last one


def _set_guest_cookie(response: HttpResponseBase, guest: str) -> None:
    response.set_cookie(
        guest_cookie_name(),
        guest_cookie(guest),
        max_age=GUEST_COOKIE_S,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


@receiver(user_logged_in)
def give_guests_sessions_to_user(request: HttpRequest | None, user: AbstractBaseUser, **_: object) -> None:
    """Transfer a guest's sessions to the user who logs in.

    `request` is None for logins without one, as in some token and single sign-on packages.
    """
    if request is None:
        return
    guest = guest_in(request.COOKIES)
    if guest is not None:
        try:
            _give_sessions(guest.owner, f"user:{user.pk}")
        except IntegrityError:  # in another tab the user has just begun a session with an external id of the guest's
            _give_sessions(guest.owner, f"user:{user.pk}")
    if hasattr(request, "identity"):
        request.identity = user_identity(user, request.session)


def _give_sessions(old: str, new: str) -> None:
    with transaction.atomic():
        sessions = Session.objects.present().filter(owner=old)
        locking.sessions(sessions.values_list("pk", flat=True))
        sessions.give_to(new)


# Signing in


@async_only_middleware
def sign_in_middleware(get_response: GetResponse) -> GetResponse:
    """Answer 429 to sign-ins that have to wait, in the project's login, the admin's or any other."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        return await get_response(request)

    def process_exception(request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if not isinstance(error, TooManySignIns):
            return None
        response = render(request, "holdfast/too_many_sign_ins.html", {"wait_s": error.wait_s}, status=429)
        response["Retry-After"] = str(error.wait_s)
        return response

    middleware.process_exception = process_exception  # type: ignore[attr-defined]
    return middleware


# Renamed cookies


@async_only_middleware
def old_cookie_names_middleware(get_response: GetResponse) -> GetResponse:
    """Read the login and CSRF cookies by their old names after an upgrade, and set them by the new ones.

    For a site whose SESSION_COOKIE_NAME and CSRF_COOKIE_NAME have got the prefix `__Host-`. It stands before Django's
    own middleware for sessions and CSRF. Pages that were open during the upgrade still read the old CSRF cookie, so the
    old cookies stay.
    """

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        renamed = await _renamed(request.COOKIES)
        request.COOKIES.update(renamed)
        response = await get_response(request)
        for name in renamed.keys() - response.cookies.keys():  # others are changed or deleted by this response
            _set_renamed_cookie(response, name, renamed[name])
        return response

    return middleware


async def _renamed(cookies: Mapping[str, str]) -> dict[str, str]:
    names = [each for each in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME) if has_old_name(cookies, each)]
    if not names:
        return {}
    try:
        values = await sync_to_async(lambda: {name: value(cookies, name) for name in names})()
    except DatabaseError as error:
        logger.error("can't read cookies by their old names: %s", error)
        return {}
    return {name: text for name, text in values.items() if text is not None}


def _set_renamed_cookie(response: HttpResponseBase, name: str, text: str) -> None:
    is_login = name == settings.SESSION_COOKIE_NAME
    same_site: Any = settings.SESSION_COOKIE_SAMESITE if is_login else settings.CSRF_COOKIE_SAMESITE
    response.set_cookie(
        name,
        text,
        max_age=settings.SESSION_COOKIE_AGE if is_login else settings.CSRF_COOKIE_AGE,
        httponly=is_login,
        samesite=same_site,
        secure=True,
    )
