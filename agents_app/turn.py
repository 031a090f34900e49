"""One turn of an agent: what it is asked, what it answers with, and what people send it meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from agents_app.answer import Answer
from agents_app.tool_call import ToolCall
from sessions_app.core import fold, signals
from sessions_app.process import Process
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.runs import lifecycle
from sessions_app.runs.inbox import RunInbox


class AgentFailed(Exception):
    """Raised by an agent that can't go on: its response ends as failed, with this text for the person who asked."""


class Turn(Answer):
    """`history` holds the session's messages up to the prompt, oldest first; `prompt` is the last person's text.

    `mode`: to `answer`, to `continue` an earlier answer (the last of `history`), or to `regenerate` one.

    Everything that is written is published at once and forgotten; `LocalWriter` says what can go wrong. When somebody
    stops the agent, `asyncio.CancelledError` is raised in it; its text stays, and its response ends by itself.
    """

    _response: LocalWriter

    def __init__(
        self, process: Process, response: LocalWriter, inbox: RunInbox, history: list[fold.MessageState]
    ) -> None:
        super().__init__(response)
        self.history = history
        self.prompt = next((_text_of(message) for message in reversed(history) if message.role == "user"), "")
        self.mode: Literal["answer", "continue", "regenerate"] = response.run.mode  # type: ignore[assignment]
        self._process = process
        self._inbox = inbox

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
        call = self.call(f"call_{self._next()}", name, arguments)
        await call.begin({} if title is None else {"title": title})
        return call

    def call(self, id: str, name: str, arguments: dict[str, Any]) -> ToolCall:
        """A call that was written chunk by chunk, with `write`: to ask people about it, or for its result."""
        return ToolCall(self._process, self._response, self._inbox, id, name, arguments)

    def usage(self, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Count what a model has read and written; the admin shows the sum of the run."""
        self._response.with_next(partial(_count, self._response.run.pk, input_tokens, output_tokens))

    async def finish(self) -> None:
        """End the answer, and wait until all of it is stored."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "finish", "finishReason": "stop"})
        await self._response.flush()


def _apply(key: int, log: Any) -> None:
    lifecycle.settle_by_key(log, key, signals.APPLIED)


def _count(run: str, input_tokens: int, output_tokens: int, log: Any) -> None:
    lifecycle.add_usage(run, input_tokens, output_tokens)


def _text_of(message: fold.MessageState) -> str:
    return "\n".join(part["text"] for part in message.parts if part["type"] == "text")
