"""The shared port of `manage.py serve`: accepts connections and gives each to a server process.

Why not one socket that all processes accept from, or a socket each with SO_REUSEPORT? WebSockets stay for hours. From
a shared socket, the process that wakes first takes a whole burst. With SO_REUSEPORT the kernel spreads by a hash, to
frozen processes too, and resets what waits in the queue of a process that ends; and after a rolling restart of four,
the process replaced last would have a third of the sockets of the one replaced first.

Here the parent gives each connection to the process with the fewest, never to one that starts, stops or stands still,
and holds it while there is none. That costs the parent 20 µs per connection in a burst, 0.2 ms for a single one, and
nothing afterwards: the process has the socket itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable

from sessions_app.servers.server_process import ServerProcess

logger = logging.getLogger(__name__)

BACKLOG = 2048  # connections that wait in the kernel
BURST = 100  # connections accepted before anything else happens
RETRY_S = 0.05  # while no process takes a connection
FULL_S = 1.0  # pause after the parent has run out of files or memory


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket, which refuses connections until `begin`. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class ConnectionDealer:
    """Gives each connection to the serving process that has the fewest."""

    def __init__(self, listener: socket.socket, processes: Callable[[], Iterable[ServerProcess]]) -> None:
        self._listener = listener
        self._processes = processes
        self._held: socket.socket | None = None  # accepted, and not yet given
        self._retry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.has_begun = False

    def begin(self) -> None:
        """Listen and accept. Raises OSError: another process may listen on the port."""
        self._listener.listen(BACKLOG)
        self.has_begun = True
        self._resume()

    def close(self) -> None:
        """Refuse connections from now on; those that wait in the kernel are given first."""
        if self.has_begun and self._listener.fileno() >= 0:
            self._accept()
        self._pause(None)
        self._listener.close()
        if self._held is not None:
            self._held.close()

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept)
        if self._held is not None:
            self._accept()

    def _pause(self, seconds: float | None) -> None:
        """Accept nothing for a time, or any more."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        self._retry = None if seconds is None else self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        for _ in range(BURST):
            connection = self._held or self._next()
            if connection is None:
                return
            if not self._give(connection):
                self._held = connection
                self._pause(RETRY_S)
                return
            self._held = None
            connection.close()  # the process has its own copy

    def _next(self) -> socket.socket | None:
        """Return the next connection that waits in the kernel, or None."""
        try:
            return self._listener.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError as problem:
            logger.error("no connection can be accepted for %g s: %s", FULL_S, problem.strerror)
            self._pause(FULL_S)
            return None

    def _give(self, connection: socket.socket) -> bool:
        serving = [process for process in self._processes() if process.is_serving]
        alive = [process for process in serving if not process.is_silent] or serving
        return any(process.give(connection) for process in sorted(alive, key=lambda process: process.connections))
