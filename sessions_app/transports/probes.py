"""Probes of a process: `/healthz`, `/readyz` and `/metrics`.

They bypass Django: a probe connects by IP address, without the site's host name and without TLS, and its response must
not depend on anything that could be broken. Web servers and workers serve the same ASGI application. Behind a port of
several processes, `/metrics` tells about all of them, the other two about the one that is asked.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from sessions_app import conf
from sessions_app.core.asgi_types import Application, Receive, Scope, Send
from sessions_app.process import Process
from sessions_app.servers import group_member
from sessions_app.transports import exposition

PATHS = ("healthz", "readyz", "metrics")  # below the prefix
TEXT = "text/plain; charset=utf-8"


class ProbeResponse(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = TEXT

    def headers(self) -> list[tuple[str, str]]:
        return [
            ("content-type", self.content_type),
            ("content-length", str(len(self.body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ]


async def respond(method: str, path: str, authorization: str, process: Process | None) -> ProbeResponse:
    """Respond to one of the PATHS. `process` is None before it exists."""
    if method not in ("GET", "HEAD"):
        return ProbeResponse(HTTPStatus.METHOD_NOT_ALLOWED, b"send GET\n")
    if path == "healthz":
        return ProbeResponse(HTTPStatus.OK, b"ok\n")  # means only that the event loop runs
    if path == "readyz":
        return await _readiness(process)
    if path == "metrics" and conf.settings.metrics_token:
        return await _metrics(authorization, process)
    return ProbeResponse(HTTPStatus.NOT_FOUND, b"not found\n")


async def _readiness(process: Process | None) -> ProbeResponse:
    if process is None:
        return ProbeResponse(HTTPStatus.SERVICE_UNAVAILABLE, b"the process has not started\n")
    if group_member.current is not None and group_member.current.is_stopping:  # the other processes serve on, in turn
        return ProbeResponse(HTTPStatus.SERVICE_UNAVAILABLE, b"the server is stopping\n")
    problem, remark = await process.health.check()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return ProbeResponse(status, "".join(f"{line}\n" for line in (problem or "ready", remark) if line).encode())


async def _metrics(authorization: str, process: Process | None) -> ProbeResponse:
    expected = f"Bearer {conf.settings.metrics_token}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        return ProbeResponse(HTTPStatus.FORBIDDEN, b"metrics need `Authorization: Bearer` and HOLDFAST_METRICS_TOKEN\n")
    body = await exposition.exposition_of_all(process)
    if body is None:
        return ProbeResponse(HTTPStatus.SERVICE_UNAVAILABLE, b"the parent of the server processes does not answer\n")
    return ProbeResponse(HTTPStatus.OK, body, exposition.CONTENT_TYPE)


# As an ASGI application


def takes(path: str) -> bool:
    """Return True if a path below the prefix is a probe."""
    return path in PATHS


def application(find: Callable[[], Process | None]) -> Application:
    """Return the ASGI application of the probes. `find` returns the process, or None before it exists."""

    async def probe(scope: Scope, receive: Receive, send: Send) -> None:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        response = await respond(
            scope["method"], scope["path"].rpartition("/")[2], authorization.decode("latin1"), find()
        )
        headers = [(name.encode(), value.encode()) for name, value in response.headers()]
        await send({"type": "http.response.start", "status": response.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    return probe
