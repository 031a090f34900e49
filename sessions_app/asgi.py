"""ASGI integration: mounts Holdfast in a project's ASGI application.

from django.core.asgi import get_asgi_application

application = get_asgi_application()

from sessions_app.asgi import mount  # after the applications are loaded

application = mount(application)
"""

from __future__ import annotations

from sessions_app import process
from sessions_app.auth.addresses import path_below
from sessions_app.core.asgi_types import Application, Receive, Scope, Send
from sessions_app.http.body_limit import limit_bodies
from sessions_app.servers import daphne_server, lifecycle
from sessions_app.telemetry import log_context
from sessions_app.transports import ndjson, probes
from sessions_app.transports.websocket import SessionConsumer


def mount(application: Application) -> Application:
    """Return the project's ASGI application with Holdfast mounted at its prefix in the URLconf.

    Below the prefix, Holdfast handles WebSockets, NDJSON uploads and probes, and limits the bodies of other requests.
    All other HTTP and WebSocket requests go to the project. The lifespan starts and stops this process.
    """
    consumer = SessionConsumer.as_asgi()
    probe = probes.application(process.started)
    limited = limit_bodies(application)

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifecycle.lifespan(scope, receive, send)
            return
        log_context.work_on()  # Daphne may start a request in the context of the connection's previous one
        path = path_below(scope)
        if path is None:
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await (consumer if path == "ws/" else refuse)(scope, receive, send)
        elif probes.takes(path):
            await probe(scope, receive, send)
        elif ndjson.takes(scope):
            await ndjson.upload(scope, receive, send)
        else:
            await limited(scope, receive, send)

    daphne_server.install()
    daphne_server.stream_bodies(ndjson.takes)
    lifecycle.on_start(process.start)
    lifecycle.on_drain(process.stop)
    lifecycle.on_farewell(process.close_sockets)
    lifecycle.on_stopped(process.checkpoint)
    return mounted


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket handshake at any other address with 403; Channels' router would raise."""
    await send({"type": "websocket.close"})
