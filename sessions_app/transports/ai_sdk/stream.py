"""Stream of one response to an AI SDK client over HTTP: the frames of a connection, as the client's chunks in events.

It ends with the response, or when that only waits for people: the client sends nothing while it reads. Whatever else
ends it is an `error` chunk, since a stream that just ends is a complete answer to the client; or it breaks off, if the
client is to come back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from functools import partial

import orjson
from django.http import HttpRequest

from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, FollowedFrame
from sessions_app.delivery.connection import Connection
from sessions_app.process import Process
from sessions_app.servers.request_limits import ResponseCut
from sessions_app.transports import sse
from sessions_app.transports.ai_sdk import chat
from sessions_app.transports.ai_sdk.chat import Answer
from sessions_app.transports.attach_requests import attach_frame

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Vercel-AI-UI-Message-Stream": "v1",
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",  # compression would buffer the response
}
DONE = "data: [DONE]\n\n"
KEEP_ALIVE = ": keep-alive\n\n"  # a comment, which clients skip
OVER = "over"  # reason of a stream's end, for operators: its answer has ended or waits for people

logger = logging.getLogger(__name__)


async def body(
    server: Process, identity: Identity, answer: Answer, *, request: HttpRequest
) -> AsyncGenerator[bytes, None]:
    """Follow one response of a session to its end. Acquires nothing before it is iterated."""
    reader = answer.reader
    try:
        async with sse.StreamConnection(server, identity, request) as stream:
            connection = stream.connection
            connection.ends_at = math.inf  # the client doesn't ask for another stream by itself
            connection.start(connection.follow([attach_frame({"session": answer.session, "rewind": 0})]))
            yield sse.PADDING.encode()
            while not reader.is_over and (texts := await stream.body.next()) is not None:
                while texts and not reader.is_over:
                    # Taken out, as `send` holds the list while the client doesn't read.
                    yield (await _told(texts.pop(0), answer, connection)).encode()
            connection.end_reason = connection.end_reason or OVER
    except ResponseCut:
        raise
    except HoldfastError as problem:
        yield "".join(_events([chat.error_chunk(problem)])).encode()
    except Exception:
        logger.exception("a chat's stream failed")
        yield "".join(_events([chat.error_chunk(HoldfastError("internal"))])).encode()
    yield DONE.encode()


async def nothing() -> AsyncGenerator[bytes, None]:
    """The stream of a message that no agent answers."""
    yield DONE.encode()


async def _told(text: str, answer: Answer, connection: Connection) -> str:
    """Return a frame as the client gets it. Raises HoldfastError and ResponseCut for one that ends the stream."""
    frame: FollowedFrame = orjson.loads(text)
    if frame["type"] == "going-away" or (frame["type"] == "error" and frame["code"] in chat.COMES_BACK):
        raise ResponseCut
    told = await chat.tell(frame, answer, connection, partial(_events, cursor=frames.cursor_of(text)))
    return KEEP_ALIVE if frame["type"] == "heartbeat" else "".join(told)


def _events(chunks: list[Chunk], cursor: str = "") -> list[str]:
    """Return chunks as events; the last has the cursor after them as its id."""
    events = [f"data: {orjson.dumps(chunk).decode()}\n\n" for chunk in chunks]
    if events and cursor:
        events[-1] = f"id: {cursor}\n{events[-1]}"
    return events
