"""This process as one of the server processes that `manage.py serve` has started, with its channel to their parent."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine

from sessions_app.servers.process_channel import Channel, Kind, Message, answer, ask, load_payload

logger = logging.getLogger(__name__)

LOAD_EVERY_S = 1.0
METRICS_S = 4.0  # for the metrics of all; the parent waits 2 s for each, and a scraper 10 s for the whole

current: GroupMember | None = None
_reports: list[Callable[[int], bytes]] = []


def report_with(report: Callable[[int], bytes]) -> None:
    """Set the function that returns this process's metrics, given its number."""
    _reports[:] = [report]


class GroupMember:
    """One of several server processes behind the same port. Use it in a running event loop."""

    def __init__(
        self, number: int, channel: Channel, *, take: Callable[[socket.socket], None], count_open: Callable[[], int]
    ) -> None:
        """`take` serves a client's connection; `count_open` returns how many are open."""
        self.number = number
        self.is_stopping = False  # the whole server, of which this process may still take part
        self._channel = channel
        self._take = take
        self._count_open = count_open
        self._received = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self) -> None:
        """Take connections from now on."""
        global current
        current = self
        self._channel.listen(self._handle)
        self._channel.send(Kind.READY)
        self._spawn(self._tell_load())

    async def metrics(self) -> bytes | None:
        """Return the metrics of all processes; None if the parent doesn't answer."""
        return await ask(self._channel, Kind.METRICS, METRICS_S)

    def _handle(self, message: Message) -> None:
        match message:
            case Message(Kind.CONNECTION, _, attached):
                self._received += 1
                if attached is None:  # the kernel has passed none: this process has too many files open
                    logger.error("a connection was lost: this process has no file descriptor left (LimitNOFILE)")
                else:
                    self._take(attached)
            case Message(Kind.REPORT, _, socket.socket() as stream):
                self._spawn(answer(stream, b"".join(report(self.number) for report in _reports)))
            case Message(Kind.STOPPING):
                self.is_stopping = True
            case Message(Kind.DRAIN):
                os.kill(os.getpid(), signal.SIGTERM)

    async def _tell_load(self) -> None:
        while True:
            self._channel.send(Kind.LOAD, payload=load_payload(self._received, self._count_open()))
            await asyncio.sleep(LOAD_EVERY_S)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
