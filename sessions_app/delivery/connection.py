"""A client's connection, on any transport: its subscriptions and the frames queued for it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.attachment import State, Window
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.delivery.feeds import Feeds
from sessions_app.delivery.flusher import Flusher, Work
from sessions_app.delivery.subscription import Subscription
from sessions_app.fairness import rates
from sessions_app.fairness.answers import LEAST_BYTES, WAIT_S, Answers, Bill
from sessions_app.fairness.payer import Payer, payer_of
from sessions_app.models import new_id

logger = logging.getLogger(__name__)

Transport = Literal["websocket", "stream", "poll", "upload"]

# Of an answer's price: a live frame is encoded once for all, and costs a system call for each reader.
LIVE_SHARE = 4
FAREWELL_S = 1.0  # timeout for sending the remaining frames when a connection ends
HTTP_HEARTBEAT_MS = 15_000  # maximum over HTTP, where no pings keep proxies from cutting an idle stream


class Host(Protocol):
    """Interface of a process as its connections use it."""

    feeds: Feeds
    flusher: Flusher
    answers: Answers

    def spawn(self, ending: Work) -> None:
        """Run the end of a connection in a task of its own."""


class Connection:
    """A client's connection.

    `send` writes frames and returns when the transport has accepted them; `close` ends the connection with a code.
    `address` is the key of the client's (`addresses.client_key`), which limits count by. `is_silent`: its client sends
    no `ack`, as over HTTP. Times are the event loop's, in seconds.
    """

    def __init__(
        self,
        host: Host,
        identity: Identity,
        *,
        send: Callable[[list[str]], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        transport: Transport = "websocket",
        address: str = "",
        is_silent: bool = False,
    ) -> None:
        self.id = new_id()
        self.host = host
        self.identity = identity
        self.address = address
        self.transport = transport
        self.window = Window(conf.settings.window_bytes)
        self.delivered = 0  # bytes of live frames since they were last charged
        self.closed = False
        self.end_reason = ""  # an error code, or "going_away"
        self.heartbeat_ms = (
            conf.settings.heartbeat_ms
            if transport == "websocket"
            else min(conf.settings.heartbeat_ms, HTTP_HEARTBEAT_MS)
        )
        self.heartbeat_at = 0.0  # time of the next heartbeat; set by the registry
        self.ends_at = math.inf  # end of its maximum lifetime; set by the registry
        self.heard_at = -math.inf  # time of the client's last frame
        self._is_silent = is_silent or transport == "stream"
        self._send = send
        self._close = close
        self._queue: list[str] = []
        self._flushing = False
        self._flushed: asyncio.Event | None = None  # set at the end of the current flush
        self._finishing = False
        self._follows_all = False  # no further attaches will come
        self._followed: dict[str, Subscription] = {}
        self._tasks: list[asyncio.Task[None]] = []  # a list: mostly empty, and an empty set takes 160 bytes more

    # Outgoing frames

    def queue(self, text: str) -> None:
        """Queue a frame; frames are sent in order."""
        if not self.closed:
            if not self._queue:
                self.host.flusher.add(self)
            self._queue.append(text)

    async def flush(self) -> None:
        """Send the queue. Only one task at a time does, so frames keep their order."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._queue:
                texts, self._queue = self._queue, []
                # Without `ack`, frames that the transport has accepted count as acknowledged.
                sent = self._in_flight() if self._is_silent else []
                await self._send(texts)
                self._land(sent)
        except Exception as error:  # servers raise different errors for a client that has gone
            logger.debug("connection %s: %s", self.id, error)
            self.leave()
        finally:
            self._flushing = False
            if self._flushed is not None:
                self._flushed.set()
                self._flushed = None

    async def drain(self) -> None:
        """Send the queue and wait until it is sent, also if another task is sending."""
        await self.flush()
        while self._flushing:
            self._flushed = self._flushed or asyncio.Event()
            await self._flushed.wait()

    def greet(self) -> None:
        """Queue the `connected` frame."""
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
        """Send an error frame and close."""
        self.end_reason = problem.code
        self.queue(frames.error(problem))
        await self.finish(problem.kind.close_code or 1000)

    async def send_away(self, reconnect_in_ms: int) -> None:
        """Send a `going-away` frame and close."""
        self.go_away(reconnect_in_ms)
        await self.finish(1000)

    def go_away(self, reconnect_in_ms: int) -> None:
        """Queue a `going-away` frame."""
        self.end_reason = "going_away"
        self.queue(frames.going_away(reconnect_in_ms))

    async def finish(self, code: int = 1000) -> None:
        """Close the transport once the queue is sent, or after FAREWELL_S for a client that doesn't read."""
        if self._finishing:
            return
        self._finishing = True
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self.drain()
        except TimeoutError:
            logger.debug("connection %s did not read its last frames", self.id)
        await self.end(code)

    async def end(self, code: int) -> None:
        """Close the transport."""
        self.leave()
        await self._close(code)

    def leave(self) -> None:
        """Release everything and stop sending. Idempotent."""
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
        """Return True if a subscription has been behind for longer than SLOW_READER_MS."""
        for subscription in self._followed.values():  # no generator: every idle connection is asked every second
            since = subscription.attachment.behind_since
            if since is not None and since < now - conf.settings.slow_reader_ms / 1000:
                return True
        return False

    @property
    def state(self) -> str:
        """State for operators: the slowest subscription's state, "idle" or "closing"."""
        states = {subscription.attachment.state for subscription in self._followed.values()}
        slowest = [state.value for state in (State.BEHIND, State.CATCHING_UP, State.LIVE) if state in states]
        return "closing" if self.end_reason else [*slowest, "idle"][0]

    def idle_s(self, now: float) -> float:
        """Seconds since the last known frame: a heartbeat, or a frame of the client."""
        return now - max(self.heartbeat_at - self.heartbeat_ms / 1000, self.heard_at)

    @property
    def payer(self) -> Payer:
        """The person and the address that this connection's frames and answers are counted for."""
        return payer_of(self.identity, self.address)

    async def pay_for_opening(self) -> None:
        """Charge for a handshake as for an attach. In debt it takes up to WAIT_S: no loop opens sockets faster."""
        payer = self.payer
        in_debt_s = rates.wait("answer", payer)
        rates.spend("answer", payer, LEAST_BYTES)
        if in_debt_s:  # else the answer to the handshake and the first frame are one packet
            await asyncio.sleep(min(in_debt_s, WAIT_S))

    def charge_delivered(self) -> None:
        """Charge for live frames. In debt none are sent: subscriptions fall behind, and get their state in turns."""
        if self.delivered or not self.window.limit:
            payer = self.payer
            rates.spend("answer", payer, self.delivered / LIVE_SHARE)
            self.delivered = 0
            self.window.limit = 0 if rates.wait("answer", payer) else conf.settings.window_bytes

    def turn(self, *, is_patient: bool) -> AbstractAsyncContextManager[Bill]:
        """Wait for this payer's turn to be answered; see `Answers.turn`."""
        return self.host.answers.turn(self.payer, is_patient=is_patient)

    # Requests of the client

    def act_as(self, identity: Identity) -> None:
        """Switch to a new identity of the same owner; detach from sessions that it may not read."""
        self.identity = identity
        for session, subscription in tuple(self._followed.items()):
            try:
                identity.check("read", session)
            except HoldfastError as problem:
                subscription.end(problem)

    async def attach(self, frame: ClientFrame) -> Cursor:
        """Attach to a session, or reattach. Return the cursor after the reply. Raises HoldfastError if refused."""
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
        subscription.with_replaced = frame.replaced
        await subscription.catch_up(cursor=frame.cursor, rewind=frame.rewind, held=frame.held, asked=True)
        return subscription.cursor

    async def follow(self, attaches: Sequence[ClientFrame]) -> None:
        """Attach to these sessions one by one, each after the previous reply is sent. No further attaches follow."""
        for frame in attaches:
            try:
                await self.attach(frame)
            except HoldfastError as problem:
                self.queue(frames.error(problem, session=frame.session))
            await self.drain()
        self._follows_all = bool(attaches)  # a connection without sessions only probes the transport
        self.finish_if_done()

    def finish_if_done(self) -> None:
        """Finish a connection that follows no session and gets no further attaches."""
        if self._follows_all and not self._followed:
            self.host.spawn(self.finish())

    def acknowledge(self, frame: ClientFrame, now: float) -> None:
        """Handle an `ack` frame. Raises not_attached."""
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

    def start(self, work: Work) -> None:
        """Run work in a background task that ends with the connection."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def forget(self, session: str) -> None:
        """End the subscription to a session, if there is one."""
        subscription = self._followed.pop(session, None)
        if subscription is not None:
            subscription.stop()
            self.host.feeds.leave(session, subscription)
