"""Server lifecycle: hooks at the start and the stop of a server, the same under Daphne and under ASGI's lifespan."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sessions_app import conf
from sessions_app.core.asgi_types import Receive, Scope, Send

logger = logging.getLogger(__name__)

StartHook = Callable[[], Awaitable[object]]
DrainHook = Callable[[float], Awaitable[object]]
Farewell = Callable[[float], Awaitable[object]]
_start_hooks: list[StartHook] = []
_drain_hooks: list[DrainHook] = []
_farewells: list[Farewell] = []


def on_start(hook: StartHook) -> None:
    """Has `hook()` awaited once, in the server's loop, before the first connection; if it raises, the server stops."""
    _start_hooks.append(hook)


def on_drain(hook: DrainHook) -> None:
    """Has `hook(deadline)` awaited when the server stops, sockets still open; it is cancelled at `deadline`.

    That is DRAIN_MS away, in seconds of `time.monotonic`.
    """
    _drain_hooks.append(hook)


def on_farewell(hook: Farewell) -> None:
    """Has `hook(seconds)` awaited after the drain to close sockets, spread over so long, under servers but Daphne.

    Uvicorn closes all of them at once, and doesn't wait for an answer: what the client had sent meanwhile resets the
    connection, and the client never sees why.
    """
    _farewells.append(hook)


async def start() -> None:
    for hook in _start_hooks:
        await hook()


async def drain() -> None:
    deadline = time.monotonic() + conf.settings.drain_ms / 1000
    running = {asyncio.ensure_future(hook(deadline)): hook for hook in _drain_hooks}
    if not running:
        return
    done, late = await asyncio.wait(running, timeout=conf.settings.drain_ms / 1000)
    for task in done:
        if not task.cancelled() and task.exception():
            logger.error("%s failed while the server stopped", running[task], exc_info=task.exception())
    for task in late:
        logger.warning("%s was not done within HOLDFAST_DRAIN_MS", running[task])
        task.cancel()


async def drain_and_close() -> None:
    await drain()
    for hook in _farewells:
        await hook(conf.settings.drain_ms / 1000)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Runs the hooks under servers that speak ASGI's lifespan protocol, which Daphne does not."""
    await receive()
    try:
        await start()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": repr(error)})
        raise
    draining = drain_at_signals()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await draining()
    await send({"type": "lifespan.shutdown.complete"})


def drain_at_signals() -> Callable[[], asyncio.Task[None]]:
    """Has a signal to stop reach the server only when `drain` is through; returns what drains without a signal, once.

    Uvicorn would close all sockets at once, maybe before they are told when to come back, and tells the application
    when all responses have ended, while a stream ends by draining. A second signal reaches it at once.
    """
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    def begin() -> asyncio.Task[None]:
        if not tasks:
            tasks.append(loop.create_task(drain_and_close()))
        return tasks[0]

    def stop(number: int) -> None:
        own = servers_own[signal.Signals(number)]
        if tasks:
            own(number, None)
        else:
            begin().add_done_callback(lambda _: own(number, None))

    def told(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(stop, number)

    is_main = threading.current_thread() is threading.main_thread()  # no other is told of signals
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    servers_own = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in servers_own:
        signal.signal(number, told)
    return begin
