"""A running server of any make, as the rows see it: it has readers, and writers write to it."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tests.bench import order
from tests.bench.client import DEADLINE_S, Socket
from tests.bench.order import Order

T = TypeVar("T")
HEARTBEAT = b'{"type":"heartbeat"'  # of Holdfast: it doesn't say why an answer has stopped, as the frame before it may
AT_ONCE = 50  # connections that are opened, or questions asked, at once: not more than people would


class Wrong(Exception):
    """A loss, a repeat or a wrong order, which makes the figures of a run worthless."""


class Late(Wrong):
    """Readers that were closed, or wait still: what a server does that has more to do than it can."""


class Reader(Socket):
    """A client with one session, the one of this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self._frames = self._tokens = 0  # that were read, and what they held

    @property
    def tokens(self) -> int:
        """Return the number of tokens that the reader has."""
        self.read()
        return self._tokens

    def read(self) -> None:
        """Take what has arrived, each frame once: who asks often would otherwise keep it from getting more."""
        new, self._frames = self.arrived[self._frames :], len(self.arrived)
        self.add_frames(b"".join(text for _, text in new))

    def add_frames(self, text: bytes) -> None:
        """Take frames that have arrived."""
        self._tokens += order.count(text)

    def live_tokens(self, payload: bytes) -> int:
        """Return the number of tokens in a frame that holds nothing else; of any other frame, 0."""
        return order.count(payload)

    def skip(self, tokens: int, last: bytes, size: int) -> None:
        """Count tokens of frames that another reader has parsed. `last`: of these frames; `size`: in bytes, of all."""
        self._tokens += tokens

    def gains(self) -> Iterator[tuple[float, list[float]]]:
        """Yield, for each frame with new tokens, its arrival and their times of writing, in monotonic seconds.

        For readers of one answer.
        """
        times = order.Times()
        for arrival, text in self.arrived:
            if written := times.read(text, arrival):
                yield arrival, written


AnyReader = TypeVar("AnyReader", bound=Reader)


class Missed(NamedTuple):
    """A reader's position when it left, in its server's form, and the number of tokens missed since."""

    number: int
    where: dict[str, object]
    tokens: int


class Site(ABC, Generic[AnyReader]):
    """A server. `pids`: its processes; `helpers`: its databases' programs, by name; `place`: its own directory."""

    def __init__(self, place: Path, seed: int, port: int, pids: Sequence[int]) -> None:
        self.place = place
        self.seed = seed
        self.port = port
        self.pids = pids
        self.helpers: dict[str, str] = {}
        self._starts = 0

    @abstractmethod
    async def following(self, number: int) -> AnyReader:
        """Connect a reader and let it follow its session."""

    @abstractmethod
    async def ask(self, readers: Sequence[AnyReader], asked: Sequence[Order]) -> None:
        """Have an answer written to each reader's session, and wait until it could begin."""

    @abstractmethod
    def left(self, reader: AnyReader, tokens: int) -> Missed:
        """Cut a reader's connection; it will have missed all but those of so many tokens that it has."""

    @abstractmethod
    async def come_back(self, missed: Missed) -> int:
        """Connect a reader and get what it has missed; return its bytes. Raises Wrong."""

    @abstractmethod
    def check(self, reader: AnyReader, tokens: int) -> None:
        """Check that a reader that never left has got all tokens, each once, in order. Raises Wrong."""

    def check_state(self, reader: AnyReader, tokens: int) -> None:
        """Likewise, of one that may have been given some of them at once because it was slow."""
        self.check(reader, tokens)

    def check_count(self, reader: AnyReader, tokens: int) -> None:
        """Check that a reader has got so many tokens. Raises Wrong."""
        if reader.tokens != tokens:
            raise Wrong(f"a reader got {reader.tokens} tokens of {tokens}")

    async def answering(self, readers: Sequence[AnyReader], asked: Sequence[Order]) -> float:
        """Have answers written that begin together; return when they do, in monotonic seconds."""
        self._starts += 1
        path = self.place / f"start-{self._starts}"
        await self.ask(readers, [each._replace(start=str(path)) for each in asked])
        return order.start(path)


async def all_have(readers: Sequence[Reader], tokens: int) -> None:
    await all_hold(readers, lambda reader: reader.tokens >= tokens)


async def all_hold(readers: Sequence[AnyReader], condition: Callable[[AnyReader], bool]) -> None:
    """Wait while readers get more. Raises Wrong after DEADLINE_S without a token, Late if a connection was closed."""
    deadline, held = 0.0, -1
    missing = list(readers)
    while missing := [reader for reader in missing if not condition(reader)]:
        before, held = held, sum(reader.tokens for reader in missing)
        if held != before:
            deadline = time.monotonic() + DEADLINE_S
        elif time.monotonic() > deadline:
            last = [text[:300] for _, text in missing[0].arrived if HEARTBEAT not in text][-1:]
            raise Wrong(
                f"{len(missing)} of {len(readers)} readers have not got everything for {DEADLINE_S} s;"
                f" one has {missing[0].tokens} tokens, and at last got {last}"
            )
        if any(reader.ended for reader in missing):
            raise Late("a reader's connection was closed")
        await asyncio.sleep(0.1)


async def followers(site: Site[AnyReader], numbers: Sequence[int]) -> list[AnyReader]:
    """Have a reader follow each of these sessions."""
    found: list[AnyReader] = []
    for first in range(0, len(numbers), AT_ONCE):
        found += await gather([site.following(number) for number in numbers[first : first + AT_ONCE]])
    return found


async def until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def gather(work: Sequence[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*work))
