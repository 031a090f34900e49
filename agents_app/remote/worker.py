"""A worker elsewhere: claims the runs of its agents at a site, and answers them. Needs no Django.

@agent("billing")
async def billing(turn):
    await turn.text("Hello")

Worker("https://chat.example", token=TOKEN, name="billing-1").serve()
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable
from contextlib import suppress

from agents_app import registry
from agents_app.remote.claimed_run import ClaimedRun
from agents_app.remote.link import Link
from agents_app.remote.publisher import BEAT_S, Token
from agents_app.remote.transports import Frame
from sessions_app.core.errors import HoldfastError

logger = logging.getLogger(__name__)

MOST = 100
DRAIN_S = 30.0
HEARD = 1000  # newest signals that a claim names; an earlier one comes again, and is known


class Worker:
    """A worker that runs agents registered in this process (`agents_app.registry.agent`).

    `token`: one with the scope `work` that names the agents, or an async function that returns a fresh one. `name`:
    this process's, 8 to 64 characters of A-Z a-z 0-9 _ -; the next process with the same name fences this one, and its
    runs are interrupted. `agents`: their names, all that are registered by default. `most`: how many runs at once.
    `drain_s`: how long agents may go on once it is told to stop. `epoch`, `beat_s`: as a `Publisher`'s.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token,
        name: str,
        agents: Iterable[str] = (),
        most: int = MOST,
        drain_s: float = DRAIN_S,
        epoch: int | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        names = list(agents) or registry.names()
        unknown = [each for each in names if registry.find(each) is None]
        if unknown or not names:
            raise ValueError(f"no agent is named {unknown[0]!r}" if unknown else "no agent is registered")
        self._link = Link(
            url, agents=names, most=most, told=self._receive, held=self._held, heard=self._heard,
            ended=self._ended,
            token=token, producer=name, epoch=epoch, beat_s=beat_s,
        )  # fmt: skip
        self._drain_s = drain_s
        self._runs: dict[str, ClaimedRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def serve(self) -> None:
        """Answer until SIGTERM or Ctrl-C; then let agents at work finish. A second signal stops them at once."""
        asyncio.run(self._serve())

    async def run(self) -> None:
        """Answer until `stop`, or until it is cancelled, which interrupts the agents at work.

        Raises HoldfastError if the site refuses this worker: its token, its agents, or, as `Fenced`, its epoch.
        """
        async with self._link:
            stopping = asyncio.create_task(self._stopping.wait())
            broken = asyncio.create_task(self._link.broken())
            try:
                await asyncio.wait({stopping, broken}, return_when=asyncio.FIRST_COMPLETED)
                if not broken.done():
                    await self._drain()
            finally:
                await self._end_all()
                stopping.cancel()
                broken.cancel()
        if broken.done() and not broken.cancelled():
            raise broken.result()

    def stop(self) -> None:
        """Claim no more, let the agents at work finish within the drain, and end `run`."""
        self._stopping.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(self.run())

        def told() -> None:
            if self._stopping.is_set():
                running.cancel()
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told)
        with suppress(asyncio.CancelledError):
            await running

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._link.claim_no_more()
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            logger.warning("%d agents are interrupted after %g s", len(self._tasks), self._drain_s)

    async def _end_all(self) -> None:
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What comes from the site

    def _receive(self, frame: Frame) -> None:
        if frame["type"] == "run":
            if frame["run"] not in self._runs:
                self._start(ClaimedRun(self._link, frame))
            return
        run = self._runs.get(frame["run"])
        if run is None:
            return
        if frame["type"] == "inbox":
            run.put(frame["signal"])
        elif frame["type"] == "expired":
            run.expire(frame["approval"])
        else:
            run.stop(is_over=frame["reason"] == "ended")

    def _start(self, run: ClaimedRun) -> None:
        self._runs[run.id] = run
        task = asyncio.create_task(self._return(run) if self._stopping.is_set() else run.perform())
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            del self._runs[run.id]
            self._tasks.discard(task)
            if run.is_left_open:
                self._link.start(self._link.claim_again())

        task.add_done_callback(ended)

    async def _return(self, run: ClaimedRun) -> None:
        try:
            await run.hand_back()
        except HoldfastError as problem:
            logger.warning("run %s was not handed back: %s", run.id, problem.message)

    def _held(self) -> list[str]:
        return list(self._runs)

    def _heard(self) -> list[str]:
        return [signal for run in self._runs.values() for signal in run.heard][-HEARD:]

    def _ended(self, run: str) -> None:
        if run in self._runs:
            self._runs[run].stop(is_over=True)
