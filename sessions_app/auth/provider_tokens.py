"""Tokens of the site's identity provider: JWTs that it has signed, beside those signed with the site's own keys."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress

import jwt

from sessions_app import conf
from sessions_app.auth import jwks_request, provider_keys
from sessions_app.core import provider_claims
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import Grant

CLAIMS = ["aud", "exp", "iat", "iss", "sub"]
ALGORITHMS = frozenset(provider_keys.ALGORITHMS.values())
TYPES = ("jwt", "at+jwt", "application/at+jwt")  # not others that a provider signs, such as logout+jwt
WAIT_S = jwks_request.TIMEOUT_S + 1

_jwt = jwt.PyJWT({"require": CLAIMS, "enforce_minimum_key_length": True})


def is_enabled() -> bool:
    return provider_keys.of_site() is not None


def is_one(token: str) -> bool:
    """Return True for a token that, by its header, the provider has signed. Raises jwt.PyJWTError."""
    return is_enabled() and jwt.get_unverified_header(token).get("alg") in ALGORITHMS


async def await_key(token: str) -> None:
    """Wait until the provider's keys have been asked for a token's key, if it is unknown and they may be asked."""
    keys = provider_keys.of_site()
    if keys is None:
        return
    try:
        is_known = not is_one(token) or _kid(token) in keys.current()
    except (jwt.PyJWTError, TypeError, ValueError, RecursionError):  # `read` refuses it
        return
    if not is_known and (request := keys.refresh()) is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(request)), WAIT_S)


def read(token: str, *, leeway_s: int) -> tuple[str, Grant]:
    """Return a token's subject and grant. Raises bad_token, keys_unavailable and jwt.PyJWTError."""
    keys = provider_keys.of_site()
    assert keys is not None, "see is_one"
    known = keys.current()
    if not known:
        raise HoldfastError("keys_unavailable")
    key = known.get(_kid(token))
    if key is None:
        raise jwt.InvalidKeyError("the site's identity provider has no key with its `kid`")
    limits = conf.settings
    claims = _jwt.decode(
        token,
        key.key,
        algorithms=[key.algorithm],
        audience=limits.jwks_audience,
        issuer=limits.jwks_issuer,
        leeway=leeway_s,
    )
    token_id = hashlib.sha256(token.encode()).hexdigest()
    return provider_claims.read_claims(claims, most_s=limits.token_max_s, key=key.fingerprint, token_id=token_id)


def has_lost_key(grant: Grant) -> bool:
    """Return True if a provider's key verified the token, and the provider has it no longer."""
    if not grant.key:
        return False
    keys = provider_keys.of_site()
    return keys is None or all(key.fingerprint != grant.key for key in keys.current().values())


def _kid(token: str) -> str:
    header = jwt.get_unverified_header(token)
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        raise jwt.InvalidTokenError("its `typ` isn't an access token's")
    return str(header.get("kid", ""))
