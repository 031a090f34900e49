"""One client's connection, on whatever transport: its attachments, what is queued for it, and what it may ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from sessions_app import catchup, conf, executor, signals
from sessions_app.core import frames
from sessions_app.core.attachment import Attachment, Frame, State, Window
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.limits import TokenBucket
from sessions_app.identity import Identity
from sessions_app.models import new_id

if TYPE_CHECKING:
    from sessions_app.process import Process

logger = logging.getLogger(__name__)

AGAIN_S = 1.0  # between two attempts to read the store for a reader that lacks something
BURST_S = 2  # seconds' worth of frames that may come at once


class Pump:
    """Sends what is queued for all connections, in one task: a commit wakes one task, not one per reader.

    A client that doesn't read holds up nobody: where sending would have to wait, a task of its own goes on with it.
    """

    def __init__(self) -> None:
        self._ready: list[Connection] = []
        self._wake = asyncio.Event()

    def add(self, connection: Connection) -> None:
        self._ready.append(connection)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            ready, self._ready = self._ready, []
            for connection in ready:
                _begin(connection, connection.flush())


def _begin(connection: Connection, work: Coroutine[Any, Any, None]) -> None:
    """Do as much as needs no waiting, and only if there is more to do make a task of it."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return
    connection.start(_go_on(work, waits_for))


async def _go_on(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _Rest(work, waits_for)


class _Rest:
    """A coroutine that has begun and waits."""

    def __init__(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, None, None]:
        yield self._waits_for
        yield from self._work.__await__()


class Connection:
    """`send` puts a frame on the wire; `close` ends the transport with a code. Time is the loop's, in seconds."""

    def __init__(
        self,
        process: Process,
        identity: Identity,
        *,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
    ) -> None:
        self.id = new_id()
        self.process = process
        self.identity = identity
        self.window = Window(conf.WINDOW_BYTES)
        self.closed = False
        self.heartbeat_at = 0.0  # when the next one is due; `process` keeps it
        self._send = send
        self._close = close
        self._queue: list[str] = []
        self._flushing = False
        self._flushed: asyncio.Future[None] | None = None  # the client's next frame waits for it
        self._followed: dict[str, Following] = {}
        self._rate = TokenBucket(conf.FRAMES_PER_SECOND, conf.FRAMES_PER_SECOND * BURST_S)
        self._tasks: set[asyncio.Task[None]] = set()

    # Out

    def queue(self, text: str) -> None:
        """Send a frame soon, after those queued before it."""
        if not self.closed:
            if not self._queue:
                self.process.pump.add(self)
            self._queue.append(text)

    async def flush(self) -> None:
        """Send what is queued. One task at a time does it, so that frames keep their order."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue:
                texts, self._queue = self._queue, []
                for text in texts:
                    if not self.closed:
                        await self._send(text)
        except Exception as error:  # whatever the server raises for a client that has gone
            logger.debug("connection %s: %s", self.id, error)
            self.leave()
        finally:
            self._flushing = False
            if self._flushed is not None and not self._flushed.done():
                self._flushed.set_result(None)

    async def drain(self) -> None:
        """Send what is queued, and wait until it is sent, whichever task does it."""
        await self.flush()
        while self._flushing:
            self._flushed = asyncio.get_running_loop().create_future()
            await self._flushed

    async def fail(self, problem: HoldfastError) -> None:
        """Tell the client why, and close."""
        self.queue(frames.error(problem))
        await self.flush()
        await self.end(problem.kind.close_code or 1000)

    async def end(self, code: int) -> None:
        """Close the transport."""
        self.leave()
        await self._close(code)

    def leave(self) -> None:
        """Let go of everything; nothing is sent any more. May be called twice."""
        self.closed = True
        self._queue.clear()
        for session in tuple(self._followed):
            self.forget(session)
        for task in self._tasks:
            task.cancel()

    def heartbeat(self) -> str:
        tails = {session: self.process.feeds.cursor(session) for session in self._followed}
        return frames.heartbeat({session: tail for session, tail in tails.items() if tail})

    def is_slow(self, now: float) -> bool:
        """Whether a session has been behind for longer than SLOW_READER_MS."""
        limit = now - conf.SLOW_READER_MS / 1000
        return any(
            following.attachment.behind_since is not None and following.attachment.behind_since < limit
            for following in self._followed.values()
        )

    # In

    async def receive(self, text: str | None, *, now: float) -> None:
        """Answer one frame of the client's; None stands for a binary message."""
        if not self._rate.take(now):
            await self.fail(HoldfastError("rate_limited", f"at most {conf.FRAMES_PER_SECOND} frames a second"))
            return
        about: dict[str, str] = {}
        try:
            if text is None:
                raise HoldfastError("bad_frame", "frames are text, not binary")
            if frames.size(text) > conf.FRAME_BYTES:
                raise HoldfastError("frame_too_large", f"at most {conf.FRAME_BYTES} bytes")
            data = frames.parse(text)
            about = frames.about(data)
            await self._answer(frames.read(data), now)
        except HoldfastError as problem:
            if problem.kind.close_code is not None:
                await self.fail(problem)
                return
            self.queue(frames.error(problem, **about))
        await self.drain()  # who doesn't read is not read either: his acknowledgements would let the queue grow

    async def _answer(self, frame: ClientFrame, now: float) -> None:
        if frame.type == "attach":
            await self._attach(frame)
        elif frame.type == "detach":
            self.forget(frame.session)
        elif frame.type == "ack":
            self._acknowledge(frame, now)
        elif frame.type == "signal":
            self.queue(await signals.accept(self.process, self.identity.owner, frame, now=now))
        elif frame.type == "ping":
            self.queue(self.heartbeat())
        else:
            raise AssertionError(f"no handler for {frame.type}")

    async def _attach(self, frame: ClientFrame) -> None:
        following = self._followed.get(frame.session)
        if following is None:
            if len(self._followed) >= conf.SESSIONS_PER_CONNECTION:
                raise HoldfastError("too_many_sessions", f"at most {conf.SESSIONS_PER_CONNECTION}")
            following = self._followed[frame.session] = Following(self, frame.session)
            await self.process.feeds.follow(frame.session, following)
        else:
            following.attachment.reattach()
        await following.catch_up(cursor=frame.cursor, rewind=frame.rewind, held=frame.held, asked=True)

    def _acknowledge(self, frame: ClientFrame, now: float) -> None:
        following = self._followed.get(frame.session)
        if following is None:
            raise HoldfastError("not_attached")
        assert frame.cursor is not None  # the table of client frames requires it
        attachment = following.attachment
        if attachment.acknowledge(frame.cursor.epoch, frame.cursor.serial, now=now):
            self.start(following.catch_up(cursor=attachment_cursor(attachment), held=frame.held))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for this connection that its next frame need not wait for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, session: str) -> None:
        """Stop following a session, if it does."""
        following = self._followed.pop(session, None)
        if following is not None:
            following.stop()
            self.process.feeds.leave(session, following)


def attachment_cursor(attachment: Attachment) -> Cursor:
    return Cursor(attachment.epoch, attachment.sent)


class Following:
    """A connection's attachment to one session, as the session's feed sees it: a `feed.Reader`."""

    __slots__ = ("owner", "attachment", "_connection", "_reading")  # there are as many as idle readers

    def __init__(self, connection: Connection, session: str) -> None:
        self.owner = connection.identity.owner
        self.attachment = Attachment(session, connection.window)
        self._connection = connection
        self._reading = 0  # which reading of the store counts: a newer attach makes an older answer void

    def take(self, frame: Frame) -> None:
        now = asyncio.get_running_loop().time()
        for ready in self.attachment.frame(frame, now=now):
            self._connection.queue(ready.text)
        if self.attachment.state is State.BEHIND:
            self._catch_up_if_drained(now)

    def lose(self) -> None:
        if self.attachment.gap(now=asyncio.get_running_loop().time()):
            self._connection.start(self.catch_up(cursor=attachment_cursor(self.attachment)))

    def end(self, problem: HoldfastError) -> None:
        session = self.attachment.session
        self._connection.forget(session)
        self._connection.queue(frames.detached(session, problem))

    def stop(self) -> None:
        self._reading += 1
        self.attachment.close()

    def catch_up(self, **how: Any) -> Coroutine[Any, Any, None]:
        """Read the store from a cursor on, send its answer and what came meanwhile, until nothing is missing.

        It counts from this call on, not from when its task begins: a client that attaches in between asks for more.
        """
        self._reading += 1
        return self._catch_up(self._reading, **how)

    async def _catch_up(self, reading: int, *, asked: bool = False, **how: Any) -> None:
        while answer := await self._read(reading, asked, how):
            again = self._hand_over(answer)
            await self._connection.flush()
            if not again:
                self._catch_up_if_drained(asyncio.get_running_loop().time())
                return
            asked, how = False, {"cursor": attachment_cursor(self.attachment)}

    async def _read(self, reading: int, asked: bool, how: dict[str, Any]) -> catchup.Answer | None:
        """Read the store; None when this reading counts no more."""
        session = self.attachment.session
        while reading == self._reading:
            try:
                answer = await executor.run(catchup.answer, session, self.owner, **how)
                return answer if reading == self._reading else None
            except HoldfastError as error:
                problem = error
            except DatabaseError as error:
                logger.error("can't read session %s: %s", session, error)
                problem = HoldfastError("storage_unavailable")
            if reading == self._reading:
                await self._fail(problem, asked)
        return None

    async def _fail(self, problem: HoldfastError, asked: bool) -> None:
        if asked:
            self._connection.forget(self.attachment.session)
            self._connection.queue(frames.error(problem, session=self.attachment.session))
        elif problem.kind.retryable:
            await asyncio.sleep(AGAIN_S)  # nobody but this attachment knows what the reader lacks
        else:
            self.end(problem)

    def _hand_over(self, answer: catchup.Answer) -> bool:
        """Queue an answer and what came meanwhile; return whether the store must be read again."""
        connection = self._connection
        connection.process.feeds.place(self.attachment.session, answer.epoch, answer.serial)
        connection.queue(answer.text)
        released, again = self.attachment.caught_up(
            epoch=answer.epoch,
            serial=answer.serial,
            size=frames.size(answer.text),
            now=asyncio.get_running_loop().time(),
        )
        for frame in released:
            connection.queue(frame.text)
        return again

    def _catch_up_if_drained(self, now: float) -> None:
        # A frame that is larger than the whole window leaves a reader behind that has nothing to acknowledge.
        if self.attachment.state is State.BEHIND and self.attachment.read_if_drained(now=now):
            self._connection.start(self.catch_up(cursor=attachment_cursor(self.attachment)))
