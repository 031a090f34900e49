"""UI message streams of the AI SDK, as NDJSON or server-sent events: each becomes an answer.

`streamText(…).toUIMessageStream()` in Node makes one, and so does pydantic-ai's `VercelAIAdapter`. Needs no package.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import cast

from agents_app.adapters import failures
from agents_app.backend import ChunkWriter
from agents_app.turn import AgentFailed, Turn
from sessions_app.core import json_text, vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk

logger = logging.getLogger(__name__)

MALFORMED = "The agent's stream is no UI message stream. The site's operator finds the reason in the server's log."
NO_END = "The agent's stream ended before its answer did. What had been written is kept. Ask again."
NO_ANSWER = "The agent asks for an approval, and its stream has no way back for the decision."


async def answer(turn: Turn, lines: AsyncIterator[str | bytes]) -> None:
    """Answer the turn with a UI message stream, one or more whole lines at a time. Raises AgentFailed if it fails."""
    relay = _Relay(turn)
    try:
        async for text in lines:
            for chunk in _chunks(text):
                await relay.write(chunk)
    except ValueError as problem:
        logger.warning("no UI message stream in session %s: %s", turn.session, problem)
        raise AgentFailed(MALFORMED) from None
    finally:
        if close := getattr(lines, "aclose", None):
            await close()
    if not relay.finished:
        raise AgentFailed(NO_END)


async def publish(response: ChunkWriter, lines: AsyncIterator[str | bytes]) -> None:
    """Write a UI message stream into a `Publisher`'s response, up to its end, and wait until it is stored.

    A stream that breaks off ends the response as failed.
    """
    try:
        async for text in lines:
            for chunk in _chunks(text):
                await response.write(chunk)
                if chunk["type"] in vocabulary.ENDS:
                    return
        await response.write({"type": "error", "errorText": NO_END})
    except ValueError as problem:
        logger.warning("no UI message stream in session %s: %s", response.session, problem)
        await response.write({"type": "error", "errorText": MALFORMED})
    finally:
        if close := getattr(lines, "aclose", None):
            await close()
        await response.flush()


def _chunks(text: str | bytes) -> Iterator[Chunk]:
    text = text.decode() if isinstance(text, bytes) else text
    for line in text.split("\n"):
        line = line.removeprefix("data:").strip()
        if not line or line == "[DONE]" or line.startswith((":", "event:", "id:", "retry:")):
            continue
        chunk = json_text.read(line, halves=True).value
        if not isinstance(chunk, dict) or not isinstance(chunk.get("type"), str):
            raise ValueError("a chunk is an object with a type")
        yield cast(Chunk, chunk)


class _Relay:
    """Writes the chunks of one stream into a turn, which begins and ends its response itself."""

    def __init__(self, turn: Turn) -> None:
        self.finished = False
        self._turn = turn
        self._steps = 0

    async def write(self, chunk: Chunk) -> None:
        match chunk["type"]:
            case "start" | "finish-step":
                pass
            case "start-step":
                await self._step()
            case "finish":
                self.finished = True
            case "error":
                raise AgentFailed(chunk.get("errorText") or failures.STOPPED)
            case "abort":
                raise AgentFailed(failures.STOPPED)
            case "tool-approval-request":
                raise AgentFailed(NO_ANSWER)
            case kind if kind in vocabulary.BEGINS or kind in vocabulary.ENDS:
                raise ValueError(f"{kind} is not the agent's to write")
            case _:
                await self._write(chunk)

    async def _step(self) -> None:
        self._steps += 1
        if self._steps > 1:  # the first one has begun with the turn
            await self._turn.write({"type": "finish-step"})
            await self._turn.write({"type": "start-step"})

    async def _write(self, chunk: Chunk) -> None:
        try:
            await self._turn.write(chunk)
        except HoldfastError as problem:
            if problem.code not in ("bad_chunk", "unknown_chunk", "unknown_part"):
                raise
            raise ValueError(problem.message) from None
