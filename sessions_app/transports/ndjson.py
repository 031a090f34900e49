"""NDJSON upload of a response: `POST /api/sessions/<id>/publish/`, one chunk per line (PROTOCOL.md §14).

A separate ASGI application, since Django's reads the whole request before it calls a view. The request takes the place
of an agent: its response is written like that of an agent in this process, and ends when the request ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from io import BytesIO
from typing import cast

import orjson
from django.core.handlers.asgi import ASGIRequest

from sessions_app import conf, process
from sessions_app.auth.addresses import path_below
from sessions_app.auth.identity import Identity
from sessions_app.core import json_text, vocabulary
from sessions_app.core.asgi_types import Receive, Scope, Send
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import RESPONSE_UID, SESSION_ID
from sessions_app.core.wire_types import Chunk, JsonObject
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.event_log import queries
from sessions_app.http import errors, throttling
from sessions_app.http.body_limit import IDENTITY
from sessions_app.http.doors import UPLOAD
from sessions_app.http.errors import ApiError
from sessions_app.http.guards import json_response, refused
from sessions_app.models import new_uid
from sessions_app.publishing.local_writer import LocalWriter

logger = logging.getLogger(__name__)

CUT = "The agent's request ended before it finished."
UNREADABLE = "The agent's output was invalid."


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application that receives one response."""
    try:
        result = await _publish(scope, receive)
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


async def _publish(scope: Scope, receive: Receive) -> JsonObject:
    identity: Identity = scope[IDENTITY]
    session = _session(scope)
    identity.check("publish", session)
    request = ASGIRequest(scope, BytesIO())
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


def _session(scope: Scope) -> str:
    address = UPLOAD.path.match(path_below(scope) or "")
    assert address is not None  # the door is at this path
    return address[1]


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
        except ApiError:  # the body is too large
            end = {"type": "error", "errorText": UNREADABLE}
            raise
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
            if not self._response.begun and chunk.get("type") != "start":
                raise HoldfastError("bad_chunk", "a response's first chunk must be `start`")
            await self._write_chunk(chunk)
        if not self._response.begun:
            raise HoldfastError("bad_chunk", "the request has no line")
        await self._response.flush()  # raises pending errors, which the response's end would hide

    async def _write_chunk(self, chunk: Chunk) -> None:
        try:
            await self._response.write(chunk)
        except HoldfastError as problem:
            if self._response.failed:
                raise  # about an earlier line
            raise HoldfastError.stored(problem.code, f"Line {self._line}: {problem.message}") from None

    async def _chunks(self) -> AsyncIterator[Chunk]:
        async for line in self._lines():
            self._line += 1
            if line.strip():
                try:
                    chunk = json_text.read(line, halves=True).value
                except ValueError as error:
                    raise HoldfastError("bad_json", f"line {self._line}: {error}") from None
                if not isinstance(chunk, dict):
                    raise HoldfastError("bad_chunk", f"line {self._line}: a chunk is an object with a type")
                yield cast(Chunk, chunk)  # as far as it is one: see `ChunkIntake`

    async def _lines(self) -> AsyncIterator[bytes]:
        rest = b""
        deadline = self._next_deadline()
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await self._receive()
            except TimeoutError:
                return
            *lines, rest = (rest + message.get("body", b"")).split(b"\n")
            for line in lines:
                yield line
                deadline = self._next_deadline()  # after the line is written, which may wait for the database
            if len(rest) > 2 * conf.settings.chunk_bytes:
                raise HoldfastError("frame_too_large", f"line {self._line + 1}")
            if message["type"] == "http.disconnect":
                return  # `rest` is an incomplete line
            if not message.get("more_body"):
                yield rest
                return

    def _next_deadline(self) -> float:
        """Return the time by which the next line has to be complete."""
        return asyncio.get_running_loop().time() + conf.settings.upload_silence_s

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
