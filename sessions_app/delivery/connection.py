"""A client's connection, on any transport: its subscriptions and the frames queued for it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Literal, Protocol

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.attachment import State, Window
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.delivery import catchup
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher
from sessions_app.delivery.subscription import Subscription
from sessions_app.models import new_id

logger = logging.getLogger(__name__)

Transport = Literal["websocket", "stream", "poll", "upload"]

FAREWELL_S = 1.0  # for what is still to be sent to a client when its connection ends
HTTP_HEARTBEAT_MS = 15_000  # at most, over HTTP: there is no ping that would keep proxies from cutting an idle stream


class Host(Protocol):
    """The part of a process that its connections use."""

    feeds: Feeds
    flusher: Flusher

    def spawn(self, ending: Coroutine[None, None, None]) -> None:
        """End a connection in a task that isn't its own."""


class Connection:
    """`send` puts frames on the wire and returns when the transport has taken them; `close` ends it with a code.

    Time is the loop's, in seconds.
    """

    def __init__(
        self,
        host: Host,
        identity: Identity,
        *,
        send: Callable[[list[str]], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        transport: Transport = "websocket",
    ) -> None:
        self.id = new_id()
        self.host = host
        self.identity = identity
        self.transport = transport
        self.window = Window(conf.settings.window_bytes)
        self.closed = False
        self.told = ""  # why it ends: the code of the error, or "going_away"
        self.heartbeat_ms = (
            conf.settings.heartbeat_ms
            if transport == "websocket"
            else min(conf.settings.heartbeat_ms, HTTP_HEARTBEAT_MS)
        )
        self.heartbeat_at = 0.0  # when the next one is due; the registry keeps it
        self.ends_at = math.inf  # when its time is over; likewise
        self.heard_at = -math.inf  # when its client's last frame came
        self._send = send
        self._close = close
        self._queue: list[str] = []
        self._flushing = False
        self._flushed: asyncio.Event | None = None  # what must come after it waits for it
        self._finishing = False
        self._follows_all = False  # it attached to all that it ever will
        self._followed: dict[str, Subscription] = {}
        self._tasks: list[asyncio.Task[None]] = []  # mostly none: an empty set takes 160 bytes more

    # Out

    def queue(self, text: str) -> None:
        """Send a frame soon, after those queued before it."""
        if not self.closed:
            if not self._queue:
                self.host.flusher.add(self)
            self._queue.append(text)

    async def flush(self) -> None:
        """Send what is queued. One task at a time does it, so that frames keep their order."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue:
                texts, self._queue = self._queue, []
                # Over HTTP there is no `ack`: what its transport has taken counts as acknowledged.
                sent = self._in_flight() if self.transport == "stream" else []
                await self._send(texts)
                self._land(sent)
        except Exception as error:  # whatever the server raises for a client that has gone
            logger.debug("connection %s: %s", self.id, error)
            self.leave()
        finally:
            self._flushing = False
            if self._flushed is not None:
                self._flushed.set()
                self._flushed = None

    async def drain(self) -> None:
        """Send what is queued, and wait until it is sent, whichever task does it."""
        await self.flush()
        while self._flushing:
            self._flushed = self._flushed or asyncio.Event()
            await self._flushed.wait()

    def greet(self) -> None:
        """Queue the first frame."""
        self.queue(
            frames.encode(
                {
                    "type": "connected",
                    "connection": self.id,
                    "transport": self.transport,
                    "actor": self.identity.owner,
                    "heartbeat_ms": self.heartbeat_ms,
                    "recovery_window_ms": conf.settings.recovery_window_ms,
                    "limits": {
                        "frame_bytes": conf.settings.frame_bytes,
                        "window_bytes": conf.settings.window_bytes,
                        "ack_bytes": conf.settings.ack_bytes,
                        "ack_ms": conf.settings.ack_ms,
                        "sessions": conf.settings.sessions_per_connection,
                    },
                }
            )
        )

    async def fail(self, problem: HoldfastError) -> None:
        """Tell the client why, and close."""
        self.told = problem.code
        self.queue(frames.error(problem))
        await self.finish(problem.kind.close_code or 1000)

    async def send_away(self, reconnect_in_ms: int) -> None:
        """Tell the client when to come back, and close."""
        self.go_away(reconnect_in_ms)
        await self.finish(1000)

    def go_away(self, reconnect_in_ms: int) -> None:
        """Tell the client when to come back."""
        self.told = "going_away"
        self.queue(frames.going_away(reconnect_in_ms))

    async def finish(self, code: int = 1000) -> None:
        """Close the transport when what is queued is sent; who doesn't read doesn't get it."""
        if self._finishing:
            return
        self._finishing = True
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self.drain()
        except TimeoutError:
            logger.debug("connection %s reads no farewell", self.id)
        await self.end(code)

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
        tails = {session: self.host.feeds.cursor(session) for session in self._followed}
        return frames.heartbeat({session: tail for session, tail in tails.items() if tail})

    def is_slow(self, now: float) -> bool:
        """Whether a session has been behind for longer than SLOW_READER_MS."""
        limit = now - conf.settings.slow_reader_ms / 1000
        return any(
            subscription.attachment.behind_since is not None and subscription.attachment.behind_since < limit
            for subscription in self._followed.values()
        )

    @property
    def state(self) -> str:
        """What it is at, for who operates the server; of many sessions, what the slowest is at."""
        states = {subscription.attachment.state for subscription in self._followed.values()}
        slowest = [state.value for state in (State.BEHIND, State.CATCHING_UP, State.LIVE) if state in states]
        return "closing" if self.told else [*slowest, "idle"][0]

    def idle_s(self, now: float) -> float:
        """Seconds since a frame that is known of: the last heartbeat, or the last that the client sent."""
        return now - max(self.heartbeat_at - self.heartbeat_ms / 1000, self.heard_at)

    # In

    def act_as(self, identity: Identity) -> None:
        """Go on with a fresh identity of the same owner. Sessions that it may not read any more are detached."""
        self.identity = identity
        for session, subscription in tuple(self._followed.items()):
            try:
                identity.check("read", session)
            except HoldfastError as problem:
                subscription.end(problem)

    async def attach(self, frame: ClientFrame) -> Cursor:
        """Begin to follow a session, or anew. Return the cursor of what is sent for it; raise what refuses it."""
        self.identity.check("read", frame.session)
        subscription = self._followed.get(frame.session)
        if subscription is None:
            if len(self._followed) >= conf.settings.sessions_per_connection:
                raise HoldfastError("too_many_sessions", f"at most {conf.settings.sessions_per_connection}")
            subscription = Subscription(self, frame.session, owner=self.identity.owner, feeds=self.host.feeds)
            self._followed[frame.session] = subscription
            await self.host.feeds.follow(frame.session, subscription)
        else:
            subscription.attachment.reattach()
        await subscription.catch_up(catchup.Start(frame.cursor, frame.rewind, frame.held), asked=True)
        return subscription.cursor

    async def follow(self, attaches: Sequence[ClientFrame]) -> None:
        """Attach to these sessions, to each when the client has taken what the one before brought; then to no more."""
        for frame in attaches:
            try:
                await self.attach(frame)
            except HoldfastError as problem:
                self.queue(frames.error(problem, session=frame.session))
            await self.drain()
        self._follows_all = bool(attaches)  # one that never had a session shows that the transport works
        self.finish_if_done()

    def finish_if_done(self) -> None:
        """End a connection that follows nothing more and can't be asked for more."""
        if self._follows_all and not self._followed:
            self.host.spawn(self.finish())

    def acknowledge(self, frame: ClientFrame, now: float) -> None:
        """Take the client's word for what it has applied. Raises not_attached."""
        subscription = self._followed.get(frame.session)
        if subscription is None:
            raise HoldfastError("not_attached")
        assert frame.cursor is not None  # the table of client frames requires it
        subscription.acknowledge(frame.cursor, held=frame.held, now=now)

    def _in_flight(self) -> list[tuple[Subscription, Cursor]]:
        return [
            (subscription, subscription.cursor)
            for subscription in self._followed.values()
            if subscription.attachment.in_flight
        ]

    def _land(self, sent: list[tuple[Subscription, Cursor]]) -> None:
        now = asyncio.get_running_loop().time() if sent else 0.0
        for subscription, cursor in sent:
            if self._followed.get(subscription.attachment.session) is subscription:
                subscription.acknowledge(cursor, held=None, now=now)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Do something for this connection that its next frame need not wait for."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def forget(self, session: str) -> None:
        """Stop subscription a session, if it does."""
        subscription = self._followed.pop(session, None)
        if subscription is not None:
            subscription.stop()
            self.host.feeds.leave(session, subscription)
