"""One turn of an agent: what it is asked, and what it answers with."""

from __future__ import annotations

from typing import Any

from sessions_app.core import fold
from sessions_app.responses import Response


class AgentFailed(Exception):
    """Raised by an agent to end its response as failed; its text tells the person what to do about it."""


class Turn:
    """`history` holds the session's messages up to the prompt, oldest first; `prompt` is the last one's text.

    Everything that is written is published at once and forgotten; `Response` says what can go wrong.
    """

    def __init__(self, response: Response, history: list[fold.Message]) -> None:
        self.history = history
        self.prompt = _text_of(history[-1]) if history else ""
        self._response = response
        self._open: tuple[str, str] | None = None  # the kind and id of the part that text goes to
        self._parts = 0

    async def text(self, delta: str) -> None:
        """Append to the answer."""
        await self._append("text", delta)

    async def reasoning(self, delta: str) -> None:
        """Append to the reasoning that people may look at."""
        await self._append("reasoning", delta)

    async def step(self) -> None:
        """Begin another step, as agents do after each call of the model."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "start-step"})

    async def tool(self, name: str, arguments: dict[str, Any]) -> ToolCall:
        """Say that a tool is called; the call that is returned takes its output."""
        await self._close()
        call = ToolCall(self._response, f"call_{self._next()}")
        await call.begin(name, arguments)
        return call

    async def write(self, chunk: dict[str, Any]) -> None:
        """Write any other chunk of the vocabulary."""
        await self._close()
        await self._response.write(chunk)

    async def begin(self) -> None:
        await self._response.write({"type": "start", "messageId": self._response.uid})
        await self._response.write({"type": "start-step"})

    async def finish(self) -> None:
        """End the answer, and wait until all of it is stored."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "finish", "finishReason": "stop"})
        await self._response.flush()

    async def _append(self, kind: str, delta: str) -> None:
        if self._open is None or self._open[0] != kind:
            await self._close()
            self._open = kind, f"{kind}_{self._next()}"
            await self._response.write({"type": f"{kind}-start", "id": self._open[1]})
        await self._response.write({"type": f"{kind}-delta", "id": self._open[1], "delta": delta})

    async def _close(self) -> None:
        if self._open is not None:
            kind, id_ = self._open
            self._open = None
            await self._response.write({"type": f"{kind}-end", "id": id_})

    def _next(self) -> int:
        self._parts += 1
        return self._parts


class ToolCall:
    """A call of a tool, to be ended with its output or its error."""

    def __init__(self, response: Response, id: str) -> None:
        self._response = response
        self._id = id

    async def begin(self, name: str, arguments: dict[str, Any]) -> None:
        call = {"toolCallId": self._id, "toolName": name}
        await self._response.write({"type": "tool-input-start", **call})
        await self._response.write({"type": "tool-input-available", **call, "input": arguments})

    async def output(self, output: Any) -> None:
        await self._response.write({"type": "tool-output-available", "toolCallId": self._id, "output": output})

    async def error(self, message: str) -> None:
        await self._response.write({"type": "tool-output-error", "toolCallId": self._id, "errorText": message})


def _text_of(message: fold.Message) -> str:
    return "\n".join(part["text"] for part in message.parts if part["type"] == "text")
