"""Feeds of a process whose hints come late or get lost by the hundred: readers never stand still."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sessions_app.core import frames
from sessions_app.core.attachment import Frame
from sessions_app.database import threads
from sessions_app.delivery import feeds
from sessions_app.delivery.feeds import Feeds
from sessions_app.event_log import queries
from sessions_app.event_log.queries import Tail

EPOCH, OWNER = "epoch", "guest:1"


def frame(session: str, first: int, last: int | None = None) -> Frame:
    serials = range(first, (last or first) + 1)
    return frames.events(
        session=session, epoch=EPOCH, first=first, last=serials[-1], texts=[str(serial) for serial in serials]
    )


class FrameRecorder:
    """A reader, and the serials it was passed."""

    owner = OWNER

    def __init__(self) -> None:
        self.serials: list[int] = []
        self.resyncs = 0

    def receive(self, frame: Frame) -> None:
        self.serials += range(frame.first, frame.last + 1)

    def resync(self) -> None:
        self.resyncs += 1

    def end(self, problem: Exception) -> None:
        raise AssertionError(problem)


class Store:
    """A database of sessions' tails, and the reads of it: each waits while `open` is cleared."""

    def __init__(self) -> None:
        self.tails: dict[str, int] = {}
        self.fills: list[list[str]] = []  # the sessions of each read of the journal
        self.open = asyncio.Event()
        self.open.set()
        self.reading = asyncio.Event()

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        found = function(*args)
        if function is feeds._read:
            self.fills.append(list(args[0]))
        self.reading.set()
        await self.open.wait()
        return found

    def tails_of(self, sessions: Any) -> dict[str, Tail]:
        return {session: Tail(EPOCH, self.tails[session], OWNER) for session in sessions}

    def journal_after(self, session: str, serial: int) -> list[tuple[int, str]]:
        return [(number, str(number)) for number in range(serial + 1, self.tails[session] + 1)]


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    @contextmanager
    def consistent_read() -> Iterator[None]:
        yield

    store = Store()
    monkeypatch.setattr(threads, "run", store.run)
    monkeypatch.setattr(queries, "tails", store.tails_of)
    monkeypatch.setattr(queries, "journal_after", store.journal_after)
    monkeypatch.setattr(queries, "consistent_read", consistent_read)
    return store


async def followed(store: Store, *sessions: str) -> tuple[Feeds, dict[str, FrameRecorder]]:
    """Return feeds with a reader of each session, at serial 1."""

    async def join(session: str) -> None:
        pass

    found, readers = Feeds(join=join), {session: FrameRecorder() for session in sessions}
    for session, reader in readers.items():
        await found.follow(session, reader)
        found.place(session, EPOCH, 1)
        store.tails[session] = 1
    return found, readers


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_hints_that_are_late_are_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found, readers = await followed(store, "a")
    store.tails["a"] = 20
    asleep = asyncio.Event()

    async def grace(seconds: float) -> None:
        found.deliver([frame("a", 2)])
        asleep.set()

    monkeypatch.setattr(asyncio, "sleep", grace)
    await found.check_tails()
    assert asleep.is_set()
    assert store.fills == []
    found.deliver([frame("a", 3, 20)])
    assert readers["a"].serials == list(range(2, 21))


async def test_hints_that_have_stopped_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "GRACE_S", 0.0)
    found, readers = await followed(store, "a")
    found.deliver([frame("a", 2)])
    store.tails["a"] = 20
    await found.check_tails()
    await until(lambda: readers["a"].serials == list(range(2, 21)))


async def test_frames_that_arrive_during_a_read_follow_it(store: Store) -> None:
    found, readers = await followed(store, "a")
    store.tails["a"] = 5
    store.open.clear()
    found.deliver([frame("a", 5)])  # 2 to 4 were lost
    await store.reading.wait()
    for serial in range(4, 30):
        found.deliver([frame("a", serial)])
    store.open.set()
    await until(lambda: readers["a"].serials == list(range(2, 30)))
    assert len(store.fills) == 1  # with a reading for each frame that arrives meanwhile, it would never be live


async def test_a_gap_between_frames_that_arrive_during_a_read_is_filled(store: Store) -> None:
    found, readers = await followed(store, "a")
    store.tails["a"] = 5
    store.open.clear()
    found.deliver([frame("a", 5)])
    await store.reading.wait()
    store.tails["a"] = 9
    found.deliver([frame("a", 6), frame("a", 9)])
    store.open.set()
    await until(lambda: readers["a"].serials == list(range(2, 10)))
    assert len(store.fills) == 2


async def test_more_than_is_kept_during_a_read_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT_BYTES", 2 * frame("a", 6).size)
    found, readers = await followed(store, "a")
    store.tails["a"] = 5
    store.open.clear()
    found.deliver([frame("a", 5)])
    await store.reading.wait()
    store.tails["a"] = 9
    found.deliver([frame("a", serial) for serial in range(6, 10)])
    store.open.set()
    await until(lambda: readers["a"].serials == list(range(2, 10)))


async def test_gaps_of_many_sessions_take_few_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "GRACE_S", 0.0)
    sessions = [f"session-{number}" for number in range(4 * feeds.SESSIONS_AT_ONCE)]
    found, readers = await followed(store, *sessions)
    store.tails = dict.fromkeys(sessions, 7)
    await found.check_tails()
    await until(lambda: all(reader.serials == list(range(2, 8)) for reader in readers.values()))
    assert len(store.fills) <= 5  # a gap that is the first to be seen may be read alone


async def test_a_gap_that_cannot_be_filled_delays_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feeds, "GRACE_S", 0.0)
    found, readers = await followed(store, "a", "b")

    def fails(frame: Frame) -> None:
        raise RuntimeError("a reader's fault")

    monkeypatch.setattr(readers["a"], "receive", fails)
    store.tails = {"a": 5, "b": 5}
    await found.check_tails()
    await until(lambda: readers["b"].serials == [2, 3, 4, 5])
    assert "could not fill the session's gap" in caplog.text
