"""One turn of an agent: what it is asked, what it answers with, and what people send it meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from agents_app.tools import ToolCall
from sessions_app import runs
from sessions_app.core import fold, signals
from sessions_app.inbox import Inbox
from sessions_app.process import Process
from sessions_app.responses import Response


class AgentFailed(Exception):
    """Raised by an agent that can't go on: its response ends as failed, with this text for the person who asked."""


class Turn:
    """`history` holds the session's messages up to the prompt, oldest first; `prompt` is the last person's text.

    `mode`: to `answer`, to `continue` an earlier answer (the last of `history`), or to `regenerate` one.

    Everything that is written is published at once and forgotten; `Response` says what can go wrong. When somebody
    stops the agent, `asyncio.CancelledError` is raised in it; its text stays, and its response ends by itself.
    """

    def __init__(self, process: Process, response: Response, inbox: Inbox, history: list[fold.Message]) -> None:
        self.history = history
        self.prompt = next((_text_of(message) for message in reversed(history) if message.role == "user"), "")
        self.session = response.session
        self.mode: Literal["answer", "continue", "regenerate"] = response.run.mode  # type: ignore[assignment]
        self._process = process
        self._response = response
        self._inbox = inbox
        self._open: tuple[str, str] | None = None  # the kind and id of the part that text goes to
        self._parts = 0
        self._tokens = [0, 0]  # read and written by models, not yet counted

    async def text(self, delta: str) -> None:
        """Append to the answer."""
        await self._append("text", delta)

    async def reasoning(self, delta: str) -> None:
        """Append to the reasoning that people may look at."""
        await self._append("reasoning", delta)

    async def step(self) -> list[str]:
        """Begin another step, as agents do after each call of the model; return what people have said meanwhile.

        It becomes a part of the answer here, and its senders are told that it was read.
        """
        await self._close()
        await self._response.write({"type": "finish-step"})
        steers = self._inbox.take_steers()
        for steer in steers:
            await self._response.write(
                {"type": "steering-message", "id": steer.id, "parts": steer.payload["parts"]},
                also=partial(_apply, steer.key),
            )
        await self._response.write({"type": "start-step"})
        return ["\n".join(part["text"] for part in steer.payload["parts"]) for steer in steers]

    async def tool(self, name: str, arguments: dict[str, Any], *, title: str | None = None) -> ToolCall:
        """Say that a tool is called; the call that is returned takes its output, or asks people about it."""
        await self._close()
        call = ToolCall(self._process, self._response, self._inbox, f"call_{self._next()}", name, arguments)
        await call.begin({} if title is None else {"title": title})
        return call

    async def data(self, name: str, value: Any, *, id: str | None = None, transient: bool = False) -> None:
        """Add data of one's own: a `data-<name>` part of the AI SDK. With an id it replaces the one before."""
        chunk: dict[str, Any] = {"type": f"data-{name}", "data": value}
        await self.write(chunk | ({} if id is None else {"id": id}) | ({"transient": True} if transient else {}))

    async def write(self, chunk: dict[str, Any]) -> None:
        """Write any other chunk of the vocabulary."""
        await self._close()
        await self._response.write(chunk)

    def usage(self, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Count what a model has read and written; the admin shows the sum of the run."""
        self._tokens = [self._tokens[0] + input_tokens, self._tokens[1] + output_tokens]

    async def begin(self) -> None:
        await self._response.write({"type": "start", "messageId": self._response.uid})
        await self._response.write({"type": "start-step"})

    async def finish(self) -> None:
        """End the answer, and wait until all of it is stored."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "finish", "finishReason": "stop"}, also=self._count)
        await self._response.flush()

    def _count(self, log: Any) -> None:
        if any(self._tokens):
            runs.add_usage(self._response.run.pk, *self._tokens)

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


def _apply(key: int, log: Any) -> None:
    runs.settle_by_key(log, key, signals.APPLIED)


def _text_of(message: fold.Message) -> str:
    return "\n".join(part["text"] for part in message.parts if part["type"] == "text")
