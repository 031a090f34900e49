"""One agent's process and its site: many answers over one link, again and again until each batch is stored."""

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
from agents_app.remote.links import Frame, HttpLink, Link, LinkLost, SocketLink
from sessions_app.core.errors import ERRORS, HoldfastError
from sessions_app.publishing.response_writer import Ticker

logger = logging.getLogger(__name__)

ROLLUP_MS = 40
BEAT_S = 3.0  # below a third of the site's lease, which is 10 s unless it says otherwise
PATIENCE_S = 300.0  # how long a batch is tried before its answer is given up
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0
AT_ONCE = 48  # batches on their way: below the 64 that a site takes of one connection before it waits
HTTP_S = 60.0  # after which a WebSocket is tried again
TOKEN_LIFE = 0.7  # of a token's life, after which it is replaced by a fresh one

Token = str | Callable[[], Awaitable[str]]


class Fenced(HoldfastError):
    """Somebody else has ended the answer, or this producer has begun a later epoch: stop publishing it."""


class Publisher:
    """Publishes to a site's sessions. To be used with `async with`.

    `token`: one with the scope `publish`, or what gives a fresh one. `producer`: whoever this process is, 8 to 64
    characters of A-Z a-z 0-9 _ -; its next process with the same name fences it, and what it left open is interrupted.
    `epoch`: how that one is known to be the next; the time unless it is given. `beat_s`: below a third of the site's
    HOLDFAST_LEASE_MS.
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
        self._url = url.rstrip("/")
        self._token = token
        self._who = {
            "producer": producer or secrets.token_urlsafe(12),
            "epoch": time.time_ns() // 1_000_000 if epoch is None else epoch,
        }
        self._beat_s = beat_s
        self._rollup_ms = rollup_ms
        self._problem: HoldfastError | None = None  # why nothing more can be published
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._ticker = Ticker(asyncio.get_running_loop(), self._rollup_ms)
        self._link: Link | None = None
        self._changed = asyncio.Condition()  # another link, or none
        self._room = asyncio.Semaphore(AT_ONCE)
        self._fresh_at = 0.0  # when another token is needed
        self._keeping = asyncio.create_task(self._keep_linked())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once. What was flushed is stored; an answer that is left open ends when its lease has run out."""
        tasks = {self._keeping, *self._tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def answer(self, session: str, *, uid: str = "") -> RemoteAnswer:
        """Return what to write an answer with. `uid`: the id of its message, m_…, a new one unless it is given."""
        return RemoteAnswer(self.respond(session, uid=uid))

    def respond(self, session: str, *, uid: str = "") -> RemoteResponse:
        """Return what to write a response with, chunk by chunk."""
        uid = uid or f"m_{secrets.token_urlsafe(16)}"
        return RemoteResponse(session, uid, ticker=self._ticker, submit=self._submit)

    # Batches

    def _submit(self, response: RemoteResponse) -> None:
        task = asyncio.create_task(self._deliver(response))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, response: RemoteResponse) -> None:
        """Send a batch until it is answered: a repeat counts once."""
        frame = {
            "session": response.session, "message": response.uid, "sequence": response.sequence,
            "chunks": response.batch, **self._who,
        }  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._answer(frame)
        except TimeoutError:
            answer = {"type": "error", "code": "storage_unavailable", "message": "The site can't be reached"}
        except HoldfastError as problem:
            answer = {"type": "error", **problem.as_dict()}
        if answer["type"] == "published":
            response.take(answer["serial"])
        else:
            response.refuse(_problem(answer))

    async def _answer(self, frame: Frame) -> Frame:
        pause_s = RETRY_FIRST_S
        while True:
            link = await self._linked()
            try:
                async with self._room:
                    answer = await link.publish(frame)
            except LinkLost as lost:
                logger.debug("batch %s of %s: %s", frame["sequence"], frame["message"], lost)
                answer = {"code": "", "retryable": True}
            if not (answer.get("retryable") or answer.get("code") == "token_expired"):
                return answer
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _linked(self) -> Link:
        """Wait for a link. Raises HoldfastError if there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._link is not None or self._problem is not None)
        if self._problem is not None:
            raise self._problem
        assert self._link is not None  # it was waited for
        return self._link

    # The link

    async def _keep_linked(self) -> None:
        """Have a link while this publisher is used, and show on it that the producer lives."""
        pause_s = RETRY_FIRST_S
        while self._problem is None:
            try:
                link = await self._connect()
            except LinkLost as lost:
                logger.info("%s can't be reached: %s", self._url, lost)
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, RETRY_MOST_S)
                continue
            if link is None:
                continue
            pause_s = RETRY_FIRST_S
            try:
                await self._use(link)
            finally:
                await link.close()

    async def _connect(self) -> Link | None:
        """Return a link; None if the site refused one, which `_take_refusal` has seen to. Raises LinkLost."""
        token = await self._current_token()
        try:
            opened: Link | Frame = await SocketLink.open(self._url, token)
        except LinkLost as lost:
            logger.debug("no WebSocket: %s", lost)
            opened = await HttpLink.open(self._url, token, self._who)
        if isinstance(opened, dict):
            await self._take_refusal(opened)
            return None
        return opened

    async def _use(self, link: Link) -> None:
        await self._change(link)
        beating = asyncio.create_task(self._beat(link))
        until = HTTP_S if isinstance(link, HttpLink) else None
        try:
            async with asyncio.timeout(until):
                error = await link.closed()
        except TimeoutError:  # perhaps there is a WebSocket by now
            error = {}
        finally:
            beating.cancel()
            await self._change(None)
        if error:
            await self._take_refusal(error)

    async def _change(self, link: Link | None) -> None:
        async with self._changed:
            self._link = link
            self._changed.notify_all()

    async def _beat(self, link: Link) -> None:
        with suppress(LinkLost):
            while True:
                await link.beat(self._who)
                await asyncio.sleep(self._beat_s)
                if time.time() >= self._fresh_at:
                    await link.authenticate(await self._current_token())
        await link.close()

    async def _take_refusal(self, error: Frame) -> None:
        """Give up for good, or wait a little."""
        expired = error["code"] == "token_expired" and not isinstance(self._token, str)
        if expired:
            self._fresh_at = 0.0
        elif not error["retryable"]:
            self._problem = _problem(error)
            await self._change(None)
            return
        await asyncio.sleep(random.uniform(0, 2 * RETRY_FIRST_S))

    # The token

    async def _current_token(self) -> str:
        if isinstance(self._token, str):
            self._fresh_at = float("inf")
            return self._token
        try:
            token = await self._token()
            self._fresh_at = time.time() + TOKEN_LIFE * _life_s(token)
        except Exception as error:  # whatever it is made of
            raise LinkLost(f"there is no token: {error!r}") from error
        return token


def _life_s(token: str) -> float:
    """For how long a token is valid from now on, as it says itself."""
    payload = token.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"] - time.time())


def _problem(error: Frame) -> HoldfastError:
    """The failure that an error's frame tells of; a code that this version doesn't know is the site's own matter."""
    kind = Fenced if error["code"] == "fenced" else HoldfastError
    return kind.stored(error["code"] if error["code"] in ERRORS else "internal", error["message"])
