"""ASGI integration: mounts Holdfast in a project's ASGI application.

from django.core.asgi import get_asgi_application

application = get_asgi_application()

from sessions_app.asgi import mount  # after the applications are loaded

application = mount(application)
"""

from __future__ import annotations

from django.core.handlers.asgi import ASGIHandler

from sessions_app import process
from sessions_app.auth.addresses import path_below
from sessions_app.core.asgi_types import Application, Receive, Scope, Send
from sessions_app.http import body_limit, cors
from sessions_app.http.doors import CHAT, UPLOAD, body_rule
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import refused
from sessions_app.servers import daphne_server, group_member, lifecycle, request_limits, uvicorn_http
from sessions_app.telemetry import log_context
from sessions_app.transports import exposition, ndjson, probes
from sessions_app.transports.ai_sdk.body import body_first
from sessions_app.transports.ai_sdk.websocket import ChatConsumer
from sessions_app.transports.websocket import SessionConsumer


def mount(application: Application) -> Application:
    """Return the project's ASGI application with Holdfast mounted at its prefix in the URLconf.

    Below the prefix, Holdfast handles WebSockets, NDJSON uploads and probes, limits the bodies of other requests, and
    shares the API with pages of the origins that the site lists.
    All other HTTP and WebSocket requests go to the project. The lifespan starts and stops this process.
    """
    sockets = {"ws/": SessionConsumer.as_asgi(), **dict.fromkeys(("ws/chat/", "ws/chat"), ChatConsumer.as_asgi())}
    probe = probes.application(process.started)
    streamed = {UPLOAD.name: ndjson.upload, CHAT.name: body_first(application)}
    limited = cors.share(body_limit.limit_bodies(streamed, application))

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifecycle.lifespan(scope, receive, send)
            return
        log_context.work_on()  # Daphne may start a request in the context of the connection's previous one
        path = path_below(scope)
        if scope["type"] == "http" and (problem := form_problem(scope)):
            await body_limit.refuse(problem, receive, send)
        elif path is None and scope["type"] == "websocket" and isinstance(application, ASGIHandler):
            await refuse(scope, receive, send)  # the project has no WebSockets of its own
        elif path is None:
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await sockets.get(path, refuse)(scope, receive, send)
        elif probes.takes(path):
            await probe(scope, receive, send)
        else:
            await limited(scope, receive, send)

    daphne_server.install()
    uvicorn_http.install()
    request_limits.limit_requests(body_rule, timeout_response)
    group_member.report_with(lambda number: exposition.exposition(process.started(), number))
    lifecycle.on_start(process.start)
    lifecycle.on_drain(process.stop)
    lifecycle.on_farewell(process.close_sockets)
    lifecycle.on_stopped(process.checkpoint)
    return mounted


def form_problem(scope: Scope) -> ApiError | None:
    """Return the problem of a request in a form that is meant for proxies, or None."""
    if scope["method"] == "CONNECT":  # uvicorn would take a response for the beginning of a tunnel
        return ApiError("method_not_allowed", "this is no proxy")
    if not scope["path"].startswith("/"):  # `OPTIONS *`, or a whole URL
        return ApiError("bad_request", "the address must begin with /")
    return None


def timeout_response(scope: Scope | None) -> bytes:
    """Return the HTTP response to a request that doesn't arrive in time. None: not even its head has."""
    shared = {} if scope is None else {name.decode(): value.decode() for name, value in cors.headers_for(scope)}
    response = refused(ApiError("request_timeout"), {"Connection": "close", **shared})
    response["Content-Length"] = str(len(response.content))
    return b"HTTP/1.1 408 Request Timeout\r\n%s\r\n\r\n%s" % (response.serialize_headers(), response.content)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket handshake at any other address with 403; Django and Channels' router would raise."""
    await send({"type": "websocket.close"})
