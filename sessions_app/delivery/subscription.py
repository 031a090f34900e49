"""Subscription: one client's attachment to one session. Joins the feed, the database and the connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from django.db import DatabaseError

from sessions_app.core import frames
from sessions_app.core.attachment import Attachment, Frame, State, Window
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.delivery import catchup
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Work
from sessions_app.fairness.answers import Bill
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

RETRY_S = 1.0  # between two attempts to read the database


class Subscriber(Protocol):
    """Interface of the connection that a subscription belongs to."""

    window: Window
    delivered: int  # bytes of live frames since they were last charged

    def turn(self, *, is_patient: bool) -> AbstractAsyncContextManager[Bill]:
        """Wait for this payer's turn to be answered; see `Answers.turn`."""

    def queue(self, text: str) -> None:
        """Queue a frame; frames are sent in order."""

    async def flush(self) -> None:
        """Send the queued frames."""

    def start(self, work: Work) -> None:
        """Run work in a background task that ends with the connection."""

    def forget(self, session: str) -> None:
        """End the subscription to a session."""

    def finish_if_done(self) -> None:
        """Finish a connection that follows no session."""


class Subscription:
    """A connection's attachment to one session; implements `feeds.Reader`."""

    # One instance per idle reader.
    __slots__ = ("owner", "attachment", "with_replaced", "_connection", "_feeds", "_reading")

    def __init__(self, connection: Subscriber, session: str, *, owner: str, feeds: Feeds) -> None:
        self.owner = owner
        self.attachment = Attachment(session, connection.window)
        self.with_replaced = False  # whether the client has asked for replaced messages
        self._connection = connection
        self._feeds = feeds
        self._reading = 0  # number of the current read; a newer attach invalidates older reads

    @property
    def cursor(self) -> Cursor:
        """The position after the last frame sent."""
        return Cursor(self.attachment.epoch, self.attachment.sent)

    def receive(self, frame: Frame) -> None:
        if self.attachment.takes(frame):
            self._pass_on(frame)
        elif self.attachment.misses(frame):
            self.resync()
        else:
            now = asyncio.get_running_loop().time()
            for ready in self.attachment.frame(frame, now=now):
                self._pass_on(ready)
            if self.attachment.state is State.BEHIND:
                self._catch_up_if_drained(now)

    def resync(self) -> None:
        if self.attachment.gap(now=asyncio.get_running_loop().time()):
            self._connection.start(self.catch_up(cursor=self.cursor))

    def end(self, problem: HoldfastError) -> None:
        session = self.attachment.session
        self._connection.forget(session)
        self._connection.queue(frames.detached(session, problem))
        self._connection.finish_if_done()

    def stop(self) -> None:
        self._reading += 1
        self.attachment.close()

    def acknowledge(self, cursor: Cursor, *, held: frames.Held | None, now: float) -> None:
        """Handle an acknowledgement: the client has applied everything up to a cursor. Sends more if it was behind."""
        if self.attachment.acknowledge(cursor.epoch, cursor.serial, now=now):
            self._connection.start(self.catch_up(cursor=self.cursor, held=held))

    def catch_up(
        self,
        *,
        cursor: Cursor | None,
        rewind: int | None = None,
        held: frames.Held | None = None,
        asked: bool = False,
    ) -> Work:
        """Read the database from a cursor, send the result and the frames received meanwhile, until none is missing.

        The read is current from this call on, not from the start of its task, so that an attach in between supersedes
        it. With `asked`, the client's own request, errors are raised.
        """
        self._reading += 1
        return self._catch_up(self._reading, asked, self._reader(cursor, rewind, held))

    def _reader(
        self, cursor: Cursor | None, rewind: int | None = None, held: frames.Held | None = None
    ) -> Callable[[], catchup.CatchUp]:
        session = self.attachment.session
        read = partial(catchup.read_encoded, session, self.owner, with_replaced=self.with_replaced)
        return partial(read, cursor=cursor, rewind=rewind, held=held)

    async def _catch_up(self, reading: int, asked: bool, read: Callable[[], catchup.CatchUp]) -> None:
        while result := await self._read(reading, asked, read):
            again = self._send_result(result)
            result = None  # free it: it may be large, and `flush` may wait for long
            await self._connection.flush()
            if not again:
                self._catch_up_if_drained(asyncio.get_running_loop().time())
                return
            asked, read = False, self._reader(self.cursor)

    async def _read(self, reading: int, asked: bool, read: Callable[[], catchup.CatchUp]) -> catchup.CatchUp | None:
        """Read the database. Return None if a newer read has superseded this one."""
        session = self.attachment.session
        while reading == self._reading:
            try:
                async with self._connection.turn(is_patient=not asked) as bill:
                    if reading != self._reading:
                        return None
                    with metrics.catchup_seconds.time(), tracing.span("catch-up", session=session) as span:
                        result = await bill.read(read)
                        size = frames.size(result.text)
                        bill.charge(size)
                        span.set_attribute("holdfast.bytes", size)
                return result if reading == self._reading else None
            except HoldfastError as error:
                problem = error
            except DatabaseError as error:
                logger.error("can't read the session: %s", error, extra={"session": session})
                problem = HoldfastError("storage_unavailable")
            if reading == self._reading:
                await self._fail(problem, asked)
        return None

    async def _fail(self, problem: HoldfastError, asked: bool) -> None:
        if asked:
            self._connection.forget(self.attachment.session)
            raise problem
        if problem.kind.retryable:
            await asyncio.sleep(RETRY_S)  # must retry here: only this attachment knows what the reader lacks
        else:
            self.end(problem)

    def _send_result(self, result: catchup.CatchUp) -> bool:
        """Queue the result and the frames received meanwhile. Return True if another read is needed."""
        self._feeds.place(self.attachment.session, result.epoch, result.serial)
        self._connection.queue(result.text)
        released, again = self.attachment.caught_up(
            epoch=result.epoch,
            serial=result.serial,
            size=frames.size(result.text),
            now=asyncio.get_running_loop().time(),
        )
        for frame in released:
            self._pass_on(frame)
        return again

    def _pass_on(self, frame: Frame) -> None:
        self._connection.queue(frame.text)
        self._connection.delivered += frame.size
        metrics.delivered.events += frame.last - frame.first + 1
        metrics.delivered.bytes += frame.size

    def _catch_up_if_drained(self, now: float) -> None:
        # A frame larger than the whole window leaves the reader behind with nothing to acknowledge.
        if self.attachment.state is State.BEHIND and self.attachment.read_if_drained(now=now):
            self._connection.start(self.catch_up(cursor=self.cursor))
