"""One turn of an agent: its prompt, its answer, and what people send it meanwhile. Pure: see `agents_app.backend`."""

from __future__ import annotations

from typing import Literal

from agents_app.answer import Answer
from agents_app.backend import Arguments, Backend
from agents_app.tool_call import ToolCall
from sessions_app.core.fold import MessageState
from sessions_app.core.frames import MOST_TOKENS
from sessions_app.core.signals import AgentSignal
from sessions_app.core.wire_types import Chunk

Mode = Literal["answer", "continue", "regenerate"]


class AgentFailed(Exception):
    """Raised by an agent that can't go on: its response ends as failed, with this text for the person who asked."""


class Turn(Answer):
    """One turn. `history`: the session's messages up to the prompt, oldest first. `prompt`: the newest user text.

    `mode`: to `answer`, to `continue` an earlier answer (the last of `history`), or to `regenerate` one.

    Everything that is written is published at once and forgotten; `Backend.write` says what can go wrong. When a person
    stops the agent, `asyncio.CancelledError` is raised in it; its text stays, and its response ends by itself.
    """

    def __init__(self, backend: Backend, history: list[MessageState], *, mode: Mode = "answer") -> None:
        super().__init__(backend)
        self.history = history
        self.prompt = next((_text_of(message) for message in reversed(history) if message.role == "user"), "")
        self.mode = mode
        self._backend = backend

    @property
    def chunk_bytes(self) -> int:
        """The largest chunk that `write` takes, in bytes of its JSON."""
        return self._backend.chunk_bytes

    async def step(self) -> list[str]:
        """Begin the next step, as agents do after each call of the model; return what people have said meanwhile.

        Their words become parts of the answer here, and their senders are told that the agent has read them.
        """
        await self._end_step()
        steers = self._backend.take_steers()
        for steer in steers:
            chunk: Chunk = {"type": "steering-message", "id": steer.id, "parts": steer.payload["parts"]}
            await self._backend.write(chunk, settles=steer)
        await self._backend.write({"type": "start-step"})
        return list(map(_text_of_steer, steers))

    async def tool(self, name: str, arguments: Arguments | str, *, title: str | None = None) -> ToolCall:
        """Write a tool call and return it: it takes its output, or asks people about it.

        `arguments`: as an object, or as their JSON text, which people then see and approve byte for byte.
        """
        await self._close()
        call = self.call(f"call_{self._next()}", name, arguments)
        await call.begin(title=title)
        return call

    def call(self, id: str, name: str, arguments: Arguments | str) -> ToolCall:
        """Return a call that was written chunk by chunk, with `write`: to ask people about it, or for its result."""
        return ToolCall(self._backend, id, name, arguments)

    def usage(self, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Count what a model has read and written; the admin shows the run's sum. Raises ValueError."""
        for name, count in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if type(count) is not int or not 0 <= count <= MOST_TOKENS:
                raise ValueError(f"{name} is a whole number from 0 to {MOST_TOKENS}, not {count!r}")
        self._backend.count_usage(input_tokens=input_tokens, output_tokens=output_tokens)


def _text_of(message: MessageState) -> str:
    return "\n".join(part["text"] for part in message.parts if part["type"] == "text")


def _text_of_steer(steer: AgentSignal) -> str:
    return "\n".join(part["text"] for part in steer.payload["parts"])
