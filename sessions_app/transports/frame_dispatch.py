"""Frame dispatch: passes each frame of a WebSocket client to the part of the process that handles it."""

from __future__ import annotations

import asyncio

from django.db import DatabaseError

from sessions_app import conf
from sessions_app.auth.lookups import identify_by_token
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.limits import TokenBucket
from sessions_app.core.wire_types import FrameReference
from sessions_app.delivery.connection import Connection
from sessions_app.event_log.commands import AppendResult
from sessions_app.process import Process
from sessions_app.publishing.producers import serial_of
from sessions_app.transports.sockets import keep_pace
from sessions_app.workers.remote_workers import ASKED

MAX_PUBLISHING = 64  # batches of one connection that may wait to be stored, 4 MB at most
BURST_S = 2  # seconds' worth of frames that may arrive at once


class FrameDispatch:
    """Dispatcher of one connection's frames. Times are the event loop's, in seconds."""

    __slots__ = (
        "connection",
        "_process",
        "_publishing",
        "_published",
        "_is_paced",
        "_rate",
    )  # one instance per idle socket

    def __init__(self, process: Process, connection: Connection) -> None:
        self.connection = connection
        self._process = process
        self._publishing = 0  # batches not yet stored
        self._published: asyncio.Event | None = None  # set when one of them is stored
        # A publisher that exceeds its rate is slowed down; any other client is closed.
        grant = connection.identity.grant
        self._is_paced = grant is not None and grant.is_backend
        rate = conf.settings.publishes_per_second if self._is_paced else conf.settings.frames_per_second
        self._rate = TokenBucket(rate, rate * BURST_S)

    async def receive(self, text: str | None, *, now: float) -> None:
        """Handle one frame of the client; None stands for a binary message."""
        connection = self.connection
        while not self._rate.take(now):
            if not self._is_paced:
                await connection.fail(
                    HoldfastError("rate_limited", f"at most {conf.settings.frames_per_second} frames a second")
                )
                return
            await asyncio.sleep(self._rate.wait_s)
            now = asyncio.get_running_loop().time()
        if not self._is_paced:  # a publisher has a rate of its own, which is far higher
            await keep_pace(connection.payer)
        connection.heard_at = now
        about: FrameReference = {}
        try:
            if text is None:
                raise HoldfastError("bad_frame", "frames must be text, not binary")
            if frames.size(text) > conf.settings.frame_bytes:
                raise HoldfastError("frame_too_large", f"at most {conf.settings.frame_bytes} bytes")
            data = frames.parse(text)
            about = frames.about(data)
            await self._dispatch(frames.read(data), now)
        except HoldfastError as problem:
            if problem.kind.close_code is not None:
                await connection.fail(problem)
                return
            connection.queue(frames.error(problem, **about))
        # Don't read from a client that doesn't read: replies to its frames would let the queue grow.
        await connection.drain()

    async def _dispatch(self, frame: ClientFrame, now: float) -> None:
        connection = self.connection
        if frame.type == "attach":
            await connection.attach(frame)
        elif frame.type == "detach":
            connection.forget(frame.session)
        elif frame.type == "ack":
            connection.acknowledge(frame, now)
        elif frame.type == "signal":
            intake = self._process.signal_intake
            receipt, _ = await intake.accept(connection.identity, frame, address=connection.address)
            connection.queue(receipt)
        elif frame.type == "ping":
            connection.queue(connection.heartbeat())
        elif frame.type == "authenticate":
            await self._authenticate(frame.token)
        elif frame.type == "publish":
            await self._publish(frame)
        elif frame.type == "beat":
            await self._process.producers.beat(connection.identity, frame)
        elif frame.type == "claim":
            await self._process.workers.claim(connection, frame)
        elif frame.type in ASKED:
            connection.queue(await self._process.workers.ask(connection.identity, frame))
        else:
            raise AssertionError(f"no handler for {frame.type}")

    async def _authenticate(self, token: str) -> None:
        """Switch to a new token of the same identity."""
        connection = self.connection
        if connection.identity.grant is None:
            raise HoldfastError(
                "bad_frame", "this connection is authenticated by cookies; open another one with the token"
            )
        try:
            identity = await identify_by_token(token)
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        assert identity.grant is not None  # it comes from a token
        if identity.owner != connection.identity.owner:
            raise HoldfastError("bad_token", "`sub` is not this connection's identity")
        connection.act_as(identity)
        connection.queue(frames.authenticated(identity.grant.expires_at * 1000))

    async def _publish(self, frame: ClientFrame) -> None:
        """Submit a batch; the reply is sent once it is stored. Wait while MAX_PUBLISHING are unstored."""
        while self._publishing >= MAX_PUBLISHING:
            self._published = asyncio.Event()
            await self._published.wait()

        def on_result(outcome: AppendResult | HoldfastError) -> None:
            self._publishing -= 1
            if self._published is not None:
                self._published.set()
            self._reply(frame, outcome)

        publisher = self._process.claimed_batches if frame.run else self._process.producers
        await publisher.submit(self.connection.identity, frame, on_result)
        self._publishing += 1

    def _reply(self, batch: ClientFrame, outcome: AppendResult | HoldfastError) -> None:
        connection = self.connection
        try:
            connection.queue(frames.published(batch, serial_of(outcome)))
        except HoldfastError as problem:
            connection.queue(frames.error(problem, session=batch.session, id=batch.message, sequence=batch.sequence))
            if problem.kind.close_code is not None:
                connection.host.spawn(connection.finish(problem.kind.close_code))
