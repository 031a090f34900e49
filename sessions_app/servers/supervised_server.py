"""A server process of `manage.py serve`: uvicorn, with the connections that its parent gives it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sessions_app.core.asgi_types import Application
from sessions_app.servers.group_member import GroupMember
from sessions_app.servers.process_channel import Channel
from sessions_app.servers.uvicorn_options import longest_stop_s, uvicorn_config

PARENTS = (signal.SIGINT, signal.SIGHUP)  # a terminal sends them to all processes; the parent decides


def serve(application: Application, number: int, channel: socket.socket) -> None:
    """Serve until told to stop, or until the parent has ended. `number` is the process's place in its group."""
    for signal_number in PARENTS:
        signal.signal(signal_number, signal.SIG_IGN)
    _end_with_parent()
    _Server(application, number, channel).run(sockets=[])


def _end_with_parent() -> None:
    """Stop when standard input ends, which the parent holds open: it was killed. A thread: the loop may be blocked."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(longest_stop_s())
        os._exit(1)

    threading.Thread(target=watch, name="holdfast parent", daemon=True).start()


class _Server(uvicorn.Server):
    """Uvicorn without a listening socket of its own."""

    def __init__(self, application: Application, number: int, channel: socket.socket) -> None:
        super().__init__(uvicorn_config(application))
        self._number = number
        self._end = channel
        self._beginning: set[asyncio.Task[None]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            for number in PARENTS:
                signal.signal(number, signal.SIG_IGN)
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        connections = self.server_state.connections
        self.member = GroupMember(
            self._number, Channel(self._end), take=self._take, count_open=lambda: len(connections)
        )
        self.member.join()

    def _take(self, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has gone
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
