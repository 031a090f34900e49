"""Daphne with a steady ping, bounded input, hooks at start and stop, and a stop that says goodbye."""

import asyncio
import inspect
import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    STDLibLogObserver,
    globalLogPublisher,
)

from sessions_app import conf
from sessions_app.servers.daphne_request import RequestBody, StreamedRequest, Takes
from sessions_app.servers.daphne_websocket import SocketProtocol, share_options, take_body
from sessions_app.servers.websocket_frames import ReceiveQueue

logger = logging.getLogger(__name__)

# A frame beyond FRAME_BYTES gets an error by name from the application; beyond so many times that, it is not even
# read and its socket closed with 1009.
TOO_BIG_FACTOR = 2
# Connections that may wait to be accepted: a restarted server meets all its clients at once.
BACKLOG = 1024
# Seconds that a client has to answer a close frame, and an application to end after its client has gone.
CLOSE_S = 3
# Seconds between two sockets' close frames when the server stops, at most: the next server meets a file, not a herd.
CLOSE_PACE_S = 0.005

StartHook = Callable[[], Awaitable[object]]
DrainHook = Callable[[float], Awaitable[object]]
Farewell = Callable[[float], Awaitable[object]]
_start_hooks: list[StartHook] = []
_drain_hooks: list[DrainHook] = []
_farewells: list[Farewell] = []
_running: list["SessionServer"] = []


# Hooks, the same under every server


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


def stream_bodies(takes: Takes) -> None:
    """Has the bodies of requests for which `takes(scope)` is true passed on as they come, as other servers do."""
    StreamedRequest.takes_stream = staticmethod(takes)


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


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
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


# The server


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})


class SessionServer(Server):
    """Daphne's server with Holdfast's settings in place of the command line's."""

    def __init__(self, application: Any, endpoints: list[str], **options: Any) -> None:
        report_ignored(options)
        super().__init__(application, [with_backlog(endpoint) for endpoint in endpoints], **options | ours())
        self.ports: list[Any] = []
        self.draining = False
        self.restarting = False
        self.stopped = threading.Event()

    def run(self) -> None:
        """Serves until a signal; afterwards `abort_start` says whether it could not even start."""
        if self.verbosity <= 1:  # where Daphne throws away what Twisted logs, errors too
            log_twisted_errors()
        # Twisted's wall time would stop its timers while a clock that was set back catches up.
        reactor.seconds = time.monotonic  # type: ignore[method-assign, misc]
        reactor.callWhenRunning(self.started)
        _running.append(self)
        try:
            super().run()
        finally:
            _running.remove(self)
            self.stopped.set()
        if self.restarting:
            run_command_again()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.ports.append(port)

    def started(self) -> None:
        self.http_factory.buildProtocol = partial(build_channel, self.http_factory.buildProtocol)
        self.ws_factory.protocol = SocketProtocol
        self.ws_factory.setProtocolOptions(
            # Autobahn's timer: one ping an interval after the last pong, whatever else is sent or received.
            # Daphne's own starts again at every message from the client, so that a busy page is never pinged.
            autoPingInterval=conf.settings.ping_interval_s,
            autoPingRestartOnAnyTraffic=False,
            # A close frame with the reason (1009 too big, 1002 malformed, 1007 not UTF-8), not a cut connection.
            failByDrop=False,
            closeHandshakeTimeout=CLOSE_S,
            allowNullOrigin=True,  # the application checks the Origin
        )
        share_options(self.ws_factory)
        for port in self.ports:
            port.stopReading()  # connections wait in the backlog until the hooks are through
        self.opening = asyncio.get_event_loop().create_task(self.open_doors())

    async def open_doors(self) -> None:
        try:
            await start()
        except Exception:
            logger.critical("The server could not start", exc_info=True)
            self.abort_start = True
            self.stop()
            return
        for port in self.ports if not self.draining else ():
            port.startReading()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """As Daphne's, with an inbox that can hold back a socket, and no new sockets while the server stops."""
        if protocol not in self.connections:
            return None
        is_socket = isinstance(protocol, SocketProtocol)
        body: RequestBody | None = None if is_socket else protocol.body
        inbox: ReceiveQueue | RequestBody | asyncio.Queue[dict[str, Any]] = (
            ReceiveQueue(protocol) if is_socket else body or asyncio.Queue()
        )
        application = refuse if is_socket and self.draining else self.application
        scope.setdefault("asgi", {"version": "3.0"})
        running = application(scope=scope, receive=inbox.get, send=partial(self.handle_reply, protocol))
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(
            running if is_socket else self.respond(protocol, running)
        )
        return inbox

    async def respond(self, request: Any, running: Awaitable[None]) -> None:
        """Cuts a response that fails midway: Daphne would try to begin an error page, and fail at it for ever."""
        try:
            await running
        except Exception:
            if not request._response_started:
                raise
            logger.exception("the response to %s failed midway", request.path.decode("ascii", "replace"))
            if request.channel is not None:
                request.channel.transport.abortConnection()

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """As Daphne's, with a short way for what is sent most, and no more than a client reads."""
        text = message.get("text")
        if message["type"] == "http.response.body":
            await take_body(protocol, more=message.get("more_body", False))
        if text and isinstance(protocol, SocketProtocol):
            await protocol.writable()
        if text and isinstance(protocol, SocketProtocol) and protocol.state == protocol.STATE_OPEN:
            protocol.send_text(text)
        else:
            await super().handle_reply(protocol, message)

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        if action != "connecting":  # "connected" or "rejected" follows at once
            super().log_action(protocol, action, details)

    # Stopping: Twisted waits for what kill_all_applications returns, with its loop running.

    def kill_all_applications(self) -> Any:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self.wind_down()))

    async def wind_down(self) -> None:
        self.draining = True
        if threading.current_thread() is threading.main_thread():
            die_at_next_signal()
        try:
            await self.stop_listening()
            await drain()
            await self.close_sockets()
            await self.end_applications()
        except Exception:
            logger.exception("The server did not stop cleanly")

    async def stop_listening(self) -> None:
        for port in self.ports:
            await defer.maybeDeferred(port.stopListening).asFuture(asyncio.get_running_loop())

    async def close_sockets(self) -> None:
        sockets = [protocol for protocol in self.connections if isinstance(protocol, SocketProtocol)]
        random.shuffle(sockets)
        pace = min(CLOSE_PACE_S, conf.settings.drain_ms / 1000 / (len(sockets) or 1))
        for protocol in sockets:
            protocol.go_away()
            await asyncio.sleep(random.uniform(0, 2 * pace))

    async def end_applications(self) -> None:
        # A connection that has just been upgraded has no application under its HTTP name.
        running = [d["application_instance"] for d in self.connections.values() if "application_instance" in d]
        if running:
            await asyncio.wait(running, timeout=CLOSE_S)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=CLOSE_S)

    def restart(self) -> None:
        """Stops as at a signal, and begins again in the same process; to be called in the server's loop."""
        if not self.restarting and not self.draining:
            self.restarting = True
            asyncio.get_running_loop().call_soon(self.stop)

    def stop_and_wait(self) -> None:
        """Stops the server that runs in another thread."""
        if not self.stopped.is_set():
            reactor.callFromThread(self.stop)
            self.stopped.wait()


def build_channel(build: Callable[[Any], Any], address: Any) -> Any:
    channel = build(address)
    channel.requestFactory = StreamedRequest
    return channel


def ours() -> dict[str, Any]:
    return {
        "ping_interval": math.inf,  # Daphne's own pings, off: see SessionServer.started
        "ping_timeout": conf.settings.pong_timeout_s,
        "websocket_timeout": -1,  # a socket may live for ever
        "websocket_max_message_size": TOO_BIG_FACTOR * conf.settings.frame_bytes,
        "websocket_max_frame_size": TOO_BIG_FACTOR * conf.settings.frame_bytes,
    }


def report_ignored(options: dict[str, Any]) -> None:
    """One setting rules: says so to whoever gave the `daphne` command another value."""
    defaults = inspect.signature(Server).parameters
    for name in ours().keys() & options.keys():
        if options[name] != defaults[name].default:
            logger.warning("%s=%s is ignored: the setting HOLDFAST rules", name, options[name])


def with_backlog(endpoint: str) -> str:
    listens = endpoint.startswith(("tcp:", "ssl:")) and "backlog=" not in endpoint
    return f"{endpoint}:backlog={BACKLOG}" if listens else endpoint


def restart() -> bool:
    """Restarts the server of this process, gracefully; False under another server, which can't."""
    for server in _running:
        server.restart()
    return bool(_running)


def run_command_again() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def die_at_next_signal() -> None:
    """A second signal ends the process at once: what is committed is safe, the rest was politeness."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def log_twisted_errors() -> None:
    errors: Any = LogLevelFilterPredicate(defaultLogLevel=LogLevel.error)
    everything: Any = STDLibLogObserver("twisted")
    observer: Any = FilteringLogObserver(everything, [errors])
    globalLogPublisher.addObserver(observer)


def install() -> None:
    """Has the `daphne` command use this server: it imports the application before it makes a server."""
    CommandLineInterface.server_class = SessionServer
