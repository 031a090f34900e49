"""A prompt that orders tokens from a writer, and the tokens, which contain their time of writing."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import NamedTuple

TOKEN = re.compile(rb" (\d{5})")  # as long as tokens are about
PADDED = re.compile(rb" \d{5}\.*")
LENGTH = 6  # of a token, in characters
UNITS_PER_S, UNITS = 10_000, 100_000  # a token's digits are tenths of a millisecond, and begin anew every 10 s
NOTICE_S = 1.0  # before writers begin


class Order(NamedTuple):
    """A prompt's contents. Writers begin together, when the file `start` says, or at once if it is empty."""

    rate: float  # tokens a second
    tokens: int
    phase: float = 0.0  # seconds after the others
    stays_open: bool = False  # the answer goes on, without a word, until the server stops
    padding: int = 0  # characters that each token has besides
    start: str = ""


def encode(order: Order) -> str:
    return json.dumps(order._asdict(), separators=(",", ":"))  # no spaces, so that it holds nothing like a token


def decode(prompt: str) -> Order:
    return Order(**json.loads(prompt))


def start(path: Path) -> float:
    """Let the writers begin, soon enough; return when, in monotonic seconds, the same in all processes of a machine."""
    moment = time.monotonic() + NOTICE_S
    new = path.with_suffix(".new")
    new.write_text(repr(moment))
    new.rename(path)
    return moment


async def started(order: Order) -> float:
    """Wait until `start` has been called; return when to begin."""
    if not order.start:
        return time.monotonic()
    if order.start not in _starts:
        _starts[order.start] = asyncio.create_task(_read_start(Path(order.start)))
    return await asyncio.shield(_starts[order.start]) + order.phase


# By path: thousands of writers that looked for the file, each by itself, would keep the server from its work.
_starts: dict[str, asyncio.Task[float]] = {}


async def _read_start(path: Path) -> float:
    while not path.exists():
        await asyncio.sleep(NOTICE_S / 10)
    return float(path.read_text())


def token(padding: int = 0) -> str:
    return f" {int(time.monotonic() * UNITS_PER_S) % UNITS:05d}{'.' * padding}"


def count(text: bytes) -> int:
    return len(TOKEN.findall(text))


def length(text: bytes) -> int:
    """Return the length of the tokens in a text, with their padding."""
    return sum(map(len, PADDED.findall(text)))


class Times:
    """The times at which an answer's tokens were written, read from one after the other.

    The first token arrived less than 10 s after it was written, and each was written less than 10 s after the one
    before it; those may arrive at any time.
    """

    def __init__(self) -> None:
        self._last: int | None = None  # in units

    def read(self, text: bytes, arrival: float, known: int = 0) -> list[float]:
        """Return the times of a text's tokens but the first `known`, in monotonic seconds."""
        return [self._next(int(stamp), arrival) / UNITS_PER_S for stamp in TOKEN.findall(text)[known:]]

    def _next(self, stamp: int, arrival: float) -> int:
        if self._last is None:
            now = int(arrival * UNITS_PER_S)
            self._last = now - (now - stamp) % UNITS
        else:
            self._last += (stamp - self._last) % UNITS
        return self._last
