"""Requests: the turns in which people's requests are worked on in threads.

A request to the REST API has a thread and a database connection of its own while it lasts. A minute's worth of them at
once would take every connection of the pool and most of the processor; in turns, they wait for each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sessions_app.core.errors import HoldfastError
from sessions_app.fairness.payer import Payer
from sessions_app.fairness.turns import Turns

OF_ONE_PERSON, OF_ONE_ADDRESS = 2, 3  # worked on at once: a long one, such as a deletion, and a short one beside it
LINE = 64  # requests of one person that may wait: what a page has at most, several times


class Requests:
    """The turns of one process."""

    def __init__(self) -> None:
        self._people = Turns(OF_ONE_PERSON)
        self._addresses = Turns(OF_ONE_ADDRESS)

    @asynccontextmanager
    async def turn(self, payer: Payer) -> AsyncIterator[None]:
        """Wait until it is this payer's turn. Raises rate_limited if too many of theirs wait already."""
        if payer.is_backend:
            yield
            return
        person = payer.owner or payer.address
        if self._people.count(person) >= LINE:
            raise HoldfastError("rate_limited", f"at most {LINE} requests at once", retry_after_s=1.0)
        async with self._people.turn(person), self._addresses.turn(payer.address):
            yield
