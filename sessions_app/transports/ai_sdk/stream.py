"""Stream of one response to an AI SDK client: the frames of a connection, as the client's chunks.

It ends with the response, or when that only waits for people: the client sends nothing while it reads. Whatever else
ends it is an `error` chunk, since a stream that just ends is a complete answer to the client.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Iterable

import orjson
from django.http import HttpRequest

from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.ai_sdk import ResponseReader
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.process import Process
from sessions_app.transports import sse
from sessions_app.transports.ai_sdk import answers
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

logger = logging.getLogger(__name__)


async def body(
    server: Process, identity: Identity, session: str, reader: ResponseReader, *, request: HttpRequest
) -> AsyncGenerator[bytes, None]:
    """Follow one response of a session to its end. Acquires nothing before it is iterated."""
    try:
        async with sse.StreamConnection(server, identity, request) as stream:
            connection = stream.connection
            connection.ends_at = math.inf  # the client doesn't ask for another stream by itself
            connection.start(connection.follow([attach_frame({"session": session, "rewind": 0})]))
            yield sse.PADDING.encode()
            while not reader.is_over and (texts := await stream.body.next()) is not None:
                while texts and not reader.is_over:
                    # Taken out, as `send` holds the list while the client doesn't read.
                    yield (await _told(texts.pop(0), session, reader, connection)).encode()
    except HoldfastError as problem:
        yield _events([_error(problem)]).encode()
    except Exception:
        logger.exception("a chat's stream failed")
        yield _events([_error(HoldfastError("internal"))]).encode()
    yield DONE.encode()


async def nothing() -> AsyncGenerator[bytes, None]:
    """The stream of a message that no agent answers."""
    yield DONE.encode()


async def _told(text: str, session: str, reader: ResponseReader, connection: Connection) -> str:
    """Return a frame as the client gets it. Raises HoldfastError for one that ends the stream."""
    frame = orjson.loads(text)
    kind = frame["type"]
    if kind == "events":
        return _events(reader.follow(frame["events"]), frames.cursor_of(text))
    if kind == "attached":
        # Read after the connection follows the session: what was stored in between comes twice, and counts once.
        async with connection.turn(is_patient=True) as bill:
            message = await threads.run(answers.stored, session, reader.uid)
            told = _events(reader.catch_up(message, frame["signals"]), frames.cursor_of(text))
            bill.charge(frames.size(told))
        return told
    if kind in ("error", "detached"):
        problem = frame.get("error", frame)
        raise HoldfastError.stored(problem["code"], problem["message"])
    if kind == "going-away":
        raise HoldfastError("going_away")
    reader.beat()
    return KEEP_ALIVE


def _events(chunks: Iterable[Chunk], cursor: str = "") -> str:
    """Return chunks as events; the last has the cursor after them as its id."""
    events = [f"data: {orjson.dumps(chunk).decode()}\n\n" for chunk in chunks]
    if events and cursor:
        events[-1] = f"id: {cursor}\n{events[-1]}"
    return "".join(events)


def _error(problem: HoldfastError) -> Chunk:
    return {"type": "error", "errorText": problem.message}
