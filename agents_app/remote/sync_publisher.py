"""A publisher for code without asyncio: Flask, Celery, scripts. Its event loop runs in a thread of its own.

with SyncPublisher("https://chat.example", token=TOKEN) as publisher:
    with publisher.answer(session) as answer:
        answer.text("Hello")
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from agents_app.backend import Arguments
from agents_app.remote.answer import RemoteAnswer, RemoteResponse
from agents_app.remote.publisher import BEAT_S, ROLLUP_MS, Publisher, check_name
from agents_app.remote.publisher import Token as AsyncToken
from agents_app.sync_answer import Do, SyncAnswer, SyncCall
from sessions_app.core.wire_types import Chunk

T = TypeVar("T")

CLOSE_S = 10.0  # for the thread to end, which may be asking for a token or an address

Token = str | Callable[[], str]


class PublisherClosed(RuntimeError):
    """The publisher was closed, or its process is a fork of the one that opened it."""


class SyncPublisher:
    """A publisher whose verbs block until they are done. Many threads may share it, each with answers of its own.

    The options are `Publisher`'s; `token` may be a plain function, which is called in a thread. It connects when it is
    first used, and `close`, the end of its `with` block or the interpreter's exit ends it. A process forked afterwards
    can't use it (PublisherClosed); one that is forked before connects by itself, and needs another `producer`.
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
        self._make: Callable[[], Publisher] = lambda: Publisher(
            url, token=_awaitable(token), producer=producer, epoch=epoch, rollup_ms=rollup_ms, beat_s=beat_s
        )
        self._process = 0  # that has opened it
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[Future[Any]] = set()  # verbs under way
        self._closed = False

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, session: str, *, uid: str = "") -> SyncRemoteAnswer:
        """Return an answer to write; see `Publisher.answer`."""
        return SyncRemoteAnswer(self._in_loop(lambda publisher: publisher.answer(session, uid=uid)), self._do)

    def respond(self, session: str, *, uid: str = "") -> SyncResponse:
        """Return a response to write chunk by chunk."""
        return SyncResponse(self._in_loop(lambda publisher: publisher.respond(session, uid=uid)), self._do)

    def close(self) -> None:
        """Stop at once, as `Publisher` does at its end: flushed chunks are stored. Verbs under way raise."""
        if self._process not in (0, os.getpid()):  # a fork: the thread is the other process's
            return
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._closing.set)
            thread.join(CLOSE_S)
            atexit.unregister(self.close)

    # The thread

    def _open(self) -> asyncio.AbstractEventLoop:
        """Return the loop, after its start at the first call. Raises PublisherClosed."""
        if self._process not in (0, os.getpid()):  # before the lock, which a thread may have held at the fork
            raise PublisherClosed("this publisher was opened before the process was forked: make one in each process")
        self._process = os.getpid()
        with self._lock:
            if self._closed:
                raise PublisherClosed("this publisher is closed")
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=self._run, args=(started,), name="publisher", daemon=True)
                self._thread.start()
                self._loop = started.result()
                atexit.register(self.close)
            return self._loop

    def _run(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._publish(started))
        except BaseException as problem:
            if started.done():
                raise
            started.set_exception(problem)
        finally:
            with self._lock:
                self._closed = True
                waiting = tuple(self._waiting)
            for future in waiting:  # those that the loop hasn't heard of
                future.cancel()

    async def _publish(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._closing = asyncio.Event()
        async with self._make() as self._publisher:
            started.set_result(asyncio.get_running_loop())
            await self._closing.wait()

    # Verbs

    def _do(self, verb: Callable[[], Awaitable[T]]) -> T:
        """Have a verb done in the loop, and wait for it. An exception here, such as Ctrl-C's, cancels it."""

        async def done() -> T:
            return await verb()

        loop = self._open()
        with self._lock:
            if self._closed:
                raise PublisherClosed("this publisher is closed")
            future = asyncio.run_coroutine_threadsafe(done(), loop)
            self._waiting.add(future)
        try:
            return future.result()
        except CancelledError:
            raise PublisherClosed("this publisher was closed meanwhile") from None
        finally:
            future.cancel()
            self._waiting.discard(future)

    def _in_loop(self, make: Callable[[Publisher], T]) -> T:
        async def made() -> T:
            return make(self._publisher)

        return self._do(made)


class SyncRemoteAnswer(SyncAnswer):
    """An answer for `with publisher.answer(session) as answer:`; it begins and ends with the block."""

    def __init__(self, answer: RemoteAnswer, do: Do) -> None:
        super().__init__(answer, do)
        self._remote = answer
        self.uid = answer.uid

    def __enter__(self) -> Self:
        self._do(self._remote.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(lambda: self._remote.__aexit__(kind, error, trace))
        except PublisherClosed:
            if error is None:  # else the caller gets the block's own problem
                raise

    def step(self) -> None:
        """Begin the next step, as agents do after each call of the model."""
        self._do(self._remote.step)

    def tool(self, name: str, arguments: Arguments, *, title: str | None = None) -> SyncCall:
        """Write a tool call and return it: it takes its output."""
        return SyncCall(self._do(lambda: self._remote.tool(name, arguments, title=title)), self._do)


class SyncResponse:
    """A response that is written chunk by chunk: see `RemoteResponse`."""

    def __init__(self, response: RemoteResponse, do: Do) -> None:
        self.session = response.session
        self.uid = response.uid
        self._response = response
        self._do = do

    def write(self, chunk: Chunk) -> None:
        """Add one chunk."""
        self._do(lambda: self._response.write(chunk))

    def flush(self) -> None:
        """Wait until everything written is stored."""
        self._do(self._response.flush)

    def close(self, chunk: Chunk) -> None:
        """End the response with this chunk."""
        self._do(lambda: self._response.close(chunk))


def _awaitable(token: Token) -> AsyncToken:
    if isinstance(token, str):
        return token

    async def fresh() -> str:
        return await asyncio.to_thread(token)

    return fresh
