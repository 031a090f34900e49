"""The peers' common part: a writer in the readers' process, and readers that get a frame for each token."""

import asyncio
import subprocess
import tempfile
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench import machine
from tests.bench.client import DEADLINE_S
from tests.bench.metronome import speak
from tests.bench.order import Order
from tests.bench.site import AnyReader, Missed, Reader, Site, Wrong, gather
from tests.services import wait_for_port

Write = Callable[[str], None]


class PeerReader(Reader):
    """A reader whose `arrived` holds tokens alone; `size` is the size of their frames, in bytes."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.size = self._skipped = 0
        self._wanted = 0
        self._has_all: asyncio.Future[None] | None = None

    @property
    def tokens(self) -> int:
        return len(self.arrived) + self._skipped

    def skip(self, tokens: int, last: bytes, size: int) -> None:
        self._skipped += tokens
        self.size += size

    async def get(self, tokens: int) -> None:
        """Wait until it has so many tokens. Raises Wrong."""
        if self.tokens >= tokens:
            return
        self._wanted, self._has_all = tokens, asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._has_all
        except TimeoutError:
            raise Wrong(f"a reader that missed {tokens} tokens got {self.tokens}") from None

    def keep(self, token: bytes, size: int) -> None:
        self.arrived.append((self._now, token))
        self.size += size
        if self._has_all is not None and self.tokens == self._wanted:
            self._has_all.set_result(None)


class Peer(Site[AnyReader]):
    """A running peer. `sent` holds what was written to each session, in order."""

    def __init__(self, place: Path, seed: int, port: int, pids: Sequence[int]) -> None:
        super().__init__(place, seed, port, pids)
        self.sent: dict[int, list[bytes]] = {}
        self._writing: list[asyncio.Task[None]] = []

    @abstractmethod
    async def writer(self, number: int) -> Write:
        """Return what writes a token to a session."""

    @abstractmethod
    async def returning(self, missed: Missed) -> PeerReader:
        """Connect a reader that is to get what it has missed. Raises Wrong."""

    async def ask(self, readers: Sequence[AnyReader], asked: Sequence[Order]) -> None:
        writers = await gather([self.writer(reader.number) for reader in readers])
        for reader, write, each in zip(readers, writers, asked, strict=True):
            sent = self.sent.setdefault(reader.number, [])
            self._writing.append(asyncio.create_task(speak(each, _noting(write, sent))))

    async def come_back(self, missed: Missed) -> int:
        reader = await self.returning(missed)
        await reader.get(missed.tokens)
        reader.close()
        _compare(reader, self.sent[missed.number][-missed.tokens :])
        return reader.size

    def check(self, reader: AnyReader, tokens: int) -> None:
        if len(self.sent[reader.number]) != tokens:
            raise Wrong(f"{len(self.sent[reader.number])} tokens of {tokens} were written")
        _compare(reader, self.sent[reader.number])


def _noting(write: Write, sent: list[bytes]) -> Callable[[str], Awaitable[None]]:
    async def noted(token: str) -> None:
        sent.append(token.encode())
        write(token)

    return noted


def _compare(reader: Reader, sent: list[bytes]) -> None:
    got = [token for _, token in reader.arrived]
    if len(got) != len(sent):
        raise Wrong(f"a reader got {len(got)} tokens of {len(sent)}")
    if got != sent:
        raise Wrong("a reader got tokens in another order")


@contextmanager
def running(command: list[str], place: Path, port: int, processes: int = 1) -> Iterator[list[int]]:
    """Start a peer of so many processes on the server's core; give them."""
    with (place / "log").open("wb") as log, machine.on_server_core():
        process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        while len(family := machine.family(process.pid)) < processes:
            time.sleep(0.02)  # it listens before it has started them all
        yield family
    except Exception:
        print(f"--- {command[0]}'s log ends with\n{(place / 'log').read_text(errors='replace')[-2000:]}")
        raise
    finally:
        process.terminate()
        process.wait()


@contextmanager
def own_place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-peer-", ignore_cleanup_errors=True) as name:
        yield Path(name)
