"""Tokens, instead of cookies: JWTs, signed with the site's keys or by its identity provider.

A back end that holds a key can sign its own (docs/publishing.md shows how). PROTOCOL.md §13 specifies the claims.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime

import jwt
from django.db.models import QuerySet

from sessions_app import conf, models
from sessions_app.auth import provider_tokens
from sessions_app.auth.verified_tokens import VerifiedTokens
from sessions_app.core import tokens
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import Grant
from sessions_app.core.wire_types import JsonObject

ALGORITHM = "HS256"
AUDIENCE = "holdfast"
CLAIMS = ["aud", "exp", "iat", "jti", "scope", "sessions", "sub"]
KEY_BYTES = 32  # minimum: the length of HS256's hash
TOKEN_BYTES = 4096  # maximum: fits 64 sessions, and every server accepts a header of this size
LEEWAY_S = 5  # allowed clock difference between two machines

_known = VerifiedTokens()
_jwt = jwt.PyJWT({"require": CLAIMS, "strict_aud": True, "enforce_minimum_key_length": True})


def issue(
    *, sub: str, scope: str, sessions: list[str], life_s: int, by: str = "", agents: Sequence[str] = ()
) -> tuple[str, Grant]:
    """Sign a token with the site's first key; return it and its grant. The site must have a key.

    `by` is the identity that has it issued: all that is sent with the token records it.
    """
    now = int(time.time())
    claims: JsonObject = {
        "aud": AUDIENCE, "sub": sub, "scope": scope, "sessions": sessions,
        "iat": now, "exp": now + life_s, "jti": models.new_id(),
    }  # fmt: skip
    if by:
        claims["by"] = by
    if agents:
        claims["agents"] = list(agents)
    kid, key = next(iter(conf.settings.token_keys.items()))
    _, grant = tokens.read_claims(claims, most_s=conf.settings.token_max_s)
    return _jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid}), grant


def read(token: str) -> tuple[str, Grant]:
    """Return a token's subject and grant. Raises bad_token and token_expired.

    Doesn't read the database; `revoked` checks for revocation.
    """
    if not conf.settings.token_keys and not provider_tokens.is_enabled():
        raise HoldfastError("bad_token", "tokens are disabled on this site, it has no HOLDFAST_TOKEN_KEYS")
    if len(token) > TOKEN_BYTES:
        raise HoldfastError("bad_token", f"more than {TOKEN_BYTES} bytes")
    if (known := _known.get(token)) is not None and not provider_tokens.has_lost_key(known[1]):
        return _unexpired(known)
    try:
        found = _read_by_signer(token)
    except jwt.ExpiredSignatureError:
        raise HoldfastError("token_expired") from None
    except (jwt.PyJWTError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise HoldfastError("bad_token", str(error)) from None
    _known.keep(token, found)
    return found


def _unexpired(known: tuple[str, Grant]) -> tuple[str, Grant]:
    if has_expired(known[1]):
        raise HoldfastError("token_expired")
    return known


def _read_by_signer(token: str) -> tuple[str, Grant]:
    if provider_tokens.is_one(token):
        return provider_tokens.read(token, leeway_s=LEEWAY_S)
    return tokens.read_claims(_verified(token), most_s=conf.settings.token_max_s)


def _verified(token: str) -> JsonObject:
    key = conf.settings.token_keys.get(jwt.get_unverified_header(token).get("kid", ""))
    if key is None:
        raise jwt.InvalidKeyError("this site has no key with its `kid`")
    return _jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, leeway=LEEWAY_S)


# Expiry and revocation


def has_expired(grant: Grant) -> bool:
    return grant.expires_at + LEEWAY_S <= time.time()


def revoke(jti: str) -> None:
    """Revoke the token with this id. It stops working on all processes within RECHECK_MS."""
    models.RevokedToken.objects.get_or_create(jti=jti)


def revoked(held: Collection[tuple[str, Grant]]) -> set[tuple[str, Grant]]:
    """Return the revoked ones of these tokens, each given as (subject, grant)."""
    by_id = models.RevokedToken.objects.filter(jti__in={grant.jti for _, grant in held})
    ids = set(by_id.values_list("jti", flat=True))
    by_subject = models.RevokedSubject.objects.filter(sub__in={sub for sub, _ in held})
    before: dict[str, float] = {}
    for sub, moment in by_subject.values_list("sub", "issued_before"):
        before[sub] = max(before.get(sub, 0.0), moment.timestamp())
    return {(sub, grant) for sub, grant in held if grant.jti in ids or grant.issued_at < before.get(sub, 0.0)}


def outdated(now: datetime) -> list[QuerySet[models.RevokedToken] | QuerySet[models.RevokedSubject]]:
    """Return querysets of revocations that are obsolete because the tokens have expired."""
    return [kind.objects.filter(expires_at__lt=now) for kind in (models.RevokedToken, models.RevokedSubject)]
