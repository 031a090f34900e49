"""Identity: the owner that a request or socket acts as, from a token or from a browser's cookies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session as Login
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils import timezone

from sessions_app import conf
from sessions_app.auth import provider_tokens, tokens
from sessions_app.auth.cookies import has_old_name, name_of, reads_database, value
from sessions_app.auth.logins import hash_fits, logins_of
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import OWNERS_SCOPES, Grant
from sessions_app.models.subjects import NO_USER, user_pk

GUEST_COOKIE = "holdfast_guest"
GUEST_COOKIE_S = 365 * 24 * 3600  # since the last page visit
_signer = signing.TimestampSigner(salt="holdfast.guest")


class Identity(NamedTuple):
    """Owner of sessions: a user, a guest or a token's subject. The fields after `owner` are empty for a guest."""

    owner: str  # user:<primary key>, guest:<32 hex digits>, or another token subject
    user_id: int | None = None
    session_key: str | None = None
    auth_hash: str = ""
    grant: Grant | None = None  # the token's permissions; None with cookies

    @property
    def may_end(self) -> bool:
        """Return True unless it is a guest's, which stays valid."""
        return self.user_id is not None or self.grant is not None

    def require(self, scope: str) -> None:
        """Raise forbidden_scope unless the identity has the scope."""
        if scope not in (OWNERS_SCOPES if self.grant is None else self.grant.scopes):
            raise HoldfastError("forbidden_scope", scope)

    def require_one_of(self, scopes: Collection[str]) -> None:
        """Raise forbidden_scope unless the identity has one of the scopes."""
        if (OWNERS_SCOPES if self.grant is None else self.grant.scopes).isdisjoint(scopes):
            raise HoldfastError("forbidden_scope", " or ".join(sorted(scopes)))

    def check(self, scope: str, session: str) -> None:
        """Raise forbidden_scope without the scope, not_found for a session that the token doesn't cover."""
        self.require(scope)
        if self.grant is not None and not self.grant.covers(session):
            raise HoldfastError("not_found")


def identify(cookies: Mapping[str, str]) -> Identity | None:
    """Return the logged-in user, else the guest, else None. Call it in a thread if it `needs_database`."""
    return identify_all([cookies])[0]


def identify_all(visitors: Sequence[Mapping[str, str]]) -> list[Identity | None]:
    """`identify` for the cookies of many; the number of queries doesn't depend on their number."""
    keys = [value(cookies, settings.SESSION_COOKIE_NAME) or "" for cookies in visitors]
    logins = logins_of(keys)
    users = {key: Identity(f"user:{user.pk}", user.pk, key, auth_hash) for key, (user, auth_hash) in logins.items()}
    guests = conf.settings.guests
    return [
        users.get(key) or (guest_in(cookies) if guests else None) for key, cookies in zip(keys, visitors, strict=True)
    ]


def needs_database(cookies: Mapping[str, str]) -> bool:
    """Return True if `identify` reads the database for these cookies. For most guests it doesn't."""
    login = settings.SESSION_COOKIE_NAME
    return login in cookies or has_old_name(cookies, login) or reads_database(cookies, guest_cookie_name())


async def identify_async(cookies: Mapping[str, str]) -> Identity | None:
    """`identify` for async code; uses a thread only if it must."""
    if needs_database(cookies):
        return await sync_to_async(identify)(cookies)
    return identify(cookies)


def signed_out() -> HoldfastError:
    """Return the refusal of a client without an identity: how to get one on this site."""
    if conf.settings.guests:
        return HoldfastError("signed_out", "open the page first; it gives visitors an identity")
    return HoldfastError("signed_out", "this site has no guests; sign in, or send a token")


def identify_by_token(token: str) -> Identity:
    """Return a token's identity. Raises bad_token and token_expired. Reads the database; call it in a thread."""
    [found] = identify_by_tokens([token])
    if isinstance(found, HoldfastError):
        raise found
    return found


def identify_by_tokens(given: Sequence[str]) -> list[Identity | HoldfastError]:
    """`identify_by_token` for many, with the refusals; the number of queries doesn't depend on their number."""
    read = [_identity_in(token) for token in given]
    valid = still_valid(identity for identity in read if isinstance(identity, Identity))
    return [one if isinstance(one, HoldfastError) or one in valid else HoldfastError("token_expired") for one in read]


def _identity_in(token: str) -> Identity | HoldfastError:
    try:
        owner, grant = tokens.read(token)
        return Identity(owner, _user_id(owner), grant=grant)
    except HoldfastError as refusal:
        return refusal


def token_in(authorization: str) -> str | None:
    """Return the token of an `Authorization` header, or None if it has another scheme."""
    scheme, _, rest = authorization.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def still_valid(identities: Iterable[Identity]) -> set[Identity]:
    """Return the identities that are still valid: active users with a live login or token.

    Guests always are. The number of queries doesn't depend on the number of identities.
    """
    given = set(identities)
    by_token = {identity for identity in given if identity.grant is not None}
    users = {identity for identity in given if identity.user_id is not None}
    pks = {identity.user_id for identity in users}
    accounts = get_user_model().objects.filter(is_active=True).in_bulk(pks) if users else {}
    gone = {identity for identity in users if identity.user_id not in accounts}
    return given - gone - _ended_logins(users - by_token - gone, accounts) - _ended_tokens(by_token - gone)


def _ended_logins(users: set[Identity], accounts: Mapping[object, AbstractBaseUser]) -> set[Identity]:
    if not users:
        return users
    keys = [identity.session_key for identity in users]
    logins = Login.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    live = set(logins.values_list("session_key", flat=True))
    return {
        identity
        for identity in users
        if identity.session_key not in live or not hash_fits(accounts[identity.user_id], identity.auth_hash)
    }


def _ended_tokens(bearers: set[Identity]) -> set[Identity]:
    held = {(bearer.owner, bearer.grant): bearer for bearer in bearers if bearer.grant is not None}
    if not held:
        return set()
    revoked = tokens.revoked(held.keys())
    return {
        bearer
        for key, bearer in held.items()
        if key in revoked or tokens.has_expired(key[1]) or provider_tokens.has_lost_key(key[1])
    }


def user_identity(user: AbstractBaseUser, login: SessionBase) -> Identity:
    """Return the identity of a user with this login session."""
    return Identity(f"user:{user.pk}", user.pk, login.session_key, login.get(HASH_SESSION_KEY, ""))


def _user_id(owner: str) -> Any:
    """Return the primary key in a token's `sub`, or None if it isn't a user. Raises bad_token."""
    try:
        return user_pk(owner)
    except ValidationError:
        raise HoldfastError("bad_token", NO_USER) from None


# Cookies


def guest_cookie_name() -> str:
    return name_of(GUEST_COOKIE)


def guest_in(cookies: Mapping[str, str]) -> Identity | None:
    """Return the guest that cookies name, or None."""
    cookie = value(cookies, guest_cookie_name())
    if not cookie:
        return None
    try:
        return Identity(f"guest:{_signer.unsign(cookie, max_age=GUEST_COOKIE_S)}")
    except signing.BadSignature:
        return None


def guest_cookie(guest: str) -> str:
    """Return the signed value of a guest's cookie."""
    return _signer.sign(guest)
