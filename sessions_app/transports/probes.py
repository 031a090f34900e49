"""What machines ask a process: `/healthz`, `/readyz` and `/metrics`.

They are answered before Django: a probe comes by address, under no host name of the site's and without TLS, and its
answer must need nothing that could be broken. Web servers and workers serve the same ASGI application.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from sessions_app import conf
from sessions_app.core.asgi_types import Application, Receive, Scope, Send
from sessions_app.process import Process
from sessions_app.transports import exposition

PATHS = ("healthz", "readyz", "metrics")  # below the prefix
TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
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


async def answer(method: str, path: str, authorization: str, here: Process | None) -> Answer:
    """Answer one of the PATHS. `here`: the process, if there is one yet."""
    if method not in ("GET", "HEAD"):
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"send GET\n")
    if path == "healthz":
        return Answer(HTTPStatus.OK, b"ok\n")  # that the event loop turns is all that it says
    if path == "readyz":
        return await _readiness(here)
    if path == "metrics" and conf.settings.metrics_token:
        return _metrics(authorization, here)
    return Answer(HTTPStatus.NOT_FOUND, b"not found\n")


async def _readiness(here: Process | None) -> Answer:
    if here is None:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the process has not started\n")
    problem, remark = await here.health.check()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return Answer(status, "".join(f"{line}\n" for line in (problem or "ready", remark) if line).encode())


def _metrics(authorization: str, here: Process | None) -> Answer:
    expected = f"Bearer {conf.settings.metrics_token}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        return Answer(HTTPStatus.FORBIDDEN, b"metrics need `Authorization: Bearer` and HOLDFAST_METRICS_TOKEN\n")
    return Answer(HTTPStatus.OK, exposition.exposition(here), exposition.CONTENT_TYPE)


# As an ASGI application


def takes(path: str) -> bool:
    """Return whether a path below the prefix is a probe's."""
    return path in PATHS


def application(find: Callable[[], Process | None]) -> Application:
    """Return the application that answers probes. `find` returns the process, if there is one yet."""

    async def probe(scope: Scope, receive: Receive, send: Send) -> None:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        told = await answer(scope["method"], scope["path"].rpartition("/")[2], authorization.decode("latin1"), find())
        headers = [(name.encode(), value.encode()) for name, value in told.headers()]
        await send({"type": "http.response.start", "status": told.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else told.body})

    return probe
