"""Supervisor of several server processes behind one port: `manage.py serve`.

Uvicorn's own (`--workers`) stops all processes at the same moment, restarts one that dies again and again without a
pause, ends with 0 when none can start, and leaves its processes behind when it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence

from sessions_app import conf
from sessions_app.servers.connection_dealer import ConnectionDealer
from sessions_app.servers.process_channel import answer
from sessions_app.servers.process_slot import Slot
from sessions_app.servers.server_process import SETTLE_S, Bounds, Callbacks, ServerProcess
from sessions_app.servers.stop_signals import told_to_stop
from sessions_app.servers.uvicorn_options import longest_stop_s
from sessions_app.telemetry.process_metrics import merge, supervision

logger = logging.getLogger(__name__)

START_S = 120.0  # for a process to start
MARGIN_S = 5.0  # beyond the time that a stop takes by its own bounds
PULSE_S = 1.0
FAILED_STARTS = 3  # in a row, and one more than there are processes, so that one of them has failed twice


class NoProcessStarts(Exception):
    """No process serves, and those that are started end again."""


class Supervisor:
    """Starts the processes, keeps their number, and stops them in turn. Use it in a running event loop."""

    def __init__(
        self, listener: socket.socket, command: Sequence[str], count: int, announce: Callable[[], None]
    ) -> None:
        """`command` starts a server process; it gets one more argument. `announce` is called when one serves."""
        self._command = command
        self._announce = announce
        self._slots = [Slot(number + 1, self._start, self._failed_start) for number in range(count)]
        self._dealer = ConnectionDealer(listener, self._processes)
        self._all: set[ServerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed_starts = 0
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Run until a stop signal. Raises NoProcessStarts, and OSError if another server has taken the port."""
        told, roll = told_to_stop(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, roll.set)
        work = [self._roll_when(roll), self._feel_pulses(), *(slot.keep() for slot in self._slots)]
        waits: list[asyncio.Future[None]] = [self._failure, *map(asyncio.create_task, [_happens(told), *work])]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()  # raises
        finally:
            await _cancel(waits)
            await (self._stop_in_turn() if told.is_set() else self._kill_all())
            self._dealer.close()

    def _processes(self) -> list[ServerProcess]:
        return [slot.process for slot in self._slots if slot.process is not None]

    # Start and replace

    async def _start(self, number: int) -> ServerProcess:
        limits = conf.settings
        bounds = Bounds(START_S, max(1, limits.blocked_loop_ms // 1000), longest_stop_s() + SETTLE_S + MARGIN_S)
        process = await ServerProcess.start(
            number, self._command, bounds, Callbacks(ready=self._served, metrics=self._send_metrics)
        )
        self._all.add(process)
        self._do(self._forget(process))
        return process

    async def _forget(self, process: ServerProcess) -> None:
        await process.ended.wait()
        self._all.discard(process)

    def _served(self) -> None:
        self._failed_starts = 0
        if self._dealer.has_begun or self._failure.done():
            return
        try:
            self._dealer.begin()
        except OSError as problem:
            self._failure.set_exception(problem)
        else:
            self._announce()

    def _failed_start(self) -> None:
        self._failed_starts += 1
        is_too_often = self._failed_starts >= max(FAILED_STARTS, len(self._slots) + 1)
        if is_too_often and not any(process.is_serving for process in self._all) and not self._failure.done():
            self._failure.set_exception(
                NoProcessStarts(f"{self._failed_starts} server processes in a row ended before they could serve")
            )

    async def _roll_when(self, wanted: asyncio.Event) -> None:
        """Replace all processes, one at a time, whenever it is wanted."""
        while True:
            await wanted.wait()
            wanted.clear()  # wanted again from now on: those replaced already must be replaced again
            for slot in self._slots:
                if not await slot.replace():
                    logger.error("the new server process %d did not start: those that serve stay", slot.number)
                    break
            else:
                logger.info("all server processes (%d) have been replaced", len(self._slots))

    async def _feel_pulses(self) -> None:
        while True:
            await asyncio.sleep(PULSE_S)
            for process in self._all:
                process.check_pulse()

    # Stop

    async def _stop_in_turn(self) -> None:
        """Stop one process at a time, so that its clients find another, and refuse connections before the last."""
        for process in self._all:
            process.announce_stop()
        kept = [process for process in self._processes() if process.is_serving]
        others = [asyncio.create_task(process.retire()) for process in self._all if process not in kept]
        for process in kept:
            if process is kept[-1]:
                self._dealer.close()
            logger.info("server process %d (pid %d) stops", process.number, process.pid)
            await process.retire()
        await asyncio.gather(*others)

    async def _kill_all(self) -> None:
        processes = list(self._all)
        for process in processes:
            process.kill("is one of a server that can't go on")
        await asyncio.gather(*(process.ended.wait() for process in processes))

    # Metrics

    def _send_metrics(self, stream: socket.socket) -> None:
        async def send() -> None:
            await answer(stream, await self._metrics())

        self._do(send())

    async def _metrics(self) -> bytes:
        """Return the metrics of all processes. The one that asked may be retiring, and another in its place."""
        asked = {process.number: process for process in self._processes() if process.is_serving}
        texts = dict(zip(asked, await asyncio.gather(*(process.report() for process in asked.values())), strict=True))
        own = supervision({slot.number: slot.starts for slot in self._slots}, {each for each in texts if texts[each]})
        return merge([own, *filter(None, texts.values())])

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _happens(event: asyncio.Event) -> None:
    await event.wait()


async def _cancel(waits: Iterable[asyncio.Future[None]]) -> None:
    for each in waits:
        each.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
