"""Uvicorn's options for Holdfast, from the settings: what `manage.py serve` starts with."""

from __future__ import annotations

import uvicorn

from sessions_app import conf
from sessions_app.core.asgi_types import Application
from sessions_app.servers.uvicorn_websocket import SocketProtocol

KEEP_ALIVE_S = 30  # above a proxy's own (nginx.conf: 15 s), or a POST may meet a connection that is just being closed
GRACEFUL_STOP_S = 10  # after the drain, for responses that are still under way


def uvicorn_config(application: Application) -> uvicorn.Config:
    """Return the configuration of a production server."""
    limits = conf.settings
    return uvicorn.Config(
        application,
        interface="asgi3",
        loop="uvloop",
        # Requests are few: the bytes go over sockets. The time limits of half-sent requests need it.
        http="h11",
        ws=SocketProtocol,
        # A frame beyond FRAME_BYTES gets an error by name; one beyond this isn't read at all.
        ws_max_size=2 * limits.frame_bytes,
        ws_ping_interval=limits.ping_interval_s,
        ws_ping_timeout=limits.pong_timeout_s,
        # Compression would take 25 KiB per connection, and a third more time.
        ws_per_message_deflate=False,
        # Holdfast starts and stops with it; a failed start ends the process instead of serving without it.
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
        # The project says how many proxies it trusts (HOLDFAST_PROXIES), under every server alike.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,  # the project's LOGGING
    )


def longest_stop_s() -> float:
    """Return the longest time that a server process takes to stop: agents end, sockets close, responses end."""
    return 2 * conf.settings.drain_ms / 1000 + GRACEFUL_STOP_S
