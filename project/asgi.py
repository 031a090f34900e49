"""The ASGI application: Django for HTTP, but for probes and uploads; a consumer for WebSockets; what runs besides."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()  # first: it loads the applications that the imports below need

from channels.routing import ProtocolTypeRouter  # noqa: E402

from sessions_app import process  # noqa: E402
from sessions_app.http.body_limit import limit_bodies  # noqa: E402
from sessions_app.servers import lifecycle  # noqa: E402
from sessions_app.telemetry import log_context  # noqa: E402
from sessions_app.transports import ndjson, probes  # noqa: E402
from sessions_app.transports.websocket import SessionConsumer  # noqa: E402

consumer = SessionConsumer.as_asgi()
http = limit_bodies(django)
probe = probes.application(process.started)


async def sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One address has a WebSocket; any other is refused with 403 (channels' router would raise)."""
    if scope["path"] == "/ws/":
        await consumer(scope, receive, send)
    else:
        await send({"type": "websocket.close"})


async def requests(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What is read line by line can't be Django's, and probes must not need it."""
    log_context.work_on()  # Daphne may begin a request in the context of the one before it on its connection
    if probes.takes(scope):
        await probe(scope, receive, send)
    else:
        await (ndjson.upload if ndjson.takes(scope) else http)(scope, receive, send)


async def tune_garbage_collection() -> None:
    """Last at the start: what is loaded by then stays."""
    process.tune_garbage_collection()


application = ProtocolTypeRouter({"http": requests, "websocket": sockets, "lifespan": lifecycle.lifespan})

lifecycle.install()
lifecycle.on_start(process.start)
lifecycle.on_start(tune_garbage_collection)
lifecycle.on_drain(process.stop)
lifecycle.on_farewell(process.close_sockets)
lifecycle.stream_bodies(ndjson.takes)
