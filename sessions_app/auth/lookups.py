"""Identity lookups for sockets and uploads: those of one turn of the event loop share a thread and their queries."""

from __future__ import annotations

from collections.abc import Mapping

from sessions_app.auth import identity, provider_tokens
from sessions_app.auth.identity import Identity
from sessions_app.database.threads import Batch

# By their names in the module: tests replace them.
_visitors = Batch[Mapping[str, str], Identity | None](lambda visitors: [*identity.identify_all(visitors)])
_bearers = Batch[str, Identity](lambda tokens: identity.identify_by_tokens(tokens))


async def identify(cookies: Mapping[str, str]) -> Identity | None:
    """Return the logged-in user, else the guest, else None. Uses a thread only if it must. Raises DatabaseError."""
    if identity.needs_database(cookies):
        return await _visitors.answer(cookies)
    return identity.identify(cookies)


async def identify_by_token(token: str) -> Identity:
    """Return a token's identity. Raises bad_token, token_expired, keys_unavailable and DatabaseError."""
    await provider_tokens.await_key(token)
    return await _bearers.answer(token)
