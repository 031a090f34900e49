"""Time limits for half-sent requests under uvicorn, which itself waits for them without end.

They are added to uvicorn's protocol in place, so that they hold however uvicorn is started.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sessions_app import conf
from sessions_app.core.asgi_types import Receive, Scope, Send
from sessions_app.servers.request_limits import LINGER_S, RequestLimits, ResponseCut

logger = logging.getLogger(__name__)

MALFORMED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s"
)


class ArrivalTimer:
    """Timer of what a connection has to send next: a request's head, its body, or the rest of a refused body."""

    __slots__ = ("_protocol", "_phase", "_handle")

    def __init__(self, protocol: H11Protocol) -> None:
        self._protocol = protocol
        self._phase: tuple[object, ...] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def restart(self) -> None:
        """Start or stop after the connection's state may have changed. The time of one phase runs on."""
        phase, seconds = self._awaited()
        if phase == self._phase:
            return
        self.stop()
        self._phase = phase
        if seconds is not None:
            self._handle = self._protocol.loop.call_later(seconds, self._time_out)

    def stop(self) -> None:
        self._phase = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _awaited(self) -> tuple[tuple[object, ...] | None, float | None]:
        protocol = self._protocol
        state = protocol.conn.their_state
        if protocol.transport.is_closing():
            return None, None
        if state is h11.IDLE and protocol.timeout_keep_alive_task is not None:
            return None, None  # between two requests: uvicorn's --timeout-keep-alive
        if state is h11.IDLE:
            return ("head", protocol.cycle), conf.settings.request_head_s
        if state is not h11.SEND_BODY:
            return None, None
        if protocol.cycle.response_complete:
            return ("rest", protocol.cycle), LINGER_S
        return ("body", protocol.cycle), RequestLimits.rule(dict(protocol.scope)).timeout_s

    def _time_out(self) -> None:
        self._handle = None
        protocol = self._protocol
        if protocol.transport.is_closing():
            return
        is_body = protocol.conn.their_state is h11.SEND_BODY
        has_begun = is_body or bool(protocol.conn.trailing_data[0])  # an idle connection gets no response
        if has_begun and not (is_body and protocol.cycle.response_started):
            scope = dict(protocol.scope) if is_body else None
            protocol.transport.write(RequestLimits.timeout_response(scope))
        abandon(protocol)


def install() -> None:
    """Add the timers to uvicorn's HTTP protocol, once."""
    if "uvicorn.protocols.http.httptools_impl" in sys.modules:
        logger.warning("uvicorn's httptools has no time limit for half-sent requests. Use `--http h11`.")
    if not hasattr(H11Protocol, "arrival"):
        for name in ("connection_made", "data_received", "on_response_complete"):
            _restart_after(name)
        for name in ("connection_lost", "handle_websocket_upgrade"):
            _stop_before(name)
        H11Protocol.send_400_response = refuse_malformed  # type: ignore[method-assign]
        H11Protocol.arrival = None  # type: ignore[attr-defined]
        RequestResponseCycle.run_asgi = run_and_cut(RequestResponseCycle.run_asgi)  # type: ignore[method-assign]


def run_and_cut(run_asgi: Any) -> Any:
    """Return uvicorn's method, with the end of a response that breaks off; its own logs a traceback."""

    async def run(self: RequestResponseCycle, app: Any) -> None:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except ResponseCut:
                self.disconnected = True
                self.transport.close()

        await run_asgi(self, application)

    return run


def refuse_malformed(self: H11Protocol, msg: str) -> None:
    """Answer a malformed request with 400, unless a response has begun, and close the connection.

    Uvicorn's own method fails, with a traceback, for a HEAD request and while the application is at work.
    """
    if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        self.transport.write(MALFORMED % (len(msg), msg.encode()))
    abandon(self)


def abandon(protocol: H11Protocol) -> None:
    """Close a connection; what the application still sends is dropped."""
    if protocol.cycle is not None:
        protocol.cycle.disconnected = True
        protocol.cycle.message_event.set()
    protocol.transport.close()


def _restart_after(name: str) -> None:
    original = getattr(H11Protocol, name)

    @functools.wraps(original)
    def method(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        if name == "connection_made":
            self.arrival = ArrivalTimer(self)
        if self.arrival is not None:
            self.arrival.restart()

    setattr(H11Protocol, name, method)


def _stop_before(name: str) -> None:
    original = getattr(H11Protocol, name)

    @functools.wraps(original)
    def method(self: Any, *arguments: Any) -> None:
        if self.arrival is not None:
            self.arrival.stop()
            self.arrival = None  # breaks the circle, which a socket would keep for as long as it is open
        original(self, *arguments)

    setattr(H11Protocol, name, method)
