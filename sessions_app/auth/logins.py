"""Logins: the users that browsers' login cookies name, any number of them with two queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare


class Login(NamedTuple):
    """A user's login session. `auth_hash` changes with the user's password."""

    user: AbstractBaseUser
    auth_hash: str


class _Claim(NamedTuple):
    """The user that a login session is of, by the path of the backend that knows the user."""

    backend: str
    pk: Any


def logins_of(session_keys: Iterable[str]) -> dict[str, Login]:
    """Return the logins of active users among these session keys, by key. Reads the database; call it in a thread."""
    # Only a well-formed key may reach the database: PostgreSQL raises for a NUL character.
    keys = {key for key in session_keys if key.isascii() and key.isalnum()}
    stored = _stored(keys) if keys else {}
    claims = {key: claim for key, data in stored.items() if (claim := _claim(data)) is not None}
    users = _users(set(claims.values()))
    logins = {key: Login(users[claim], stored[key].get(HASH_SESSION_KEY, "")) for key, claim in claims.items()
              if claim in users}  # fmt: skip
    return {key: login for key, login in logins.items() if hash_fits(*login)}


def hash_fits(user: AbstractBaseUser, auth_hash: str) -> bool:
    """Return True if the password hasn't changed since the login. Allows for a rotated secret key."""
    return any(constant_time_compare(auth_hash, fitting) for fitting in _auth_hashes(user))


def _auth_hashes(user: AbstractBaseUser) -> Iterator[str]:
    yield user.get_session_auth_hash()
    yield from user.get_session_auth_fallback_hash()


def _stored(keys: set[str]) -> Mapping[str, Any]:
    """Return what the site's session engine has stored for these keys."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if not (issubclass(store, SessionStore) and store.load is SessionStore.load):
        return {key: store(key) for key in keys}  # another engine than Django's database: one by one
    live = store.get_model_class().objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    return {key: store(key).decode(data) for key, data in live.values_list("session_key", "session_data")}


def _claim(data: Any) -> _Claim | None:
    backend, pk = data.get(BACKEND_SESSION_KEY), data.get(SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    try:
        return _Claim(backend, get_user_model()._meta.pk.to_python(pk))
    except ValidationError:
        return None


def _users(claims: set[_Claim]) -> dict[_Claim, AbstractBaseUser]:
    """Return the users who may still sign in."""
    users: dict[_Claim, AbstractBaseUser] = {}
    for path in {claim.backend for claim in claims}:
        backend, pks = load_backend(path), {claim.pk for claim in claims if claim.backend == path}
        if isinstance(backend, ModelBackend) and type(backend).get_user is ModelBackend.get_user:
            found = get_user_model()._default_manager.in_bulk(pks)
            active = {pk: user for pk, user in found.items() if backend.user_can_authenticate(user)}
        else:  # a backend with users of its own: one by one
            active = {pk: user for pk in pks if (user := backend.get_user(pk)) is not None}
        users |= {_Claim(path, pk): user for pk, user in active.items()}
    return users
