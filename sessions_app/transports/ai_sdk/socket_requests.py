"""Requests of an AI SDK client on one WebSocket: its frames, and each request's answer in the frames of its transport.

Only `requestId` tells requests apart. All of them share one connection, with its limits, its memory and its end.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable

import orjson

from sessions_app import conf
from sessions_app.core import frames, json_text
from sessions_app.core.asgi_types import Send
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, ErrorFrame, FollowedFrame, JsonObject
from sessions_app.delivery.connection import Connection
from sessions_app.fairness import rates
from sessions_app.http.errors import ApiError, Refusal, refusal_of
from sessions_app.process import Process
from sessions_app.transports.ai_sdk import chat
from sessions_app.transports.ai_sdk.chat import Answer
from sessions_app.transports.sockets import keep_pace

MAX_OPEN = 16  # requests of one socket: each holds the state of its answer
ID_LENGTH = 128  # of a request's id, which each frame of its answer repeats
HEAD_LENGTH = 4096  # characters of a frame in which its request's id is looked for if it isn't parsed
# In a text the quotes would be escaped.
_ID = re.compile(rf'"requestId"\s*:\s*("(?:[^"\\]|\\.){{0,{ID_LENGTH}}}")')
_ASKED = ("id", "trigger", "messageId", "messages")  # what a frame itself says; `body` may have anything else

logger = logging.getLogger(__name__)


class OpenRequest:
    """A request whose answer is being told."""

    def __init__(self, id: str, answer: Answer) -> None:
        self.id = id
        self.answer = answer
        self._sequence = 0

    def encode(self, chunks: Iterable[Chunk]) -> list[str]:
        """Return chunks as frames, numbered without a gap: the client takes one for a broken connection."""
        texts = []
        for chunk in chunks:
            texts.append(frame("chunk", self.id, sequence=self._sequence, chunk=chunk))
            self._sequence += 1
        return texts


def frame(type: str, request: str, **fields: object) -> str:
    """Return a server's frame."""
    return orjson.dumps({"type": type, "requestId": request, **fields}).decode()


def refusal_frame(request: str, problem: Refusal) -> str:
    """Return the frame that ends a request with an error: its text is the body that an HTTP request would get."""
    return frame("error", request, errorText=orjson.dumps(problem.as_dict()).decode())


def request_in(text: str | None) -> str:
    """Return the request that a frame names, though it can't be read; empty if it names none: clients ignore that."""
    named = _ID.search(text or "", 0, HEAD_LENGTH)
    try:
        return str(orjson.loads(named[1])) if named else ""
    except orjson.JSONDecodeError:
        return ""


class SocketRequests:
    """The open requests of one socket."""

    def __init__(self, server: Process, send_message: Send) -> None:
        self.connection: Connection  # set as soon as it is admitted, before the first frame
        self._server = server
        self._send_message = send_message
        self._open: dict[str, OpenRequest] = {}

    # Frames of the client

    async def receive(self, text: str | None, *, now: float) -> None:
        """Handle one frame of the client; None stands for a binary message."""
        connection = self.connection
        await keep_pace(connection.payer)
        connection.heard_at = now
        request = request_in(text)
        try:
            self._count_large(text)
            request, asked = _read(text)
            await self._handle(request, asked)
        except Exception as error:
            await self._refuse(request, _refusal(error))
        # Don't read from a client that doesn't read.
        await connection.drain()

    async def _handle(self, request: str, asked: JsonObject) -> None:
        if asked["type"] == "abort":
            self._close(request)  # stops nothing: useChat aborts when its page is left, too
        elif asked["type"] not in ("send", "resume"):
            raise HoldfastError("unknown_type", f"send `send`, `resume` or `abort`, not {str(asked['type'])[:40]!r}")
        elif request in self._open:
            raise HoldfastError("bad_frame", "a request with this `requestId` is open")
        elif len(self._open) >= MAX_OPEN:
            raise HoldfastError("too_many_requests", f"at most {MAX_OPEN}")
        else:
            await (self._submit if asked["type"] == "send" else self._resume)(request, asked)

    async def _submit(self, request: str, asked: JsonObject) -> None:
        self._count("write")
        answer = await chat.submit(
            self._server, self.connection.identity, _body(asked), address=self.connection.address
        )
        asked.clear()  # frees the conversation while its answer is told
        await self._say(frame("start", request))
        if answer.reader.uid:
            await self._follow(request, answer)
        else:
            await self._say(frame("end", request))

    async def _resume(self, request: str, asked: JsonObject) -> None:
        self._count("link")
        chat_id = asked.get("id")
        if not isinstance(chat_id, str):
            raise HoldfastError("bad_frame", "`id` must be the chat's id")
        answer = await chat.under_way(self.connection.identity, chat_id)
        if answer is None:
            await self._say(frame("no-active", request))
            return
        await self._say(frame("start", request))
        await self._follow(request, answer)

    async def _follow(self, request: str, answer: Answer) -> None:
        self._open[request] = OpenRequest(request, answer)
        await answer.attach(self.connection)

    def _count_large(self, text: str | None) -> None:
        """Count a frame that takes long to parse before it is parsed, as a request with such a body is."""
        if text is not None and len(text) > conf.settings.frame_bytes:
            self._count("write")

    def _count(self, kind: rates.Kind) -> None:
        if wait_s := rates.take(kind, self.connection.payer):
            raise HoldfastError("rate_limited", f"again in {math.ceil(wait_s)} s", retry_after_s=wait_s)

    # Frames of its sessions

    async def tell(self, texts: list[str]) -> None:
        """Tell the open requests what frames of the connection say. Returns when the server has taken it."""
        while texts:  # taken out, as the caller holds the list while the client doesn't read
            said: FollowedFrame = orjson.loads(texts.pop(0))
            if said["type"] == "error" and "session" not in said:
                await self._fail_all(said)
                continue
            for place, open_ in enumerate(self._concerned(said)):
                await self._tell(open_, said, is_copy=place > 0)

    def _concerned(self, said: FollowedFrame) -> list[OpenRequest]:
        session = said.get("session")
        return [each for each in self._open.values() if session in (None, each.answer.session)]

    async def _tell(self, open_: OpenRequest, said: FollowedFrame, *, is_copy: bool) -> None:
        is_over = False
        try:
            texts = await chat.tell(said, open_.answer, self.connection, open_.encode)
        except Exception as error:
            texts, is_over = open_.encode([chat.error_chunk(_refusal(error))]), True
        if is_copy:  # one of a session's frames is charged by the connection
            self.connection.delivered += sum(map(frames.size, texts))
        for text in texts:
            if self._open.get(open_.id) is not open_:
                return  # aborted meanwhile
            await self._say(text)
        if (is_over or open_.answer.reader.is_over) and self._open.get(open_.id) is open_:
            self._close(open_.id)
            await self._say(frame("end", open_.id))

    # Ends

    def _close(self, request: str) -> None:
        closed = self._open.pop(request, None)
        if closed is not None and not any(each.answer.session == closed.answer.session for each in self._open.values()):
            self.connection.forget(closed.answer.session)

    async def _refuse(self, request: str, problem: Refusal) -> None:
        self._close(request)
        await self._say(refusal_frame(request, problem))

    async def _fail_all(self, said: ErrorFrame) -> None:
        """End all requests with an error that ends the connection."""
        open_, self._open = [*self._open], {}
        if said["code"] not in chat.COMES_BACK:
            for request in open_:
                await self._say(refusal_frame(request, HoldfastError.stored(said["code"], said["message"])))

    async def _say(self, text: str) -> None:
        try:
            await self._send_message({"type": "websocket.send", "text": text})
        except Exception as error:  # servers raise different errors for a client that has gone
            logger.debug("a chat's client has gone: %s", error)


def _read(text: str | None) -> tuple[str, JsonObject]:
    """Return a client's frame, and before it its request's id. Raises HoldfastError and ApiError."""
    if text is None:
        raise HoldfastError("bad_frame", "frames must be text, not binary")
    most = conf.settings.chat_body_bytes
    if frames.size(text) > most:
        raise ApiError("body_too_large", f"at most {most} bytes")
    try:
        asked = json_text.read(text).value
    except ValueError as error:
        raise ApiError("bad_json", str(error)) from None
    if not isinstance(asked, dict) or not isinstance(asked.get("type"), str):
        raise HoldfastError("bad_frame", "a frame must be an object with a `type`")
    request = asked.get("requestId")
    if not isinstance(request, str) or not 0 < len(request) <= ID_LENGTH:
        raise HoldfastError("bad_frame", f"`requestId` must be a string of 1 to {ID_LENGTH} characters")
    return request, asked


def _body(asked: JsonObject) -> JsonObject:
    """Return what an HTTP request would have as its body. Raises bad_frame."""
    body = asked.get("body")
    if not isinstance(body, dict | None):
        raise HoldfastError("bad_frame", "`body` must be an object")
    return {**(body or {}), **{name: asked.get(name) for name in _ASKED}}


def _refusal(error: Exception) -> Refusal:
    refusal = refusal_of(error)
    if refusal is None:
        logger.error("a chat's request failed", exc_info=error)
        return HoldfastError("internal")
    return refusal
