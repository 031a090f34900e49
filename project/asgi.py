"""The ASGI application: Django for HTTP, but for probes and uploads; a consumer for WebSockets; what runs besides."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()  # first: it loads the applications that the imports below need

from channels.routing import ProtocolTypeRouter  # noqa: E402

from sessions_app import context, probes, process, server, uploads  # noqa: E402
from sessions_app.body_limit import limit_bodies  # noqa: E402
from sessions_app.consumers import SessionConsumer  # noqa: E402

consumer = SessionConsumer.as_asgi()
http = limit_bodies(django)


async def sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One address has a WebSocket; any other is refused with 403 (channels' router would raise)."""
    if scope["path"] == "/ws/":
        await consumer(scope, receive, send)
    else:
        await send({"type": "websocket.close"})


async def requests(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What is read line by line can't be Django's, and probes must not need it."""
    context.work_on()  # Daphne may begin a request in the context of the one before it on its connection
    if probes.takes(scope):
        await probes.application(scope, receive, send)
    else:
        await (uploads.upload if uploads.takes(scope) else http)(scope, receive, send)


application = ProtocolTypeRouter({"http": requests, "websocket": sockets, "lifespan": server.lifespan})

server.install()
server.on_start(process.start)
server.on_drain(process.stop)
server.on_farewell(process.close_sockets)
server.stream_bodies(uploads.takes)
