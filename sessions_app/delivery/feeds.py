"""Feeds: one per followed session and process, however many readers it has here.

A feed checks that serials have no gap, fills gaps from the database, and passes each frame to every reader. Frames come
from this process's log writer, the channel layer or the database; only the database is authoritative, the others are
hints.

A process that has more to do than it can gets its hints late, all of them. Filling must not cost it more than they do,
or it never gets level again: gaps are filled many at once, frames that arrive meanwhile are kept, and a session whose
hints still come is late and not in need of the database.
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

# Seconds after which a committed frame counts as lost; before that it may still be on its way.
GRACE_S = 0.2
SESSIONS_AT_ONCE = 50  # whose gaps are filled by one read: one takes about a millisecond
KEPT_BYTES = 65_536  # of frames that a session gets while its gap is being filled; further ones are read

logger = logging.getLogger(__name__)

Found = tuple[queries.Tail | None, list[tuple[int, str]]]


class Reader(Protocol):
    """A feed's reader: one client's attachment to one session, on any transport."""

    owner: str

    def receive(self, frame: Frame) -> None:
        """Handle the next frame. Must not block."""

    def resync(self) -> None:
        """Catch up from the database: frames were lost and no longer exist as frames."""

    def end(self, problem: HoldfastError) -> None:
        """End the attachment: the session can no longer be read."""


class Feed:
    """One session's readers, and the serial up to which they have received frames."""

    __slots__ = ("session", "epoch", "last", "tail", "readers", "filling", "kept")

    def __init__(self, session: str) -> None:
        self.session = session
        self.epoch = ""
        self.last = 0
        self.tail = 0  # the highest known serial; above `last` while a gap is being filled
        self.readers: set[Reader] = set()
        self.filling = False
        self.kept: list[Frame] = []  # that have come while filling

    @property
    def cursor(self) -> str:
        """The tail as a cursor; empty while unknown."""
        return f"{self.epoch}-{self.tail}" if self.epoch else ""

    def place(self, epoch: str, serial: int) -> None:
        """Set the position from a reader's first read. Ignored once the feed has a position."""
        if not self.epoch:
            self.epoch, self.last, self.tail = epoch, serial, max(self.tail, serial)

    def offer(self, frame: Frame) -> bool:
        """Pass the next frame to the readers. Return True if there is a gap before it."""
        if not self.epoch:
            # All readers are still reading the database. They keep the frame, and drop it if their read includes it.
            self.place(frame.epoch, frame.first - 1)
        if self.filling:
            self._keep(frame)
            return False
        if frame.epoch != self.epoch:
            return True
        self.tail = max(self.tail, frame.last)
        if frame.first > self.last + 1:
            return True
        if frame.last > self.last:
            self.last = frame.last
            for reader in tuple(self.readers):
                reader.receive(frame)
        return False

    def _keep(self, frame: Frame) -> None:
        if frame.epoch == self.epoch:
            self.tail = max(self.tail, frame.last)
        if sum(kept.size for kept in self.kept) + frame.size <= KEPT_BYTES:
            self.kept.append(frame)

    def filled(self) -> bool:
        """Pass on what was kept, now that the gap is filled. Return True if there is another gap."""
        kept, self.kept, self.filling = self.kept, [], False
        # All of them, also after a gap: the read that fills it begins after they have come.
        return any([self.offer(frame) for frame in kept])


class Feeds:
    """All feeds of a process. `join` is called before a session's first reader reads the database."""

    def __init__(self, join: Callable[[str], Awaitable[None]]) -> None:
        self._feeds: dict[str, Feed] = {}
        self._join = join
        self._gaps: list[Feed] = []  # to be filled
        self._filler: asyncio.Task[None] | None = None

    async def follow(self, session: str, reader: Reader) -> Feed:
        """Add a reader. It receives frames from now on, so a read of the database that follows leaves no gap."""
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
        """Pass frames to this process's readers; drop frames of sessions without any."""
        for frame in frames_:
            feed = self._feeds.get(frame.session)
            if feed is not None and feed.offer(frame):
                self._start_filling(feed)

    def place(self, session: str, epoch: str, serial: int) -> None:
        """Set a new feed's position: a reader has read the database up to here."""
        feed = self._feeds.get(session)
        if feed is not None:
            feed.place(epoch, serial)

    def cursor(self, session: str) -> str:
        """Return the session's tail as known in this process, or an empty string."""
        feed = self._feeds.get(session)
        return feed.cursor if feed else ""

    async def check_tails(self) -> None:
        """Compare every followed session with the database, to find lost hints, including the last one."""
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
            self._end(feed.readers, HoldfastError("not_found", "it was deleted or has expired"))
            return
        self._end({reader for reader in feed.readers if reader.owner != tail.owner}, HoldfastError("not_found"))
        if feed.filling:
            return
        feed.tail = max(feed.tail, tail.serial)
        # Frames that have come since, without a gap, show that the others are on their way.
        is_behind = tail.serial > feed.last and feed.last <= delivered
        # A tail below the frames already delivered means that an older database was restored.
        if tail.epoch != feed.epoch or is_behind or tail.serial < delivered:
            self._start_filling(feed)

    def _end(self, readers: Iterable[Reader], problem: HoldfastError) -> None:
        for reader in tuple(readers):
            reader.end(problem)

    def _start_filling(self, feed: Feed) -> None:
        if not feed.filling:
            feed.filling = True
            self._gaps.append(feed)
            if self._filler is None or self._filler.done():
                self._filler = asyncio.create_task(self._fill_gaps())

    async def _fill_gaps(self) -> None:
        while self._gaps:
            feeds, self._gaps = self._gaps[:SESSIONS_AT_ONCE], self._gaps[SESSIONS_AT_ONCE:]
            try:
                found = await threads.run(_read, {feed.session: feed.last for feed in feeds})
            except Exception:
                # The next tail check finds the gaps again.
                logger.exception("could not fill the gaps of %d sessions", len(feeds))
                found = {}
            for feed in feeds:
                self._fill(feed, found.get(feed.session))

    def _fill(self, feed: Feed, found: Found | None) -> None:
        """Fill a gap from the journal; if that is conflated already, make every reader catch up."""
        is_again = False
        try:
            if found is not None and self._feeds.get(feed.session) is feed:
                before = feed.epoch, feed.last
                self._apply(feed, *found)
                is_again = feed.last < feed.tail and (feed.epoch, feed.last) != before
                if (feed.epoch, feed.last) == before:
                    feed.tail = feed.last  # a hint was ahead of the database, which is authoritative
        except Exception:
            logger.exception("could not fill the session's gap", extra={"session": feed.session})
        if feed.filled() or (is_again and feed.last < feed.tail):
            self._start_filling(feed)

    def _apply(self, feed: Feed, tail: queries.Tail | None, rows: list[tuple[int, str]]) -> None:
        if tail is None:
            self._end(feed.readers, HoldfastError("not_found", "it was deleted or has expired"))
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
                reader.receive(
                    frames.events(session=feed.session, epoch=feed.epoch, first=first, last=feed.last, texts=texts)
                )
            else:
                reader.resync()


def _read(after: dict[str, int]) -> dict[str, Found]:
    """Return, for each session, its tail and what the journal holds after a serial."""
    with queries.consistent_read():
        tails = queries.tails(after)
        return {session: (tails.get(session), queries.journal_after(session, last)) for session, last in after.items()}
