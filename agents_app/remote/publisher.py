"""The publisher: many answers over one connection to a site, each batch repeated until it is stored."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import orjson

from agents_app.remote.answer import RemoteAnswer, RemoteResponse
from agents_app.remote.beats import BeatThread
from agents_app.remote.transports import Frame, HttpTransport, PublisherTransport, TransportLost, WebSocketTransport
from sessions_app.core.errors import ERRORS, HoldfastError
from sessions_app.core.frames import SIGNAL_ID
from sessions_app.publishing.ticker import Ticker

logger = logging.getLogger(__name__)

ROLLUP_MS = 40
ROLLUP_MOST_MS = 150  # from a text until the site has stored it, under load
BEAT_S = 3.0  # below a third of the site's lease, which is 10 s unless it says otherwise
PATIENCE_S = 300.0  # how long a batch is repeated before its answer is given up
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0
AT_ONCE = 48  # batches in flight: below the 64 that a site takes from one connection before it waits
HTTP_S = 60.0  # over HTTP, before a WebSocket is tried again
TOKEN_LIFE = 0.7  # of a token's life, after which it is replaced by a fresh one

Token = str | Callable[[], Awaitable[str]]


class Fenced(HoldfastError):
    """The answer was ended by another, or the producer has begun a later epoch: stop publishing it."""


def check_name(producer: str) -> None:
    """Raise ValueError for a name that no site takes; an empty one is replaced by a random one."""
    if producer and not SIGNAL_ID.match(producer):
        raise ValueError(f"a producer's or worker's name is 8 to 64 of A-Z a-z 0-9 _ -, not {producer[:80]!r}")


class Publisher:
    """A producer that publishes to a site's sessions. Use it with `async with`.

    `token`: one with the scope `publish`, or an async function that returns a fresh one. `producer`: this process's
    name, 8 to 64 characters of A-Z a-z 0-9 _ -; the next process with the same name fences this one, and the answers
    that it left open are interrupted. `epoch`: higher in the next process; the current time by default. `beat_s`: below
    a third of the site's HOLDFAST_LEASE_MS.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token,
        producer: str = "",
        epoch: int | None = None,
        rollup_ms: int = ROLLUP_MS,
        beat_s: float = BEAT_S,
    ) -> None:
        check_name(producer)
        self._url = url.rstrip("/")
        self._token = token
        self._who = {
            "producer": producer or secrets.token_urlsafe(12),
            "epoch": time.time_ns() // 1_000_000 if epoch is None else epoch,
        }
        self._beat_s = beat_s
        self._rollup_ms = rollup_ms
        self._problem: HoldfastError | None = None  # why nothing more can be published, once nothing can
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._ticker = Ticker(asyncio.get_running_loop(), self._rollup_ms, ROLLUP_MOST_MS, distant=True)
        self._transport: PublisherTransport | None = None
        self._changed = asyncio.Condition()  # another transport, or none
        self._room = asyncio.Semaphore(AT_ONCE)
        self._fresh_at = 0.0  # when another token is needed, by the monotonic clock
        self._beats = BeatThread(self._url, self._who, self._beat_s)
        self._keeping = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once. Flushed chunks are stored; an answer left open is interrupted when the lease runs out."""
        self._beats.stop()
        tasks = {self._keeping, *self._tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def answer(self, session: str, *, uid: str = "") -> RemoteAnswer:
        """Return an answer to write. `uid`: the id of its message, m_…; a new one by default."""
        return RemoteAnswer(self.respond(session, uid=uid))

    def respond(self, session: str, *, uid: str = "") -> RemoteResponse:
        """Return a response to write chunk by chunk."""
        uid = uid or f"m_{secrets.token_urlsafe(16)}"
        return RemoteResponse(session, uid, ticker=self._ticker, submit=self._submit)

    # Batches

    def _submit(self, response: RemoteResponse) -> None:
        task = asyncio.create_task(self._deliver(response))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, response: RemoteResponse) -> None:
        """Send a batch until it is answered. Repeats are stored once."""
        frame = {
            "session": response.session, "message": response.uid, "sequence": response.sequence,
            "chunks": response.batch, **response.fields(), **self._who,
        }  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._answer(lambda transport: transport.publish(frame))
        except TimeoutError:
            answer = {"type": "error", "code": "storage_unavailable", "message": "The site can't be reached."}
        except HoldfastError as problem:
            answer = {"type": "error", **problem.as_dict()}
        if answer["type"] == "published":
            response.take(answer["serial"])
        else:
            response.refuse(problem_of(answer))

    async def _answer(self, send: Callable[[PublisherTransport], Awaitable[Frame]]) -> Frame:
        """Send a frame until it is answered."""
        pause_s = RETRY_FIRST_S
        while True:
            transport = await self._current_transport()
            try:
                async with self._room:
                    answer = await send(transport)
            except TransportLost as lost:
                logger.debug("a frame to %s was not answered: %s", self._url, lost)
                answer = {"code": "", "retryable": True}
            if not (answer.get("retryable") or answer.get("code") == "token_expired"):
                return answer
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _current_transport(self) -> PublisherTransport:
        """Wait for an open transport. Raises HoldfastError if none can be opened any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._transport is not None or self._problem is not None)
        if self._problem is not None:
            raise self._problem
        assert self._transport is not None  # it was waited for
        return self._transport

    # The transport

    async def _keep_connected(self) -> None:
        """Keep a transport open while this publisher is used, and beat on it: the producer's sign of life."""
        pause_s = RETRY_FIRST_S
        while self._problem is None:
            try:
                transport = await self._connect()
            except TransportLost as lost:
                logger.info("%s can't be reached: %s", self._url, lost)
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
                # A site that has just come back counts a lease from its start: be there within a beat.
                pause_s = min(2 * pause_s, self._beat_s)
                continue
            if transport is None:
                continue
            pause_s = RETRY_FIRST_S
            try:
                await self._use(transport)
            finally:
                await transport.close()

    async def _connect(self) -> PublisherTransport | None:
        """Return an open transport; None if the site refused, after `_handle_refusal`. Raises TransportLost."""
        opened = await self._open(await self._current_token())
        if isinstance(opened, dict):
            await self._handle_refusal(opened)
            return None
        return opened

    async def _open(self, token: str) -> PublisherTransport | Frame:
        try:
            return await WebSocketTransport.open(self._url, token)
        except TransportLost as lost:
            logger.debug("no WebSocket: %s", lost)
        return await HttpTransport.open(self._url, token, self._who)

    async def _use(self, transport: PublisherTransport) -> None:
        await self._change(transport)
        beating = asyncio.create_task(self._beat(transport))
        limit_s = HTTP_S if isinstance(transport, HttpTransport) else None
        try:
            async with asyncio.timeout(limit_s):
                error = await transport.closed()
        except TimeoutError:  # a WebSocket may get through by now
            error = {}
        finally:
            beating.cancel()
            await self._change(None)
        if error:
            await self._handle_refusal(error)

    async def _change(self, transport: PublisherTransport | None) -> None:
        async with self._changed:
            self._transport = transport
            self._changed.notify_all()

    async def _beat(self, transport: PublisherTransport) -> None:
        with suppress(TransportLost):
            while True:
                await transport.beat(self._who)
                await asyncio.sleep(self._beat_s)
                if time.monotonic() >= self._fresh_at:
                    await transport.authenticate(await self._current_token())
        await transport.close()

    async def _handle_refusal(self, error: Frame) -> None:
        """Give up for good, or wait briefly before the next attempt."""
        expired = error["code"] == "token_expired" and not isinstance(self._token, str)
        if expired:
            self._fresh_at = 0.0
        elif not error["retryable"]:
            self._problem = problem_of(error)
            await self._change(None)
            return
        await asyncio.sleep(random.uniform(0, 2 * RETRY_FIRST_S))

    # The token

    async def _current_token(self) -> str:
        if isinstance(self._token, str):
            self._fresh_at = float("inf")
            self._beats.token = self._token
            return self._token
        try:
            token = await self._token()
            self._fresh_at = time.monotonic() + TOKEN_LIFE * _life_s(token)
        except Exception as error:  # the application's own function
            raise TransportLost(f"no token: {error!r}") from error
        self._beats.token = token
        return token


def _life_s(token: str) -> float:
    """Return for how many seconds a token is still valid, by its own claims: this machine's clock may be wrong."""
    payload = token.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    whole = float(claims["exp"] - claims["iat"])
    left = float(claims["exp"] - time.time())
    return left if 0 < left < whole else whole


def problem_of(error: Frame) -> HoldfastError:
    """Return an error frame's failure. A code that this version doesn't know counts as `internal`."""
    kind = Fenced if error["code"] == "fenced" else HoldfastError
    return kind.stored(error["code"] if error["code"] in ERRORS else "internal", error["message"])
