"""The feeds of one process: one per followed session, whatever number of readers it has here.

A feed checks that serials have no hole, mends holes from the store, and hands each frame to every reader. Where
frames come from (this process's log_writer, the channel layer, the store) makes no difference: all are hints but the
store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from sessions_app.core import frames
from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.telemetry import metrics

# What was committed a moment ago is on its way as a frame: only what hasn't come after so many seconds was lost.
GRACE_S = 0.2

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """One client's attachment to one session, on whatever transport."""

    owner: str

    def take(self, frame: Frame) -> None:
        """Take the next frame. Must not block."""

    def lose(self) -> None:
        """Frames were lost that can't be had as frames any more: catch up from the store."""

    def end(self, problem: HoldfastError) -> None:
        """The session can't be read any more."""


class Feed:
    """One session's readers, and the serial up to which they have been given frames."""

    __slots__ = ("session", "epoch", "last", "tail", "readers", "mending")

    def __init__(self, session: str) -> None:
        self.session = session
        self.epoch = ""
        self.last = 0
        self.tail = 0  # the highest serial heard of; above `last` while a hole is being mended
        self.readers: set[Reader] = set()
        self.mending = False

    @property
    def cursor(self) -> str:
        """The tail as a cursor; empty while nothing is known."""
        return f"{self.epoch}-{self.tail}" if self.epoch else ""

    def place(self, epoch: str, serial: int) -> None:
        """A reader has read the store up to here. Only a feed that knows nothing needs to be told."""
        if not self.epoch:
            self.epoch, self.last, self.tail = epoch, serial, max(self.tail, serial)

    def offer(self, frame: Frame) -> bool:
        """Pass a frame on if it continues; return whether there is a hole before it."""
        if not self.epoch:
            # All readers are still reading the store: they keep the frame and drop it if it is in what they read.
            self.place(frame.epoch, frame.first - 1)
        if frame.epoch != self.epoch:
            return True
        self.tail = max(self.tail, frame.last)
        if frame.first > self.last + 1 or self.mending:
            return frame.last > self.last
        if frame.last > self.last:
            self.last = frame.last
            for reader in tuple(self.readers):
                reader.take(frame)
        return False


class Feeds:
    """All feeds of a process. `join` is called before a session's first reader reads the store."""

    def __init__(self, join: Callable[[str], Awaitable[None]]) -> None:
        self._feeds: dict[str, Feed] = {}
        self._join = join
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self, session: str, reader: Reader) -> Feed:
        """Add a reader. Frames reach it from now on, so that what it then reads in the store leaves no hole."""
        feed = self._feeds.get(session)
        if feed is None:
            feed = self._feeds[session] = Feed(session)
        feed.readers.add(reader)
        await self._join(session)
        return feed

    def leave(self, session: str, reader: Reader) -> None:
        """Remove a reader, and the feed with its last one."""
        feed = self._feeds.get(session)
        if feed is not None:
            feed.readers.discard(reader)
            if not feed.readers:
                del self._feeds[session]

    def deliver(self, frames_: Iterable[Frame]) -> None:
        """Hand frames to the readers here. What nobody follows here is dropped."""
        for frame in frames_:
            feed = self._feeds.get(frame.session)
            if feed is not None and feed.offer(frame):
                self._mend_soon(feed)

    def place(self, session: str, epoch: str, serial: int) -> None:
        """A reader has read the store up to here."""
        feed = self._feeds.get(session)
        if feed is not None:
            feed.place(epoch, serial)

    def cursor(self, session: str) -> str:
        """The session's tail as far as it is known here."""
        feed = self._feeds.get(session)
        return feed.cursor if feed else ""

    async def check_tails(self) -> None:
        """Compare every followed session with the store: this finds the hints that were lost, and the last ones."""
        followed = [session for session, feed in self._feeds.items() if feed.epoch]
        if not followed:
            return
        delivered = {session: self._feeds[session].last for session in followed}
        tails = await threads.run(queries.tails, followed)
        if any(self._is_ahead(tail, session) for session, tail in tails.items()):
            await asyncio.sleep(GRACE_S)
        for session in followed:
            feed = self._feeds.get(session)
            if feed is not None:
                self._check(feed, tails.get(session), delivered[session])

    def _is_ahead(self, tail: queries.Tail, session: str) -> bool:
        feed = self._feeds.get(session)
        return feed is not None and tail.serial > feed.last

    def _check(self, feed: Feed, tail: queries.Tail | None, delivered: int) -> None:
        if tail is None:
            self._end(feed.readers, HoldfastError("not_found", "It was deleted or has expired."))
            return
        self._end({reader for reader in feed.readers if reader.owner != tail.owner}, HoldfastError("not_found"))
        feed.tail = max(feed.tail, tail.serial)
        # Less than was delivered before the look: the database is an older one, which was restored.
        if tail.epoch != feed.epoch or tail.serial > feed.last or tail.serial < delivered:
            self._mend_soon(feed)

    def _end(self, readers: Iterable[Reader], problem: HoldfastError) -> None:
        for reader in tuple(readers):
            reader.end(problem)

    def _mend_soon(self, feed: Feed) -> None:
        if not feed.mending:
            feed.mending = True
            task = asyncio.create_task(self._mend(feed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _mend(self, feed: Feed) -> None:
        """Fill a hole from the journal; where that is conflated already, let every reader catch up by itself."""
        try:
            while self._feeds.get(feed.session) is feed:
                before = feed.epoch, feed.last
                tail, rows = await threads.run(_read, feed.session, feed.last)
                self._fill(feed, tail, rows)
                if (feed.epoch, feed.last) == before:
                    feed.tail = feed.last  # a hint told of what isn't in the store: the store is right
                if feed.last >= feed.tail:
                    break
        except Exception:
            # The next check of the tails finds the hole again.
            logger.exception("could not mend the session", extra={"session": feed.session})
        finally:
            feed.mending = False

    def _fill(self, feed: Feed, tail: queries.Tail | None, rows: list[tuple[int, str]]) -> None:
        if tail is None:
            self._end(feed.readers, HoldfastError("not_found", "It was deleted or has expired."))
            feed.last = feed.tail
            return
        continues = tail.epoch == feed.epoch and tail.serial >= feed.last
        whole = continues and [serial for serial, _ in rows] == list(range(feed.last + 1, tail.serial + 1))
        if tail.epoch != feed.epoch:
            feed.tail = 0
        first, feed.epoch, feed.last = feed.last + 1, tail.epoch, max(tail.serial, 0)
        feed.tail = max(feed.tail, feed.last)
        if whole and not rows:
            return
        (metrics.gaps_by_frames if whole else metrics.gaps_by_state).inc()
        texts = [text for _, text in rows]
        for reader in tuple(feed.readers):
            if whole:
                reader.take(
                    frames.events(session=feed.session, epoch=feed.epoch, first=first, last=feed.last, texts=texts)
                )
            else:
                reader.lose()


def _read(session: str, after: int) -> tuple[queries.Tail | None, list[tuple[int, str]]]:
    with queries.consistent_read():
        return queries.tails([session]).get(session), queries.journal_after(session, after)
