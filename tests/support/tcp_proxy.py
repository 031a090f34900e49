"""A TCP proxy that makes a network bad on demand: cut, also at a byte; frozen, slow, dropping one direction."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, TypeVar

from tests.support.harness import DEADLINE_S

Direction = Literal["up", "down"]  # up: from the client to the server
Result = TypeVar("Result")


class TcpProxy:
    """Forwards 127.0.0.1:`port` to a server's port, from a thread of its own; to be used with `with`."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.port = 0
        self.delay_s = 0.0
        self.deaf: set[Direction] = set()
        self.refusing = False
        self.life_s = 0.0
        self.came_down = 0  # bytes, of all connections
        self.cut_at: int | None = None  # of those bytes
        self.writers: set[asyncio.StreamWriter] = set()
        self.stranded: set[asyncio.StreamWriter] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="tcp-proxy", daemon=True)

    def __enter__(self) -> "TcpProxy":
        self.thread.start()
        self.do(self.listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.do(self.shut())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def connections(self) -> int:
        """Return the number of open connections that are not stranded."""
        return len(self.writers - self.stranded) // 2

    # What a test does to the network. Each returns when it is done.

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        self.do(self.reset_all())

    def freeze(self) -> None:
        """Forward nothing more; connections stay open and new ones are accepted, as behind a dead link."""
        self.do(self.set_flowing(False))

    def thaw(self) -> None:
        """Forward again, first what was held back."""
        self.do(self.set_flowing(True))

    def strand(self) -> None:
        """Swallow all that comes over each open connection, its end too; new ones work, as on another network."""
        self.stranded |= self.writers

    def delay(self, seconds: float) -> None:
        """Delay each piece by so many seconds."""
        self.delay_s = seconds

    def drop(self, direction: Direction) -> None:
        """Swallow all bytes of one direction from now on, which only `cut` ends."""
        self.deaf.add(direction)

    def refuse(self, refusing: bool = True) -> None:
        """Reset new connections at once, or no longer."""
        self.refusing = refusing

    def cut_after(self, seconds: float) -> None:
        """Reset each new connection after so many seconds; 0: none."""
        self.life_s = seconds

    def cut_after_bytes(self, count: int) -> None:
        """Reset every connection, once, when so many more bytes have come down from the server; 0: not at all."""
        self.do(self.set_cut(count))

    @property
    def will_cut(self) -> bool:
        """Return whether `cut_after_bytes` has still to come."""
        return self.cut_at is not None

    # How

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    async def listen(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", 0, backlog=1024)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        self.listener.close()
        self.flowing.set()
        await self.reset_all()
        # They end by themselves now. One that is cancelled instead has asyncio print its traceback.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def set_flowing(self, flowing: bool) -> None:
        if flowing:
            self.flowing.set()
        else:
            self.flowing.clear()

    async def set_cut(self, count: int) -> None:
        self.cut_at = self.came_down + count if count else None

    async def forward_down(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        """Forward bytes from the server, up to the one at which all is cut."""
        self.came_down += len(data)
        if self.cut_at is None or self.came_down < self.cut_at:
            writer.write(data)
            return
        writer.write(data[: len(data) - (self.came_down - self.cut_at)])
        self.cut_at = None
        await self.reset_all()

    async def reset_all(self) -> None:
        for writer in list(self.writers):
            reset(writer)
        self.deaf.clear()
        self.writers -= self.stranded
        self.stranded.clear()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            reset(writer)
            return
        self.writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            reset(writer)
            self.writers.discard(writer)
            return
        self.writers.add(far_writer)
        if self.life_s:
            for end in (writer, far_writer):
                self.loop.call_later(self.life_s, reset, end)
        await asyncio.gather(
            self.pump(reader, far_writer, "up"), self.pump(far_reader, writer, "down"), return_exceptions=True
        )
        self.writers -= {writer, far_writer} - self.stranded

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        try:
            while data := await reader.read(65536):
                await self.flowing.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if direction not in self.deaf and writer not in self.stranded:
                    if direction == "down":
                        await self.forward_down(data, writer)
                    else:
                        writer.write(data)
                    await writer.drain()
            await self.flowing.wait()
            if writer not in self.stranded:
                writer.close()
        except ConnectionError:
            if writer not in self.stranded:
                reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    if connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
