"""Payer: the person and the address that a request, a frame or an answer is counted for."""

from __future__ import annotations

from typing import NamedTuple

from sessions_app.auth.identity import Identity


class Payer(NamedTuple):
    """A person (empty before they are identified), and the address that they come from."""

    owner: str
    address: str  # as `addresses.client_key` returns it
    is_backend: bool = False  # a token of a back end, which acts for many people from one address


def payer_of(identity: Identity | None, address: str) -> Payer:
    """Return the payer for an identity at an address."""
    if identity is None:
        return Payer("", address)
    grant = identity.grant
    return Payer(identity.owner, address, grant is not None and grant.is_backend)
