"""Foreign wires: steady writing to readers of the AI SDK's wires, beside our own.

The readers are as lean as ours: they know a chunk's text by the tokens in it, and parse nothing while it is measured.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import orjson
import uvloop

from tests.bench import order
from tests.bench.client import TEXT
from tests.bench.holdfast import Holdfast
from tests.bench.order import Order
from tests.bench.site import Reader, Site, Wrong, all_hold
from tests.bench.streaming import Figures, Load, measured

BEGUN = b'"type":"start-step"'
CSRF_TOKEN = 32 * "a"  # a client's own, as its cookie is

Open = Callable[[], AbstractContextManager[Holdfast]]


class ChatReader(Reader):
    """A chat of an AI SDK client. `begun`: its answer has."""

    begun = False

    def __init__(self, number: int, session: str, cookie: str) -> None:
        super().__init__(number)
        self.session = session
        self.cookie = cookie

    async def open(self, port: int) -> None:
        """Connect."""
        raise NotImplementedError

    def ask(self, port: int, text: str) -> None:
        """Send a person's message; what follows is its answer."""
        raise NotImplementedError

    def request(self, text: str) -> dict[str, Any]:
        """Return what both wires send."""
        message = {"id": os.urandom(8).hex(), "role": "user", "parts": [{"type": "text", "text": text}]}
        return {"id": self.session, "messages": [message], "trigger": "submit-message"}

    def on_text(self, payload: bytes) -> None:
        self.begun = self.begun or BEGUN in payload
        super().on_text(payload)


class SocketReader(ChatReader):
    """A client of the WebSocket wire."""

    async def open(self, port: int) -> None:
        await self.connect(port, "/ws/chat/", Cookie=self.cookie)

    def ask(self, port: int, text: str) -> None:
        frame = {"type": "send", "requestId": "1", "headers": {}, "body": {}, **self.request(text)}
        self.send(TEXT, orjson.dumps(frame))


class HttpReader(ChatReader):
    """A client of the HTTP wire: `arrived` has the body, piece by piece, up to the end of an event."""

    def __init__(self, number: int, session: str, cookie: str) -> None:
        super().__init__(number, session, cookie)
        self._is_body = False
        self._text = b""  # of events that aren't all there

    async def open(self, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        self.opened.set_result(None)

    def ask(self, port: int, text: str) -> None:
        body = orjson.dumps(self.request(text))
        self._transport.write(
            f"POST /api/chat/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            f"Cookie: {self.cookie}; csrftoken={CSRF_TOKEN}\r\nX-CSRFToken: {CSRF_TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def data_received(self, data: bytes) -> None:
        self._now = time.monotonic()
        self._buffer += data
        if not self._is_body and not self._read_head():
            return
        self._read_chunks()
        whole, end, self._text = self._text.rpartition(b"\n\n")
        if end:  # cursors may look like tokens
            self.on_text((b"\n" + whole).replace(b"\nid: ", b"\nid:"))

    def _read_head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            self._fail(self._buffer.decode(errors="replace"))
            return False
        self._buffer, self._is_body = rest, True
        return True

    def _read_chunks(self) -> None:
        """Take the chunks of the transfer encoding that are all there."""
        while b"\r\n" in self._buffer:
            size, _, rest = self._buffer.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._text += rest[:length]
            self._buffer = rest[length + 2 :]


class Chats(Site[ChatReader]):
    """A Holdfast server with the readers of one of these wires."""

    def __init__(self, holdfast: Holdfast, kind: type[ChatReader]) -> None:
        super().__init__(holdfast.place, holdfast.seed, holdfast.port, holdfast.pids)
        self._sessions = holdfast.sessions
        self._kind = kind

    async def following(self, number: int) -> ChatReader:
        reader = self._kind(number, *self._sessions[number])
        await reader.open(self.port)
        return reader

    async def ask(self, readers: Sequence[ChatReader], asked: Sequence[Order]) -> None:
        for reader, each in zip(readers, asked, strict=True):
            reader.ask(self.port, order.encode(each))
        await all_hold(readers, lambda reader: reader.begun)

    def left(self, reader: ChatReader, tokens: int) -> Any:
        raise NotImplementedError("no row has these readers return")

    async def come_back(self, missed: Any) -> int:
        raise NotImplementedError("no row has these readers return")

    def check(self, reader: ChatReader, tokens: int) -> None:
        self.check_count(reader, tokens)
        stamps = [int(stamp) for _, text in reader.arrived for stamp in order.TOKEN.findall(text)]
        for before, after in zip(stamps, stamps[1:], strict=False):
            # Each token's digits are its time of writing: another order would be a step back. Late ones share a time.
            if (after - before) % order.UNITS >= order.UNITS // 2:
                raise Wrong(f"{after} came after {before}")


def foreign_wires(open_site: Open, load: Load) -> Figures:
    """Measure the CPU per million tokens of our own wire and of each foreign one, each at a server of its own."""
    figures: Figures = {}
    for wire, kind in {"own": None, "http": HttpReader, "websocket": SocketReader}.items():
        with open_site() as holdfast:
            site: Site[Any] = holdfast if kind is None else Chats(holdfast, kind)
            found = uvloop.run(measured(site, load, site.check))
        figures |= {f"{wire}_{name}": found[name] for name in ("cpu", "p50", "p99", "frames")}
    return figures | {f"{wire}_times": figures[f"{wire}_cpu"] / figures["own_cpu"] for wire in ("http", "websocket")}
