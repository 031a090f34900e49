"""Answers: the turns in which people are answered from the database, and the bytes that they pay for it.

A frame of fifty bytes may ask for half a megabyte, so an attach, a poll and a page of the REST API are charged by what
they are answered. A person has one answer read at a time, and those of an address take up two threads: however many
sockets ask, the other threads that read are there for others. Its size is known only afterwards, so an answer may put
its payer into debt; then the next one waits for WAIT_S at most, and is refused with the time after which to ask again.
A client that resumes costs little, so it never gets there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.database.threads import Lanes
from sessions_app.fairness import rates
from sessions_app.fairness.payer import Payer
from sessions_app.fairness.rates import By
from sessions_app.fairness.turns import Turns

LEAST_BYTES = 4096  # what an answer costs at least: a millisecond of queries, however little they find
WAIT_S = 1.0  # for a payer in debt; a longer one would keep the client's other frames waiting behind it
OF_ONE_PERSON = 1  # answer read at a time
OF_ONE_ADDRESS, THREADS_OF_ONE_ADDRESS = 16, 2  # answers that are read or next; there are four threads in all


T = TypeVar("T")


class Bill:
    """One answer: what reads it, and its bytes. `charge` sets them once they are known."""

    __slots__ = ("bytes", "_run")

    def __init__(self, run: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]) -> None:
        self.bytes = 0
        self._run = run

    async def read(self, function: Callable[[], T]) -> T:
        """Call a function that reads the database, in one of the threads that its payer may take up."""
        found: T = await self._run(function)
        return found

    def charge(self, size: int) -> None:
        self.bytes = size


class Answers:
    """The turns of one process."""

    def __init__(self) -> None:
        self._people = Turns(OF_ONE_PERSON)
        self._addresses = Turns(OF_ONE_ADDRESS)
        self._lanes = Lanes(THREADS_OF_ONE_ADDRESS)

    @asynccontextmanager
    async def turn(self, payer: Payer, *, is_patient: bool = False) -> AsyncIterator[Bill]:
        """Wait until it is this payer's turn, and charge them in the end. Raises read_limit.

        `is_patient`: wait for as long as it takes, for what the client has not asked for and can't ask for again.
        """
        if payer.is_backend:
            yield Bill(threads.run)
            return
        bill = Bill(partial(self._lanes.run, payer.address))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(None if is_patient else WAIT_S):
                    await held.enter_async_context(self._people.turn(payer.owner))
                    # Before the address's turn: a person in debt keeps no neighbour waiting.
                    await _out_of_debt(payer, "owner")
                    await held.enter_async_context(self._addresses.turn(payer.address))
                    await _out_of_debt(payer, "address")
            except TimeoutError:
                wait_s = rates.wait("answer", payer)
                raise HoldfastError("read_limit", retry_after_s=max(wait_s, WAIT_S)) from None
            try:
                yield bill
            finally:
                rates.spend("answer", payer, max(bill.bytes, LEAST_BYTES))


async def _out_of_debt(payer: Payer, by: By) -> None:
    while wait_s := rates.wait("answer", payer, [by]):
        await asyncio.sleep(wait_s)
