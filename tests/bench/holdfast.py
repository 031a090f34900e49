"""Holdfast as it is measured: its readers, and its agents or a publisher elsewhere as writers."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import orjson

from agents_app.remote import Publisher
from tests.bench import order
from tests.bench.client import TEXT
from tests.bench.metronome import speak
from tests.bench.order import Order
from tests.bench.site import Missed, Reader, Site, Wrong, all_hold, gather
from tests.support import tokens
from tests.support.harness import Server

EVENTS, ATTACHED = b'{"type":"events"', b'{"type":"attached"'
BEGUN = b'"type":"start-step"'
PUBLISHERS = 8  # connections of the publisher elsewhere: each may have 48 batches on their way


class Client(Reader):
    """It acknowledges as PROTOCOL.md asks."""

    def __init__(self, number: int, session: str) -> None:
        super().__init__(number)
        self.session = session
        self._ack_bytes, self._ack_s = 0, 0.0
        self._unacknowledged = 0
        self._last = b""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def last(self) -> dict[str, Any]:
        """The newest frame with a cursor: what it has acknowledged or will."""
        frame: dict[str, Any] = orjson.loads(self._last)
        return frame

    async def open(self, port: int, cookie: str) -> None:
        """Connect, and wait until the server is ready."""
        connected = asyncio.ensure_future(self.next(b'{"type":"connected"'))
        await self.connect(port, "/ws/", Cookie=cookie)
        limits = orjson.loads(await connected)["limits"]
        self._ack_bytes, self._ack_s = limits["ack_bytes"], limits["ack_ms"] / 1000

    async def attach(self, **how: Any) -> bytes:
        """Return the `attached` frame."""
        attached = asyncio.ensure_future(self.next(ATTACHED))
        await asyncio.sleep(0)
        self.say(type="attach", session=self.session, **how)
        return await attached

    async def signal(self, text: str) -> None:
        """Send a person's message; wait until it is stored."""
        receipt = asyncio.ensure_future(self.next(b'{"type":"receipt"'))
        await asyncio.sleep(0)
        payload = {"parts": [{"type": "text", "text": text}]}
        self.say(type="signal", session=self.session, id=os.urandom(8).hex(), kind="message", payload=payload)
        if (answer := orjson.loads(await receipt))["status"] != "accepted":
            raise ConnectionError(f"the message was rejected: {answer}")

    def say(self, **frame: Any) -> None:
        self.send(TEXT, orjson.dumps(frame))

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        super().close()

    def on_text(self, payload: bytes) -> None:
        super().on_text(payload)
        if payload.startswith(EVENTS):
            self._last = payload
            self._unacknowledged += len(payload)
            if self._unacknowledged >= self._ack_bytes:
                self._acknowledge()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._ack_s, self._acknowledge)
        elif payload.startswith(ATTACHED):
            self._last = payload
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unacknowledged = 0
        if not self.ended:
            self.say(type="ack", session=self.session, cursor=self.last["cursor"])


class Holdfast(Site[Client]):
    """Its agents write. `sessions`: those in its database, each with its owner's cookie."""

    def __init__(self, server: Server, sessions: list[tuple[str, str]], seed: int, pids: Sequence[int]) -> None:
        super().__init__(server.place, seed, server.port, pids)
        self.server = server
        self.sessions = sessions

    async def connected(self, number: int) -> Client:
        session, cookie = self.sessions[number]
        reader = Client(number, session)
        await reader.open(self.port, cookie)
        return reader

    async def following(self, number: int) -> Client:
        reader = await self.connected(number)
        await reader.attach()
        return reader

    async def ask(self, readers: Sequence[Client], asked: Sequence[Order]) -> None:
        seen = {reader: len(reader.arrived) for reader in readers}
        await self._begin(readers, asked)
        # A reader that is too slow gets the state instead, which `check` refuses.
        await all_hold(
            readers,
            lambda reader: any(
                BEGUN in text or text.startswith(ATTACHED) for _, text in reader.arrived[seen[reader] :]
            ),
        )

    async def _begin(self, readers: Sequence[Client], asked: Sequence[Order]) -> None:
        await gather([reader.signal(order.encode(each)) for reader, each in zip(readers, asked, strict=True)])

    def left(self, reader: Client, tokens: int) -> Missed:
        reader.close()
        got = reader.tokens
        uid = reader.last["events"][-1]["message"]
        where = {"cursor": reader.last["cursor"], "held": {uid: [0, order.TOKEN_LENGTH * got]}}
        return Missed(reader.number, where, tokens - got)

    async def come_back(self, missed: Missed) -> int:
        return await self.attach(await self.connected(missed.number), missed)

    async def attach(self, reader: Client, missed: Missed) -> int:
        """Get what was missed on an open connection; return its bytes. Raises Wrong."""
        answer = await reader.attach(**missed.where)
        reader.close()
        if not orjson.loads(answer)["resumed"] or order.count(answer) != missed.tokens:
            raise Wrong(f"a reader that missed {missed.tokens} tokens got {answer[:200]!r}")
        return len(answer)

    def check(self, reader: Client, tokens: int) -> None:
        if sum(text.startswith(ATTACHED) for _, text in reader.arrived) > 1:
            raise Wrong("a reader was too slow to get its tokens one by one: this machine is too busy")
        expected = None
        for _, text in reader.arrived:
            if text.startswith(EVENTS):
                for event in orjson.loads(text)["events"]:
                    if expected not in (None, event["serial"]):
                        raise Wrong(f"{event['serial']} came after {expected}")
                    expected = event["serial"] + 1
        if reader.tokens != tokens:
            raise Wrong(f"a reader got {reader.tokens} tokens of {tokens}")


class Remote(Holdfast):
    """A publisher elsewhere writes, in the readers' process."""

    async def _begin(self, readers: Sequence[Client], asked: Sequence[Order]) -> None:
        self._writing = [
            asyncio.create_task(self._publish(readers[n::PUBLISHERS], asked[n::PUBLISHERS], f"bench-publisher-{n}"))
            for n in range(PUBLISHERS)
        ]

    async def _publish(self, readers: Sequence[Client], asked: Sequence[Order], producer: str) -> None:
        token = tokens.token(sub="ext:bench", scope="publish")
        async with Publisher(f"http://127.0.0.1:{self.port}", token=token, producer=producer) as publisher:
            await gather([self._write(publisher, reader, each) for reader, each in zip(readers, asked, strict=True)])

    async def _write(self, publisher: Publisher, reader: Client, asked: Order) -> None:
        async with publisher.answer(reader.session) as answer:
            await speak(asked, answer.text)
            if asked.stays_open:
                await answer.flush()
                await asyncio.Event().wait()
