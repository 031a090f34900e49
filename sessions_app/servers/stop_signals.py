"""Stop signals of a command that runs an event loop."""

from __future__ import annotations

import asyncio
import signal

STOPS = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> asyncio.Event:
    """Return an event that the first of the STOPS sets; the second ends the process."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def take() -> None:
        for number in STOPS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        told.set()

    for number in STOPS:
        loop.add_signal_handler(number, take)
    return told
