"""The benchmark's agent: writes tokens at a steady rate, each with its time of writing."""

import asyncio

from agents_app.registry import agent
from agents_app.turn import Turn
from tests.bench import order
from tests.bench.metronome import speak


@agent("bench")
async def bench(turn: Turn) -> None:
    asked = order.decode(turn.prompt)
    await speak(asked, turn.text)
    if asked.stays_open:
        await asyncio.Event().wait()
