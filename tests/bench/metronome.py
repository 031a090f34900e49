"""The writers' timer: tokens at a steady rate, for every writer and target."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.bench import order
from tests.bench.order import Order

SLOT_S = 0.005  # how exactly tokens are timed


class Metronome:
    """Wakes all writers whose next token is due, from one timer, as a model's stream would: one wake per token.

    A timer for each would cost the server more than what is measured.
    """

    def __init__(self) -> None:
        self._slots: dict[int, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def at(self, moment: float) -> asyncio.Future[None]:
        """Return what is done at a moment, in monotonic seconds, or up to SLOT_S later."""
        slot = int(moment / SLOT_S) + 1
        if slot not in self._slots:
            self._slots[slot] = asyncio.get_running_loop().create_future()
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._beat())
        return self._slots[slot]

    async def _beat(self) -> None:
        while self._slots:
            slot = min(self._slots)
            await asyncio.sleep(max(0.0, slot * SLOT_S - time.monotonic()))
            self._slots.pop(slot).set_result(None)


metronome = Metronome()


async def speak(asked: Order, write: Callable[[str], Awaitable[None]]) -> None:
    """Write the tokens of an order, each when it is due.

    Those that are overdue follow at once, as a model's do: they wait in the buffer of its connection.
    """
    start = await order.started(asked)
    for number in range(asked.tokens):
        due = start + number / asked.rate
        if due > time.monotonic():
            await metronome.at(due)
        await write(order.token(asked.padding))
