"""Holdfast under measurement: its readers, and its agents or a remote publisher as writers."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from agents_app.remote import Publisher
from tests.bench import order
from tests.bench.client import TEXT
from tests.bench.metronome import speak
from tests.bench.order import Order
from tests.bench.site import AT_ONCE, Missed, Reader, Site, Wrong, all_hold, gather
from tests.support import tokens
from tests.support.harness import Server

EVENTS, ATTACHED = b'{"type":"events"', b'{"type":"attached"'
BEGUN = b'"type":"start-step"'
PUBLISHERS = 8  # connections of the publisher elsewhere: each may have 48 batches on their way


class Answer(NamedTuple):
    """A reader's copy of an answer, whose one text is its second part. `length`: of the text, in characters."""

    message: str
    length: int = 0
    tokens: int = 0


class Client(Reader):
    """A client that acknowledges as PROTOCOL.md requires, with its state of the newest answer, as the page does."""

    def __init__(self, number: int, session: str) -> None:
        super().__init__(number)
        self.session = session
        self._ack_bytes, self._ack_s = 0, 0.0
        self._unacknowledged = 0
        self._last = b""  # the newest frame with a cursor
        self._timer: asyncio.TimerHandle | None = None
        self._answers: list[Answer] = []  # begun, in order

    @property
    def position(self) -> dict[str, Any]:
        """Return the client's position, for an `attach` or an `ack`."""
        self.read()
        held = {answer.message: [0, answer.length] for answer in self._answers[-1:]}
        return {"cursor": orjson.loads(self._last)["cursor"], "held": held}

    @property
    def tokens(self) -> int:
        self.read()
        return sum(answer.tokens for answer in self._answers)

    @property
    def answers(self) -> int:
        """Return the number of answers that have begun."""
        self.read()
        return len(self._answers)

    def add_frames(self, text: bytes) -> None:
        # Not parsed: readers acknowledge all at once, and what is read meanwhile would seem late.
        self._add(order.length(text), order.count(text))

    def _add(self, length: int, tokens: int) -> None:
        if self._answers:
            had = self._answers[-1]
            self._answers[-1] = Answer(had.message, had.length + length, had.tokens + tokens)

    def _take_parsed(self, text: bytes) -> None:
        """Take a frame after which what comes isn't more of the same answer."""
        frame = orjson.loads(text)
        for event in frame.get("events", ()):
            chunk = event.get("chunk", {})
            if chunk.get("type") == "start-step":
                self._answers.append(Answer(event["message"]))
            self._take_text(chunk.get("delta", ""))
        for patch in frame.get("messages", ()):
            if patch["role"] == "assistant":
                self._take_patch(patch)

    def _take_patch(self, patch: dict[str, Any]) -> None:
        if patch["id"] not in [answer.message for answer in self._answers[-1:]]:
            self._answers.append(Answer(patch["id"]))
        for part in patch["parts"]:
            if part["type"] == "text":
                if not patch["at"]:  # all of it again
                    self._answers[-1] = Answer(patch["id"])
                self._take_text(part["text"])

    def _take_text(self, text: str) -> None:
        self._add(len(text), order.count(text.encode()))

    def live_tokens(self, payload: bytes) -> int:
        return order.count(payload) if payload.startswith(EVENTS) and BEGUN not in payload else 0

    def skip(self, tokens: int, last: bytes, size: int) -> None:
        self._add(tokens * order.LENGTH, tokens)
        self._owe(last, size)

    def gains(self) -> Iterator[tuple[float, list[float]]]:
        """Likewise: a state (`attached`) may repeat the text of the answer."""
        times, had = order.Times(), 0
        for arrival, text in self.arrived:
            known = had if text.startswith(ATTACHED) and _is_again(text) else 0
            written = times.read(text, arrival, known)
            had += len(written)
            if written:
                yield arrival, written

    async def open(self, port: int, **headers: str) -> None:
        """Connect, and wait until the server is ready."""
        connected = asyncio.ensure_future(self.next(b'{"type":"connected"'))
        await self.connect(port, "/ws/", **headers)
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
        if payload.startswith(ATTACHED) or BEGUN in payload:
            self.read()
            self._frames += 1
            self._take_parsed(payload)
        super().on_text(payload)
        if payload.startswith(EVENTS):
            self._owe(payload, len(payload))
        elif payload.startswith(ATTACHED):
            self._last = payload
            self._acknowledge()

    def _owe(self, last: bytes, size: int) -> None:
        """Acknowledge frames of events, soon."""
        self._last = last
        self._unacknowledged += size
        if self._unacknowledged >= self._ack_bytes:
            self._acknowledge()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._ack_s, self._acknowledge)

    def _acknowledge(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unacknowledged = 0
        if not self.ended:
            self.say(type="ack", session=self.session, **self.position)


def _is_again(attached: bytes) -> bool:
    """Return whether a state has an answer from its beginning."""
    return any(patch["role"] == "assistant" and not patch["at"] for patch in orjson.loads(attached)["messages"])


class Holdfast(Site[Client]):
    """A Holdfast server whose agents write. `sessions`: those in its database, each with its owner's cookie."""

    def __init__(self, server: Server, sessions: list[tuple[str, str]], seed: int, pids: Sequence[int]) -> None:
        super().__init__(server.place, seed, server.port, pids)
        self.server = server
        self.sessions = sessions

    async def connected(self, number: int) -> Client:
        session, cookie = self.sessions[number]
        reader = Client(number, session)
        await reader.open(self.port, Cookie=cookie)
        return reader

    def own_by_token(self) -> None:
        """Give the sessions to owners whom tokens can name, as no guest's can."""
        owner = "Replace('owner', Value('guest:'), Value('ext:'))"
        imports = "from django.db.models import Value; from django.db.models.functions import Replace; "
        change = f"from sessions_app.models import Session; Session.objects.update(owner={owner})"
        self.server.manage("shell", "--command", imports + change)

    def token(self, number: int) -> str:
        """Sign a token for a session's owner; `own_by_token` comes first."""
        session, cookie = self.sessions[number]
        guest = cookie.partition("=")[2].partition(":")[0]
        return tokens.token(sub=f"ext:{guest}", scope="read", sessions=[session])

    async def enter(self, number: int, token: str) -> Client:
        """Connect a reader by its token. It doesn't follow its session yet."""
        reader = Client(number, self.sessions[number][0])
        await reader.open(self.port, Authorization=f"Bearer {token}")
        return reader

    async def following(self, number: int) -> Client:
        reader = await self.connected(number)
        await reader.attach()
        return reader

    async def ask(self, readers: Sequence[Client], asked: Sequence[Order]) -> None:
        before = {reader: reader.answers for reader in readers}
        await self._begin(readers, asked)
        await all_hold(readers, lambda reader: reader.answers > before[reader])

    async def _begin(self, readers: Sequence[Client], asked: Sequence[Order]) -> None:
        for first in range(0, len(readers), AT_ONCE):
            these = zip(readers[first : first + AT_ONCE], asked[first : first + AT_ONCE], strict=True)
            await gather([reader.signal(order.encode(each)) for reader, each in these])

    def left(self, reader: Client, tokens: int) -> Missed:
        reader.close()
        return Missed(reader.number, reader.position, tokens - reader.tokens)

    async def come_back(self, missed: Missed) -> int:
        return await self.attach(await self.connected(missed.number), missed)

    async def attach(self, reader: Client, missed: Missed) -> int:
        """Get what was missed on an open connection; return its bytes. Raises Wrong."""
        answer = await reader.attach(**missed.where)
        reader.close()
        if not orjson.loads(answer)["resumed"] or reader.tokens != missed.tokens:
            raise Wrong(f"a reader that missed {missed.tokens} tokens got {answer[:200]!r}")
        return len(answer)

    def check(self, reader: Client, tokens: int) -> None:
        if sum(text.startswith(ATTACHED) for _, text in reader.arrived) > 1:
            raise Wrong("a reader was too slow to get its tokens one by one: this machine is too busy")
        self.check_state(reader, tokens)

    def check_state(self, reader: Client, tokens: int) -> None:
        expected = None
        for frame in [orjson.loads(text) for _, text in reader.arrived if text.startswith((EVENTS, ATTACHED))]:
            if expected is not None and not frame.get("resumed", True):
                raise Wrong(f"a reader that never left was reset: {frame['reason']}")
            for event in frame.get("events", ()):
                if expected not in (None, event["serial"]):
                    raise Wrong(f"{event['serial']} came after {expected}")
                expected = event["serial"] + 1
            expected = int(frame["cursor"].partition("-")[2]) + 1
        self.check_count(reader, tokens)


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
