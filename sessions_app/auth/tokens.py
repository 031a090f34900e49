"""Tokens: what agents and back ends elsewhere show instead of a cookie. JWTs, signed with the site's keys.

Any back end that has a key may sign one by itself (README.md has the recipe); what it must say, PROTOCOL.md §13 says.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime

import jwt
from django.db.models import QuerySet

from sessions_app import conf, models
from sessions_app.core import tokens
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import Grant
from sessions_app.core.wire_types import JsonObject

ALGORITHM = "HS256"
AUDIENCE = "holdfast"
CLAIMS = ["aud", "exp", "iat", "jti", "scope", "sessions", "sub"]
KEY_BYTES = 32  # at least: as many as HS256's hash has
TOKEN_BYTES = 4096  # at most: 64 sessions fit, and every server takes a header of this size
LEEWAY_S = 5  # by which the clocks of two machines may differ

_jwt = jwt.PyJWT({"require": CLAIMS, "strict_aud": True, "enforce_minimum_key_length": True})


def issue(*, sub: str, scope: str, sessions: list[str], life_s: int) -> tuple[str, Grant]:
    """Sign a token with the first key, of which the site must have one; return it, and what it allows."""
    now = int(time.time())
    claims = {
        "aud": AUDIENCE, "sub": sub, "scope": scope, "sessions": sessions,
        "iat": now, "exp": now + life_s, "jti": models.new_id(),
    }  # fmt: skip
    kid, key = next(iter(conf.settings.token_keys.items()))
    _, grant = tokens.read_claims(claims, most_s=conf.settings.token_max_s)
    return _jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid}), grant


def read(token: str) -> tuple[str, Grant]:
    """Return whom a token acts as, and what it allows. Raises bad_token and token_expired.

    Asks no database: whether it was revoked, `revoked` says.
    """
    if not conf.settings.token_keys:
        raise HoldfastError("bad_token", "Tokens are off on this site: it has no HOLDFAST_TOKEN_KEYS.")
    if len(token) > TOKEN_BYTES:
        raise HoldfastError("bad_token", f"It has more than {TOKEN_BYTES} bytes.")
    try:
        claims = _verified(token)
    except jwt.ExpiredSignatureError:
        raise HoldfastError("token_expired") from None
    except (jwt.PyJWTError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise HoldfastError("bad_token", str(error)) from None
    return tokens.read_claims(claims, most_s=conf.settings.token_max_s)


def _verified(token: str) -> JsonObject:
    key = conf.settings.token_keys.get(jwt.get_unverified_header(token).get("kid", ""))
    if key is None:
        raise jwt.InvalidKeyError("This site has no key of its `kid`.")
    return _jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, leeway=LEEWAY_S)


# Their end


def has_expired(grant: Grant) -> bool:
    return grant.expires_at + LEEWAY_S <= time.time()


def revoke(jti: str) -> None:
    """Have the token with this id end everywhere within RECHECK_MS."""
    models.RevokedToken.objects.get_or_create(jti=jti)


def revoked(held: Collection[tuple[str, Grant]]) -> set[tuple[str, Grant]]:
    """Return those of the tokens, each given as whom it acts as and what it allows, that were revoked."""
    alone = models.RevokedToken.objects.filter(jti__in={grant.jti for _, grant in held})
    ids = set(alone.values_list("jti", flat=True))
    together = models.RevokedSubject.objects.filter(sub__in={sub for sub, _ in held})
    before: dict[str, float] = {}
    for sub, moment in together.values_list("sub", "issued_before"):
        before[sub] = max(before.get(sub, 0.0), moment.timestamp())
    return {(sub, grant) for sub, grant in held if grant.jti in ids or grant.issued_at < before.get(sub, 0.0)}


def outdated(now: datetime) -> list[QuerySet[models.RevokedToken] | QuerySet[models.RevokedSubject]]:
    """The revocations of tokens that have expired."""
    return [kind.objects.filter(expires_at__lt=now) for kind in (models.RevokedToken, models.RevokedSubject)]
