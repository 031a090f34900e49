"""What machines ask a process: `/healthz`, `/readyz` and `/metrics`.

They are answered before Django: a probe comes by address, under no host name of the site's and without TLS, and its
answer must need nothing that could be broken. Web servers pass them here as an ASGI application; a process that
serves nobody else has `serve`.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from sessions_app import conf, process
from sessions_app.process import Process
from sessions_app.transports import exposition

logger = logging.getLogger(__name__)

PATHS = ("/healthz", "/readyz", "/metrics")
TEXT = "text/plain; charset=utf-8"
REQUEST_S = 10.0  # in which a request has to come whole
REQUEST_BYTES = 16_384  # of a request's head


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
    if path == "/healthz":
        return Answer(HTTPStatus.OK, b"ok\n")  # that the event loop turns is all that it says
    if path == "/readyz":
        return await _readiness(here)
    if path == "/metrics" and conf.METRICS_TOKEN:
        return _metrics(authorization, here)
    return Answer(HTTPStatus.NOT_FOUND, b"not found\n")


async def _readiness(here: Process | None) -> Answer:
    if here is None:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the process has not started\n")
    problem, remark = await here.health.look()
    status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
    return Answer(status, "".join(f"{line}\n" for line in (problem or "ready", remark) if line).encode())


def _metrics(authorization: str, here: Process | None) -> Answer:
    expected = f"Bearer {conf.METRICS_TOKEN}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        return Answer(HTTPStatus.FORBIDDEN, b"metrics need `Authorization: Bearer` and HOLDFAST_METRICS_TOKEN\n")
    return Answer(HTTPStatus.OK, exposition.exposition(here), exposition.CONTENT_TYPE)


# In a web server


def takes(scope: dict[str, Any]) -> bool:
    """Whether a request is a probe."""
    return scope["type"] == "http" and scope["path"] in PATHS


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a probe."""
    authorization = _authorization((name.decode("latin1"), value.decode("latin1")) for name, value in scope["headers"])
    told = await answer(scope["method"], scope["path"], authorization, process.started())
    headers = [(name.encode(), value.encode()) for name, value in told.headers()]
    await send({"type": "http.response.start", "status": told.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else told.body})


def _authorization(headers: Iterable[tuple[str, str]]) -> str:
    return next((value for name, value in headers if name.lower() == "authorization"), "")


# In a process that serves nobody else


async def serve(host: str, port: int, here: Process) -> asyncio.Server:
    """Answer probes at an address until the server is closed. Raises OSError."""
    return await asyncio.start_server(partial(_serve, here), host, port, limit=REQUEST_BYTES)


async def _serve(here: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(REQUEST_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
            told, body = await _answer_to(head, here)
            lines = [f"HTTP/1.1 {told.status.value} {told.status.phrase}"]
            lines += [f"{name}: {value}" for name, value in (*told.headers(), ("connection", "close"))]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError) as error:
        logger.debug("a probe was not answered: %r", error)
    finally:
        writer.close()


async def _answer_to(head: str, here: Process) -> tuple[Answer, bytes]:
    """Return the answer to a request, and the body that its method wants."""
    line, *fields = head.split("\r\n")
    method, _, rest = line.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    headers = ((name, value.strip()) for name, _, value in (field.partition(":") for field in fields))
    told = await answer(method, path, _authorization(headers), here)
    return told, b"" if method == "HEAD" else told.body
