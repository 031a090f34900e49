"""Daphne's server with regular pings, bounded input, lifecycle hooks and a graceful shutdown."""

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
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    STDLibLogObserver,
    globalLogPublisher,
)

from sessions_app import conf
from sessions_app.core.asgi_types import Application, Message, Receive, Scope, Send
from sessions_app.servers import lifecycle
from sessions_app.servers.daphne_request import RequestBody, StreamedRequest, generic_channel
from sessions_app.servers.daphne_websocket import SocketProtocol, share_options, take_body
from sessions_app.servers.request_limits import ResponseCut
from sessions_app.servers.websocket_frames import LIMITS, ReceiveQueue

logger = logging.getLogger(__name__)

# The application answers a frame over FRAME_BYTES with an error. Over this multiple of it, the frame isn't read and
# the socket is closed with 1009.
TOO_BIG_FACTOR = 2
# Connections that may wait to be accepted: after a restart, all clients reconnect at once.
BACKLOG = 1024
# Seconds for a client to answer a close frame, and for an application to end after its client has gone.
CLOSE_S = 3
# Maximum seconds between two close frames at shutdown, so that the clients don't all reconnect at the same moment.
CLOSE_PACE_S = 0.005

_running: list["SessionServer"] = []


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close"})


class SessionServer(Server):
    """Daphne's server with Holdfast's settings in place of the command line's."""

    def __init__(self, application: Application, endpoints: list[str], **options: Any) -> None:
        report_ignored(options)
        super().__init__(application, [with_backlog(endpoint) for endpoint in endpoints], **options | server_options())
        self.ports: list[Any] = []
        self.draining = False
        self.restarting = False
        self.stopped = threading.Event()

    def run(self) -> None:
        """Serve until a signal. Afterwards, `abort_start` is true if the server could not start."""
        if self.verbosity <= 1:  # Daphne would discard Twisted's log, errors included
            log_twisted_errors()
        # With wall time, Twisted's timers would stall after the clock is set back.
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
        self.http_factory.protocol = generic_channel
        self.http_factory.buildProtocol = partial(build_channel, self.http_factory.buildProtocol)
        self.ws_factory.protocol = SocketProtocol
        self.ws_factory.setProtocolOptions(
            # Autobahn's timer: one ping an interval after the last pong, regardless of other traffic.
            # Daphne's own restarts at every message from the client, so a busy page would never be pinged.
            autoPingInterval=conf.settings.ping_interval_s,
            autoPingRestartOnAnyTraffic=False,
            # Send a close frame with the reason (1009 too big, 1002 malformed, 1007 not UTF-8) instead of cutting.
            failByDrop=False,
            closeHandshakeTimeout=CLOSE_S,
            allowNullOrigin=True,  # the application checks the Origin
        )
        share_options(self.ws_factory)
        for port in self.ports:
            port.stopReading()  # connections wait in the backlog until the hooks are done
        self.opening = asyncio.get_event_loop().create_task(self.start_accepting())

    async def start_accepting(self) -> None:
        try:
            await lifecycle.start()
        except Exception:
            logger.critical("The server could not start", exc_info=True)
            self.abort_start = True
            self.stop()
            return
        for port in self.ports if not self.draining else ():
            port.startReading()

    def create_application(self, protocol: Any, scope: Scope) -> Any:
        """Override: a receive queue that can pause a socket, and no new sockets during shutdown."""
        if protocol not in self.connections:
            return None
        is_socket = isinstance(protocol, SocketProtocol)
        body: RequestBody | None = None if is_socket else protocol.body
        inbox: ReceiveQueue | RequestBody | asyncio.Queue[Message] = (
            ReceiveQueue(protocol) if is_socket else body or asyncio.Queue()
        )
        if is_socket:
            scope["scheme"] = "wss" if ISSLTransport.providedBy(protocol.transport) else "ws"  # Daphne leaves it out
        application = refuse if is_socket and self.draining else self.application
        scope.setdefault("asgi", {"version": "3.0"})
        running = application(scope=scope, receive=inbox.get, send=partial(self.handle_reply, protocol))
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(
            running if is_socket else self.respond(protocol, running)
        )
        return inbox

    async def respond(self, request: StreamedRequest, running: Awaitable[None]) -> None:
        """Run an application. If its response fails midway, abort it: Daphne would retry an error page endlessly."""
        try:
            await running
        except ResponseCut:
            if getattr(request, "channel", None) is not None:  # Twisted deletes it after the response
                request.channel.transport.loseConnection()
        except Exception:
            if not request._response_started:
                raise
            logger.exception("the response to %s failed midway", request.path.decode("ascii", "replace"))
            channel = getattr(request, "channel", None)
            if channel is not None:
                channel.transport.abortConnection()

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        """Override: a fast path for text frames, and backpressure from clients."""
        text = message.get("text")
        if LIMITS in message:
            protocol.limit_messages(message[LIMITS])
        if message["type"] == "http.response.body":
            await take_body(protocol, more=message.get("more_body", False))
        if text and isinstance(protocol, SocketProtocol):
            await protocol.writable()
        if isinstance(protocol, SocketProtocol) and protocol.is_ended:
            return  # the client has closed, and the application doesn't know yet: autobahn would raise
        if text and isinstance(protocol, SocketProtocol) and protocol.state == protocol.STATE_OPEN:
            protocol.send_text(text)
        else:
            await super().handle_reply(protocol, message)

    def protocol_disconnected(self, protocol: Any) -> None:
        if protocol in self.connections:  # a refused socket is removed before its connection is lost
            super().protocol_disconnected(protocol)

    def log_action(self, protocol: str, action: str, details: dict[str, object]) -> None:
        if action != "connecting":  # "connected" or "rejected" follows immediately
            super().log_action(protocol, action, details)

    # Shutdown. Twisted keeps its loop running until the result of kill_all_applications fires.

    def kill_all_applications(self) -> defer.Deferred[None]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self.wind_down()))

    async def wind_down(self) -> None:
        self.draining = True
        if threading.current_thread() is threading.main_thread():
            exit_at_next_signal()
        try:
            await self.stop_listening()
            await lifecycle.drain()
            await self.close_sockets()
            await self.end_applications()
        except Exception:
            logger.exception("The server did not stop cleanly")
        await lifecycle.finish()

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
        # A connection that was just upgraded has no application yet.
        running = [d["application_instance"] for d in self.connections.values() if "application_instance" in d]
        if running:
            await asyncio.wait(running, timeout=CLOSE_S)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=CLOSE_S)

    def restart(self) -> None:
        """Shut down gracefully and restart in the same process. Call it in the server's loop."""
        if not self.restarting and not self.draining:
            self.restarting = True
            asyncio.get_running_loop().call_soon(self.stop)

    def stop_and_wait(self) -> None:
        """Stop the server from another thread and wait for it."""
        if not self.stopped.is_set():
            reactor.callFromThread(self.stop)
            self.stopped.wait()


def build_channel(build: Callable[[Any], Any], address: Any) -> Any:
    channel = build(address)
    channel.requestFactory = StreamedRequest
    return channel


def server_options() -> dict[str, float]:
    return {
        "ping_interval": math.inf,  # Daphne's own pings, off: see SessionServer.started
        "ping_timeout": conf.settings.pong_timeout_s,
        "websocket_timeout": -1,  # no maximum lifetime
        "websocket_max_message_size": TOO_BIG_FACTOR * conf.settings.frame_bytes,
        "websocket_max_frame_size": TOO_BIG_FACTOR * conf.settings.frame_bytes,
    }


def report_ignored(options: Mapping[str, object]) -> None:
    """Warn about `daphne` command-line options that the HOLDFAST settings override."""
    defaults = inspect.signature(Server).parameters
    for name in server_options().keys() & options.keys():
        if options[name] != defaults[name].default:
            logger.warning("%s=%s is ignored: the HOLDFAST settings take precedence", name, options[name])


def with_backlog(endpoint: str) -> str:
    listens = endpoint.startswith(("tcp:", "ssl:")) and "backlog=" not in endpoint
    return f"{endpoint}:backlog={BACKLOG}" if listens else endpoint


def restart() -> bool:
    """Restart this process's server gracefully. Return False under a server that can't."""
    for server in _running:
        server.restart()
    return bool(_running)


def run_command_again() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def exit_at_next_signal() -> None:
    """Let a second signal end the process immediately: committed data is safe."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def log_twisted_errors() -> None:
    errors: Any = LogLevelFilterPredicate(defaultLogLevel=LogLevel.error)
    everything: Any = STDLibLogObserver("twisted")
    observer: Any = FilteringLogObserver(everything, [errors])
    globalLogPublisher.addObserver(observer)


def install() -> None:
    """Make the `daphne` command use this server. It imports the application before it creates a server."""
    CommandLineInterface.server_class = SessionServer
