"""A server process as its parent, `manage.py serve`, sees it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sessions_app.servers.process_channel import Channel, Kind, Message, ask

logger = logging.getLogger(__name__)

REPORT_S = 2.0  # for a process's metrics
SILENT_S = 3  # without a message, after which the others get the connections
# Between the last connection that a process gets and its stop: a handshake that has begun ends first, instead of being
# refused.
SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a process may take, in seconds, before it is killed."""

    start: float  # until it serves
    silence: int  # without a sign of its event loop
    stop: float


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the parent does when a process serves, or asks for the metrics of all."""

    ready: Callable[[], None]
    metrics: Callable[[socket.socket], None]


class ServerProcess:
    """One server process. `start` returns it; `ended` is set once it has ended, however that came about."""

    def __init__(
        self, number: int, process: asyncio.subprocess.Process, channel: Channel, bounds: Bounds, callbacks: Callbacks
    ) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self.is_retiring = False
        self.seconds_silent = 0
        self._is_told = False
        self._process = process
        self._channel = channel
        self._bounds = bounds
        self._callbacks = callbacks
        self._began = self._ready_at = time.monotonic()
        self._given = self._received = self._open = 0  # connections
        channel.listen(self._handle)
        self._waits = asyncio.create_task(self._wait(), name=f"holdfast server process {number}")

    @classmethod
    async def start(cls, number: int, command: Sequence[str], bounds: Bounds, callbacks: Callbacks) -> ServerProcess:
        """Start a process. `command` gets its number and the file descriptor of its channel. Raises OSError."""
        ours, theirs = Channel.pair()
        with theirs:
            descriptor = theirs.fileno()
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, f"{number}:{descriptor}",
                    stdin=asyncio.subprocess.PIPE,  # ends with this process, and so tells the other
                    pass_fds=(descriptor,),
                )  # fmt: skip
            except OSError:
                ours.close()
                raise
        return cls(number, process, Channel(ours), bounds, callbacks)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections."""
        return self.ready.is_set() and not self.is_retiring and not self.ended.is_set()

    @property
    def is_silent(self) -> bool:
        return self.seconds_silent >= SILENT_S

    @property
    def connections(self) -> int:
        """Open connections: as it last said, and those given since."""
        return self._open + self._given - self._received

    @property
    def served_s(self) -> float:
        """Seconds since it was ready; 0 if it never was."""
        return time.monotonic() - self._ready_at if self.ready.is_set() else 0.0

    def give(self, connection: socket.socket) -> bool:
        """Pass a client's connection on. Return False if the process can't take it at the moment."""
        is_given = self._channel.send(Kind.CONNECTION, attached=connection)
        self._given += is_given
        return is_given

    async def report(self) -> bytes | None:
        """Return its metrics; None if it doesn't answer."""
        return await ask(self._channel, Kind.REPORT, REPORT_S)

    async def comes_up(self) -> bool:
        """Wait until it serves; return False if it ends instead. `check_pulse` bounds the time."""
        waits = {asyncio.create_task(event.wait()) for event in (self.ready, self.ended)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.ready.is_set() and not self.ended.is_set()

    def announce_stop(self) -> None:
        """Say that the whole server stops, so that it isn't ready any more for a load balancer."""
        self._channel.send(Kind.STOPPING)

    async def retire(self) -> None:
        """Stop it: it drains, and is killed if that takes too long. Returns when it has ended."""
        self.is_retiring = True
        if not self.ended.is_set():
            await self._tell_to_stop()
        try:
            async with asyncio.timeout(self._bounds.stop):
                await self.ended.wait()
        except TimeoutError:
            self.kill(f"did not stop within {self._bounds.stop:g} s")
            await self.ended.wait()

    async def _tell_to_stop(self) -> None:
        if not self.ready.is_set():
            self._process.terminate()
            return
        await asyncio.sleep(SETTLE_S)
        if not self._is_told:  # a second time would end it without a drain
            self._is_told = self._channel.send(Kind.DRAIN)  # after all connections that it was given

    def kill(self, reason: str) -> None:
        if not self.ended.is_set():
            logger.error("server process %d (pid %d) %s, and is killed", self.number, self.pid, reason)
            self._process.kill()

    def check_pulse(self) -> None:
        """Kill the process if it starts or is silent for too long. Call it once a second.

        Silence is counted in these calls: while the whole machine stands still, so does the count.
        """
        self.seconds_silent += 1
        if self.is_retiring or self.ended.is_set():
            return
        if not self.ready.is_set():
            if time.monotonic() - self._began > self._bounds.start:
                self.kill(f"did not start within {self._bounds.start:g} s")
        elif self.seconds_silent > self._bounds.silence:
            self.kill(f"has been stuck for {self.seconds_silent} s")

    async def _wait(self) -> None:
        await self._process.wait()
        self._channel.close()
        self.ended.set()

    def _handle(self, message: Message) -> None:
        self.seconds_silent = 0
        match message:
            case Message(Kind.READY):
                self._ready_at = time.monotonic()
                self.ready.set()
                self._callbacks.ready()
            case Message(Kind.LOAD):
                self._received, self._open = message.load()
            case Message(Kind.METRICS, _, socket.socket() as stream):
                self._callbacks.metrics(stream)
