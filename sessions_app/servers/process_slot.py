"""A place for one server process under `manage.py serve`, which always has one: restarts and replacements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sessions_app.servers.server_process import ServerProcess

logger = logging.getLogger(__name__)

STEADY_S = 10.0  # a process that has served for so long is started again at once
FIRST_S, LONGEST_S = 0.5, 30.0  # pause before the next start


class Backoff:
    """The pause before a process is started again: doubled each time that one has ended too soon."""

    def __init__(self) -> None:
        self._pause = 0.0

    def after(self, served_s: float) -> float:
        """Return the pause after a process that has served for this time."""
        self._pause = 0.0 if served_s >= STEADY_S else min(LONGEST_S, 2 * self._pause or FIRST_S)
        return self._pause


class Slot:
    """One of the places, by number. `keep` runs for as long as the server does."""

    def __init__(
        self, number: int, start: Callable[[int], Awaitable[ServerProcess]], on_failed_start: Callable[[], None]
    ) -> None:
        self.number = number
        self.process: ServerProcess | None = None
        self.starts = 0
        self._start_process = start
        self._on_failed_start = on_failed_start
        self._backoff = Backoff()

    async def keep(self) -> None:
        """Have a process here; whenever it ends, start another."""
        while True:
            process = self.process
            if process is None or process.ended.is_set():
                process = self.process = await self._start()
            if process is not None:
                await process.ended.wait()
            if process is self.process:  # otherwise `replace` has put another in its place
                await self._pause_after(process)

    async def replace(self) -> bool:
        """Start a process, and stop the one that was here when the new one serves. Return False if it doesn't."""
        new = await self._start()
        if new is None:
            return False
        old = None
        try:
            if await new.comes_up():
                old, self.process = self.process, new
        finally:
            if self.process is not new:
                new.kill("replaces none")
        if old is not None:
            await old.retire()
        return self.process is new

    async def _start(self) -> ServerProcess | None:
        self.starts += 1
        try:
            return await self._start_process(self.number)
        except OSError as problem:  # no memory, or too many processes
            logger.error("server process %d can't be started: %s", self.number, problem.strerror)
            return None

    async def _pause_after(self, process: ServerProcess | None) -> None:
        served_s = process.served_s if process else 0.0
        pause_s = self._backoff.after(served_s)
        if process is not None:
            logger.error(
                "server process %d (pid %d) ended with %s after serving for %.0f s; the next one starts in %g s",
                self.number, process.pid, process.returncode, served_s, pause_s,
            )  # fmt: skip
        if process is None or not process.ready.is_set():
            self._on_failed_start()
        await asyncio.sleep(pause_s)
