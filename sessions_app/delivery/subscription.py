"""A subscription: one client's attachment to one session, between the session's feed, the store and the connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Protocol

from django.db import DatabaseError

from sessions_app.core import frames
from sessions_app.core.attachment import Attachment, Frame, State, Window
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.delivery import catchup
from sessions_app.delivery.feeds import Feeds
from sessions_app.telemetry import metrics, tracing

logger = logging.getLogger(__name__)

AGAIN_S = 1.0  # between two attempts to read the store for a reader that lacks something


class Subscriber(Protocol):
    """The connection that a subscription belongs to."""

    window: Window

    def queue(self, text: str) -> None:
        """Send a frame soon, after those queued before it."""

    async def flush(self) -> None:
        """Send what is queued."""

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Do something in a task that ends with the connection."""

    def forget(self, session: str) -> None:
        """Stop following a session."""

    def finish_if_done(self) -> None:
        """End a connection that follows nothing more."""


class Subscription:
    """A connection's attachment to one session, as the session's feed sees it: a `feeds.Reader`."""

    __slots__ = ("owner", "attachment", "_connection", "_feeds", "_reading")  # there are as many as idle readers

    def __init__(self, connection: Subscriber, session: str, *, owner: str, feeds: Feeds) -> None:
        self.owner = owner
        self.attachment = Attachment(session, connection.window)
        self._connection = connection
        self._feeds = feeds
        self._reading = 0  # which reading of the store counts: a newer attach makes an older answer void

    @property
    def cursor(self) -> Cursor:
        """After the last of what was sent."""
        return Cursor(self.attachment.epoch, self.attachment.sent)

    def take(self, frame: Frame) -> None:
        if self.attachment.misses(frame):
            self.lose()
            return
        now = asyncio.get_running_loop().time()
        for ready in self.attachment.frame(frame, now=now):
            self._pass_on(ready)
        if self.attachment.state is State.BEHIND:
            self._catch_up_if_drained(now)

    def lose(self) -> None:
        if self.attachment.gap(now=asyncio.get_running_loop().time()):
            self._connection.start(self.catch_up(catchup.Start(self.cursor)))

    def end(self, problem: HoldfastError) -> None:
        session = self.attachment.session
        self._connection.forget(session)
        self._connection.queue(frames.detached(session, problem))
        self._connection.finish_if_done()

    def stop(self) -> None:
        self._reading += 1
        self.attachment.close()

    def acknowledge(self, cursor: Cursor, *, held: frames.Held | None, now: float) -> None:
        """The client has applied everything up to a cursor: if it was behind, it may now be given more."""
        if self.attachment.acknowledge(cursor.epoch, cursor.serial, now=now):
            self._connection.start(self.catch_up(catchup.Start(self.cursor, held=held)))

    def catch_up(self, start: catchup.Start, *, asked: bool = False) -> Coroutine[None, None, None]:
        """Read the store from a cursor on, send its answer and what came meanwhile, until nothing is missing.

        It counts from this call on, not from when its task begins: a client that attaches in between asks for more.
        `asked`: by the client, and what refuses it is raised.
        """
        self._reading += 1
        return self._catch_up(self._reading, start, asked)

    async def _catch_up(self, reading: int, start: catchup.Start, asked: bool) -> None:
        while answer := await self._read(reading, start, asked):
            again = self._hand_over(answer)
            answer = None  # it may be large, and `flush` may wait for long
            await self._connection.flush()
            if not again:
                self._catch_up_if_drained(asyncio.get_running_loop().time())
                return
            start, asked = catchup.Start(self.cursor), False

    async def _read(self, reading: int, start: catchup.Start, asked: bool) -> catchup.CatchUp | None:
        """Read the store; None when this reading counts no more."""
        session = self.attachment.session
        while reading == self._reading:
            try:
                with metrics.catchup_seconds.time(), tracing.span("catch-up", session=session) as span:
                    answer = await threads.run(catchup.answer, session, self.owner, start)
                    span.set_attribute("holdfast.bytes", frames.size(answer.text))
                return answer if reading == self._reading else None
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
            await asyncio.sleep(AGAIN_S)  # nobody but this attachment knows what the reader lacks
        else:
            self.end(problem)

    def _hand_over(self, answer: catchup.CatchUp) -> bool:
        """Queue an answer and what came meanwhile; return whether the store must be read again."""
        self._feeds.place(self.attachment.session, answer.epoch, answer.serial)
        self._connection.queue(answer.text)
        released, again = self.attachment.caught_up(
            epoch=answer.epoch,
            serial=answer.serial,
            size=frames.size(answer.text),
            now=asyncio.get_running_loop().time(),
        )
        for frame in released:
            self._pass_on(frame)
        return again

    def _pass_on(self, frame: Frame) -> None:
        self._connection.queue(frame.text)
        metrics.delivered.events += frame.last - frame.first + 1
        metrics.delivered.bytes += frame.size

    def _catch_up_if_drained(self, now: float) -> None:
        # A frame that is larger than the whole window leaves a reader behind that has nothing to acknowledge.
        if self.attachment.state is State.BEHIND and self.attachment.read_if_drained(now=now):
            self._connection.start(self.catch_up(catchup.Start(self.cursor)))
