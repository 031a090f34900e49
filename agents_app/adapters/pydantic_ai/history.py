"""A session's messages as a model is told them: what people said, what was answered, what tools were called for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from sessions_app.core import fold
from sessions_app.core.message import Part

INTERRUPTED = "The answer was broken off before this tool had a result."
DENIED = "The person denied this tool call."


def model_messages(history: list[fold.MessageState]) -> list[ModelMessage]:
    """Oldest first, from the first that a person sent: providers refuse a history that begins with an answer.

    Reasoning is left out: it was signed for the requests of its own run. So are files, sources and data.
    """
    used: set[str] = set()
    since_a_person = dropwhile(lambda message: message.role == "assistant", history)
    return [told for message in since_a_person for told in _told(message, used)]


def text_of(parts: list[Part]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def unused(id: str, used: set[str]) -> str:
    """An id that is not used yet, the given one if possible; now it is used."""
    free, number = id, 1
    while free in used:
        number += 1
        free = f"{id}_{number}"
    used.add(free)
    return free


def _told(message: fold.MessageState, used: set[str]) -> Iterator[ModelMessage]:
    if message.role == "assistant":
        yield from _Answer(used).told(message.parts)
    elif text := text_of(message.parts):
        yield ModelRequest([UserPromptPart(text) if message.role == "user" else SystemPromptPart(text)])


class _Answer:
    """One answer, cut where the model had been given something: results of tools, or what somebody added."""

    def __init__(self, used: set[str]) -> None:
        self._used = used  # ids of calls: some providers refuse an id that comes twice
        self._said: list[ModelResponsePart] = []
        self._given: list[ModelRequestPart] = []

    def told(self, parts: list[Part]) -> Iterator[ModelMessage]:
        for part in parts:
            kind = part["type"]
            if kind in ("text", "step-start", "steering-message") and self._given:
                yield from self._cut()
            if kind == "text" and part["text"]:
                self._said.append(TextPart(part["text"]))
            elif kind == "steering-message":
                self._given.append(UserPromptPart(text_of(part["parts"])))
            elif kind.startswith("tool-") or kind == "dynamic-tool":
                self._call(part)
        yield from self._cut()

    def _cut(self) -> Iterator[ModelMessage]:
        if self._said:
            yield ModelResponse(self._said)
        if self._given:
            yield ModelRequest(self._given)
        self._said, self._given = [], []

    def _call(self, part: Part) -> None:
        if part.get("providerExecuted") or "input" not in part:
            return  # it was the provider's own, or nobody knows what it was about
        name = part.get("toolName") or part["type"].removeprefix("tool-")
        arguments = part["input"] if isinstance(part["input"], dict) else {"input": part["input"]}
        id = unused(part["toolCallId"], self._used)
        self._said.append(ToolCallPart(name, arguments, id))
        self._given.append(_result(part, name, id))


def _result(part: Part, name: str, id: str) -> ToolReturnPart:
    match part["state"]:
        case "output-available":
            return ToolReturnPart(name, part.get("output"), id)
        case "output-error":
            return ToolReturnPart(name, part["errorText"], id, outcome="failed")
        case "output-denied":
            return ToolReturnPart(name, part.get("approval", {}).get("reason") or DENIED, id, outcome="denied")
        case _:
            return ToolReturnPart(name, INTERRUPTED, id, outcome="interrupted")
