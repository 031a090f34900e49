"""NDJSON upload of a response: `POST /api/sessions/<id>/publish/`, one chunk per line (PROTOCOL.md §14).

A separate ASGI application, since Django's reads the whole request before it calls a view. The request takes the place
of an agent: its response is written like that of an agent in this process, and ends when the request ends.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from io import BytesIO

import orjson
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError

from sessions_app import conf, process
from sessions_app.auth.addresses import path_below
from sessions_app.auth.identity import Identity, identify_by_token, token_in
from sessions_app.core import vocabulary
from sessions_app.core.asgi_types import Receive, Scope, Send
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import RESPONSE_UID, SESSION_ID
from sessions_app.core.wire_types import Chunk, JsonObject
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.event_log import queries
from sessions_app.http import errors, throttling
from sessions_app.http.guards import json_response, refused
from sessions_app.models import new_uid
from sessions_app.publishing.local_writer import LocalWriter

logger = logging.getLogger(__name__)

PATH = re.compile(r"api/sessions/([^/]+)/publish/\Z")  # below the prefix
MEDIA_TYPE = b"application/x-ndjson"
SILENCE_S = 300  # without a line; after that the agent counts as gone
CUT = "The agent's request ended before it finished."
UNREADABLE = "The agent's output was invalid."


def takes(scope: Scope) -> bool:
    """Return True if a request is an NDJSON upload."""
    if scope["type"] != "http" or scope["method"] != "POST" or _session(scope) is None:
        return False
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    return bool(types) and types[0].split(b";")[0].strip().lower() == MEDIA_TYPE


def _session(scope: Scope) -> str | None:
    """Return the session that a request publishes to, or None for other addresses."""
    address = PATH.match(path_below(scope) or "")
    return address[1] if address else None


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application that receives one response."""
    request = ASGIRequest(scope, BytesIO())
    try:
        result = await _publish(request, _session(scope) or "", receive)
        response = json_response(orjson.dumps(result))
    except Exception as error:
        refusal = errors.refusal_of(error)
        if refusal is None:
            logger.exception("an upload failed")
            refusal = HoldfastError("internal")
        response = refused(refusal, errors.headers_of(error, refusal))
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})


async def _publish(request: ASGIRequest, session: str, receive: Receive) -> JsonObject:
    identity = await _bearer(request)
    identity.check("publish", session)
    uid = request.GET.get("message") or new_uid()
    if not SESSION_ID.match(session):
        raise HoldfastError("bad_session_id")
    if not RESPONSE_UID.match(uid):
        raise HoldfastError("bad_frame", "`message` must be m_ and 1 to 62 characters of A-Z a-z 0-9 _ . : -")
    await threads.run(_check_writable, session, uid)
    server = await process.current()
    response = server.writers.unprompted(session, agent="", uid=uid)
    await Upload(server, identity, throttling.address_of(request), response, receive).write_response()
    end = vocabulary.ENDS[response.end]
    return {"type": "published", "session": session, "message": uid, "serial": response.serial, "status": end}


async def _bearer(request: ASGIRequest) -> Identity:
    token = token_in(request.headers.get("Authorization", ""))
    if token is None:
        raise HoldfastError("signed_out", "publishing needs a token")
    try:
        identity = await threads.run(identify_by_token, token)
    except DatabaseError:
        raise HoldfastError("storage_unavailable") from None
    throttling.consume("publish", request, identity)
    return identity


def _check_writable(session: str, uid: str) -> None:
    queries.writable(session)
    if queries.message(session, uid) is not None:
        raise HoldfastError("message_exists")


class Upload:
    """An upload request. As a connection it is counted, ends with its token and learns of a shutdown."""

    def __init__(
        self, server: process.Process, identity: Identity, address: str, response: LocalWriter, receive: Receive
    ) -> None:
        self._server = server
        self._response = response
        self._receive = receive
        self._connection = Connection(
            server.connections,
            identity,
            send=self._on_frames,
            close=self._close,
            transport="upload",
            address=address,
        )
        self._problem: HoldfastError | None = None  # reason for closing
        self._line = 0
        self._task: asyncio.Task[object] | None = None

    async def write_response(self) -> None:
        """Write all chunks to the response, then end it. Raises HoldfastError."""
        self._server.connections.admit(self._connection)
        self._task = asyncio.current_task()
        end: Chunk = {"type": "interrupt", "reason": CUT}
        try:
            await self._write()
        except HoldfastError as problem:
            self._problem = problem
            end = {"type": "error", "errorText": UNREADABLE}
        except asyncio.CancelledError:
            if self._problem is None:
                raise
        finally:
            self._server.connections.dismiss(self._connection)
            if self._response.begun:
                await self._response.close(end)
        if self._problem is not None:
            raise self._problem

    async def _write(self) -> None:
        async for chunk in self._chunks():
            if not self._response.begun and chunk["type"] != "start":
                raise HoldfastError("bad_chunk", "a response's first chunk must be `start`")
            await self._response.write(chunk)
        if not self._response.begun:
            raise HoldfastError("bad_chunk", "the request has no line")
        await self._response.flush()  # raises pending errors, which the response's end would hide

    async def _chunks(self) -> AsyncIterator[Chunk]:
        async for line in self._lines():
            self._line += 1
            if line.strip():
                try:
                    chunk = orjson.loads(line)
                    vocabulary.check(chunk, max_bytes=conf.settings.chunk_bytes)
                except orjson.JSONDecodeError as error:
                    raise HoldfastError("bad_json", f"line {self._line}: {error}") from None
                except HoldfastError as problem:
                    raise HoldfastError.stored(problem.code, f"Line {self._line}: {problem.message}") from None
                yield chunk

    async def _lines(self) -> AsyncIterator[bytes]:
        rest = b""
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    message = await self._receive()
            except TimeoutError:
                return
            *lines, rest = (rest + message.get("body", b"")).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > 2 * conf.settings.chunk_bytes:
                raise HoldfastError("frame_too_large", f"line {self._line + 1}")
            if message["type"] == "http.disconnect":
                return  # `rest` is an incomplete line
            if not message.get("more_body"):
                yield rest
                return

    # Frames that the process sends to its connections

    async def _on_frames(self, texts: list[str]) -> None:
        for text in texts:
            frame = orjson.loads(text)
            if frame["type"] == "error":
                self._problem = HoldfastError.stored(frame["code"], frame["message"])
            elif frame["type"] == "going-away":
                self._problem = HoldfastError("going_away")
        await self._close(1000)

    async def _close(self, code: int) -> None:
        if self._task is not None:
            self._task.cancel()
