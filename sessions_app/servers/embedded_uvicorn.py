"""Small uvicorn server inside a running event loop, for probes and metrics: one request per connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sessions_app.core.asgi_types import Application

CONNECTION_S = 10.0  # maximum lifetime of a connection: uvicorn itself waits indefinitely for a request head
HEAD_BYTES = 16_384  # maximum size of a request head
STOP_S = 1  # for responses in progress when the server stops


class _Protocol(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(CONNECTION_S, transport.abort)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Don't handle signals: the process does, and stops the server."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


@asynccontextmanager
async def serving(application: Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI application within the block, then close the listener."""
    server = _Server(_config(application))
    with listener:
        serves = asyncio.create_task(server.serve([listener]), name="holdfast embedded server")
        try:
            yield
        finally:
            server.should_exit = True
            await serves


def _config(application: Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        interface="asgi3",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,  # the process has configured logging
        log_level="error",  # otherwise any client could fill the log
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("connection", "close")],
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=STOP_S,
    )
