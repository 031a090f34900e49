"""Claims of an identity provider's tokens, as an identity and its rights (PROTOCOL.md §13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import ALL, OWNERS_SCOPES, Grant, id_problem, subject_problem, times_problem

KIND = "oidc"  # of every owner: no provider's `sub` is one of the site's users or agents
SCOPE_PREFIX = "holdfast:"


def read_claims(claims: Mapping[str, Any], *, most_s: int, key: str, token_id: str) -> tuple[str, Grant]:
    """Return the subject and the grant of a token with these claims. Raises bad_token.

    `key` is the fingerprint of the provider's key that signed it, `token_id` its id if it has no usable `jti`.
    """
    owner, jti = f"{KIND}:{claims['sub']}", claims.get("jti")
    if subject_problem(owner):
        raise HoldfastError("bad_token", f"`sub`, as {KIND}:<sub>, has at most 80 visible ASCII characters")
    if problem := times_problem(claims["iat"], claims["exp"], most_s):
        raise HoldfastError("bad_token", f"{problem} HOLDFAST_TOKEN_MAX_S allows more")
    id_ = token_id if id_problem(jti) else str(jti)
    return owner, Grant(id_, claims["iat"], claims["exp"], _scopes(claims), (ALL,), key=key)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return what the token allows: `holdfast:…` scopes if it names any, otherwise what an owner may."""
    given = claims.get("scope", claims.get("scp", ""))
    names = given.split() if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise HoldfastError("bad_token", "`scope` is a string, or `scp` a list of strings")
    ours = frozenset(name.removeprefix(SCOPE_PREFIX) for name in names if name.startswith(SCOPE_PREFIX))
    if unknown := ours - OWNERS_SCOPES:
        allowed = ", ".join(sorted(SCOPE_PREFIX + name for name in OWNERS_SCOPES))
        raise HoldfastError(
            "bad_token",
            f"{SCOPE_PREFIX}{min(unknown)} is none of {allowed}; only the site's own keys allow to publish or work",
        )
    return ours or OWNERS_SCOPES
