"""A session's history as model messages: user prompts, answers, tool calls with their results."""

from __future__ import annotations

import json
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

from agents_app.adapters.values import OUTPUT, unused
from sessions_app.core import fold
from sessions_app.core.wire_types import Part

INTERRUPTED = "The answer was broken off before this tool had a result."
DENIED = "The person denied this tool call."


def model_messages(history: list[fold.MessageState]) -> list[ModelMessage]:
    """Return them oldest first, from the first user message: providers refuse a history that begins with an answer.

    Reasoning is left out, since it was signed for the requests of its own run; so are files, sources, and data but
    structured output.
    """
    used: set[str] = set()
    since_a_person = dropwhile(lambda message: message.role == "assistant", history)
    return [told for message in since_a_person for told in _told(message, used)]


def text_of(parts: list[Part]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _told(message: fold.MessageState, used: set[str]) -> Iterator[ModelMessage]:
    if message.role == "assistant":
        yield from _Transcript(used).told(message.parts)
    elif text := text_of(message.parts):
        yield ModelRequest([UserPromptPart(text) if message.role == "user" else SystemPromptPart(text)])


class _Transcript:
    """One answer, cut into model messages where the model was given something: tool results, or steers."""

    def __init__(self, used: set[str]) -> None:
        self._used = used  # ids of calls: some providers refuse an id that comes twice
        self._said: list[ModelResponsePart] = []
        self._given: list[ModelRequestPart] = []

    def told(self, parts: list[Part]) -> Iterator[ModelMessage]:
        for part in parts:
            kind = part["type"]
            if kind in ("text", f"data-{OUTPUT}", "step-start", "steering-message") and self._given:
                yield from self._cut()
            if kind == "text" and part["text"]:
                self._said.append(TextPart(part["text"]))
            elif kind == f"data-{OUTPUT}":
                self._said.append(TextPart(json.dumps(part["data"], ensure_ascii=False)))
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
            return  # the provider's own call, or one whose arguments never arrived
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
