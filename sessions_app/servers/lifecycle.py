"""Server lifecycle: start and stop hooks, the same under Daphne and under ASGI's lifespan protocol."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType

from sessions_app import conf
from sessions_app.core.asgi_types import Receive, Scope, Send

logger = logging.getLogger(__name__)

StartHook = Callable[[], Awaitable[object]]
DrainHook = Callable[[float], Awaitable[object]]
Farewell = Callable[[float], Awaitable[object]]
_start_hooks: list[StartHook] = []
_drain_hooks: list[DrainHook] = []
_farewells: list[Farewell] = []
_last_hooks: list[StartHook] = []


def on_start(hook: StartHook) -> None:
    """Await `hook()` once, in the server's loop, before the first connection. If it raises, the server stops."""
    _start_hooks.append(hook)


def on_drain(hook: DrainHook) -> None:
    """Await `hook(deadline)` when the server stops, while sockets are still open. It is cancelled at `deadline`.

    The deadline is DRAIN_MS away, in seconds of `time.monotonic`.
    """
    _drain_hooks.append(hook)


def on_farewell(hook: Farewell) -> None:
    """Await `hook(seconds)` after the drain, to close sockets spread over this time. Not used under Daphne.

    Uvicorn closes all sockets at once and doesn't wait for an answer. Data that a client has sent meanwhile resets the
    connection, and the client never sees the reason.
    """
    _farewells.append(hook)


def on_stopped(hook: StartHook) -> None:
    """Await `hook()` at the end of a clean stop, when no request writes any more."""
    _last_hooks.append(hook)


def has_hooks() -> bool:
    """Return whether the application is mounted, which adds hooks."""
    return bool(_start_hooks)


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
        logger.warning("%s did not finish within HOLDFAST_DRAIN_MS", running[task])
        task.cancel()


async def drain_and_close() -> None:
    await drain()
    for hook in _farewells:
        await hook(conf.settings.drain_ms / 1000)


async def finish() -> None:
    for hook in _last_hooks:
        try:
            await hook()
        except Exception:
            logger.exception("%s failed while the server stopped", hook)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Run the hooks under servers that support ASGI's lifespan protocol, which Daphne doesn't."""
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
    await finish()
    await send({"type": "lifespan.shutdown.complete"})


def drain_at_signals() -> Callable[[], asyncio.Task[None]]:
    """Delay stop signals until `drain` is done. Return a function that drains without a signal, once.

    Otherwise uvicorn would close all sockets at once, maybe before they are told when to reconnect; and it notifies the
    application only after all responses have ended, while a stream ends only by draining. A second signal reaches the
    server immediately.
    """
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    def begin() -> asyncio.Task[None]:
        if not tasks:
            tasks.append(loop.create_task(drain_and_close()))
        return tasks[0]

    def stop(number: int) -> None:
        handler = server_handlers[signal.Signals(number)]
        if tasks:
            handler(number, None)
        else:
            begin().add_done_callback(lambda _: handler(number, None))

    def on_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop, number)

    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    server_handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in server_handlers:
        signal.signal(number, on_signal)
    return begin
