"""Channel between `manage.py serve` and one of its server processes.

Messages are a few bytes and may carry a socket, as SCM_RIGHTS does: a client's connection, or one end of a stream for
an answer of any length. A sequenced-packet socket keeps each message whole and all of them in order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

MESSAGE_BYTES = 32  # more than any has
BURST = 32  # messages handled at a time, before the event loop does anything else
END = b"\0"  # after an answer: without it the process has died on the way
_LOAD = struct.Struct("!QQ")


class Kind(Enum):
    """Kinds of messages, by their first byte."""

    # To a server process
    CONNECTION = b"c"  # with a client's connection to serve
    REPORT = b"r"  # with a stream for its own metrics
    STOPPING = b"s"  # the server stops, this process later
    DRAIN = b"d"  # stop; no connection comes after it
    # To the parent
    READY = b"R"
    LOAD = b"L"  # each second: connections received so far, and open
    METRICS = b"M"  # with a stream for the metrics of all processes


class Message(NamedTuple):
    kind: Kind
    payload: bytes
    attached: socket.socket | None  # the receiver's to close

    def load(self) -> tuple[int, int]:
        """Return a LOAD's connections received, and open."""
        received, open_ = _LOAD.unpack(self.payload)
        return received, open_


def load_payload(received: int, open_: int) -> bytes:
    return _LOAD.pack(received, open_)


class Channel:
    """One end of a channel, in a running event loop."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        """Return both ends."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def send(self, kind: Kind, *, payload: bytes = b"", attached: socket.socket | None = None) -> bool:
        """Send a message. Return False if the other process has ended, or reads none at the moment."""
        try:
            if attached is None:
                self._end.send(kind.value + payload)
            else:
                socket.send_fds(self._end, [kind.value + payload], [attached.fileno()])
        except OSError:
            return False
        return True

    def listen(self, handle: Callable[[Message], None]) -> None:
        """Call `handle` with each message, until the other process ends."""
        asyncio.get_running_loop().add_reader(self._end, self._receive, handle)

    def close(self) -> None:
        if self._end.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._end)
            self._end.close()

    def _receive(self, handle: Callable[[Message], None]) -> None:
        for _ in range(BURST):
            try:
                data, files, _, _ = socket.recv_fds(self._end, MESSAGE_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, files = b"", []
            if not data:
                self.close()
                return
            attached = socket.socket(fileno=files[0]) if files else None
            handle(Message(Kind(data[:1]), data[1:], attached))
            if self._end.fileno() < 0:
                return


async def ask(channel: Channel, kind: Kind, within_s: float) -> bytes | None:
    """Send a message with a stream, and return the answer; None if the other process gives none in time."""
    ours, theirs = socket.socketpair()
    with theirs:
        if not channel.send(kind, attached=theirs):
            ours.close()
            return None
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        async with asyncio.timeout(within_s):
            answer = await reader.read()
    except (TimeoutError, OSError):
        return None
    finally:
        writer.close()
    return answer.removesuffix(END) if answer.endswith(END) else None


async def answer(stream: socket.socket, data: bytes) -> None:
    """Write the answer to a stream that came with a message."""
    _, writer = await asyncio.open_unix_connection(sock=stream)
    try:
        writer.write(data + END)
        await writer.drain()
    except OSError:
        pass  # the asking process has lost patience
    finally:
        writer.close()
