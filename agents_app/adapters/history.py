"""A session's history as a model's conversation, in no framework's types: adapters turn it into their own messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from agents_app.adapters.values import OUTPUT, unused
from agents_app.backend import Arguments
from agents_app.turn import Turn
from sessions_app.core import fold, json_text
from sessions_app.core.wire_types import Part

INTERRUPTED = "The answer was broken off before this tool had a result."
DENIED = "The person denied this tool call."
GO_ON = "Your answer was broken off. Go on where it ended, and don't repeat what it says already."

Outcome = Literal["success", "failed", "denied", "interrupted"]
Role = Literal["user", "system", "assistant"]


@dataclass(frozen=True)
class Call:
    """A tool call of the model."""

    id: str
    name: str
    arguments: Arguments

    @property
    def text(self) -> str:
        """The JSON text of the arguments."""
        return json_text.of(self.arguments)


@dataclass(frozen=True)
class Result:
    """The result of a tool call. `value`: its output, or the error's words."""

    id: str
    name: str
    value: object
    outcome: Outcome

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)


@dataclass(frozen=True)
class Message:
    """Texts and calls of the model, or what it was given: texts of a person, and results."""

    role: Role
    items: list[str | Call | Result]

    @property
    def text(self) -> str:
        return "\n".join(item for item in self.items if isinstance(item, str))


def conversation(history: list[fold.MessageState]) -> list[Message]:
    """Return it oldest first, from the first user message: providers refuse one that begins with an answer.

    Reasoning is left out, since it was signed for the requests of its own run; so are files, sources, and data but
    structured output. Ids of calls are unique in it.
    """
    used: set[str] = set()
    since_a_person = dropwhile(lambda message: message.role == "assistant", history)
    return [told for message in since_a_person for told in _told(message, used)]


def goes_on(turn: Turn) -> bool:
    """Return whether the model is to go on with an answer: not if it was broken off before its first word."""
    return turn.mode == "continue" and any(part["type"] != "step-start" for part in turn.history[-1].parts)


def last_calls(history: list[fold.MessageState]) -> dict[str, Part]:
    """Return the calls of the newest answer, by id: what a run that was broken off has left."""
    newest = next((message for message in reversed(history) if message.role == "assistant"), None)
    parts = newest.parts if newest else []
    return {part["toolCallId"]: part for part in parts if part["type"].startswith(("tool-", "dynamic-tool"))}


def may_have_run(part: Part) -> bool:
    """Return whether a call's tool may have been run, or may be about to by an approval of an earlier run."""
    return part["state"] not in ("input-streaming", "input-available", "approval-requested")


def result_of(part: Part, name: str, id: str) -> Result:
    """Return a call's result, as the model is told it."""
    match part["state"]:
        case "output-available":
            return Result(id, name, part.get("output"), "success")
        case "output-error":
            return Result(id, name, part["errorText"], "failed")
        case "output-denied":
            return Result(id, name, part.get("approval", {}).get("reason") or DENIED, "denied")
        case _:
            return Result(id, name, INTERRUPTED, "interrupted")


def text_of(parts: list[Part]) -> str:
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def _told(message: fold.MessageState, used: set[str]) -> Iterator[Message]:
    if message.role == "assistant":
        yield from _Transcript(used).told(message.parts)
    elif text := text_of(message.parts):
        yield Message("user" if message.role == "user" else "system", [text])


class _Transcript:
    """One answer, cut into messages where the model was given something: tool results, or steers."""

    def __init__(self, used: set[str]) -> None:
        self._used = used  # ids of calls: some providers refuse an id that comes twice
        self._said: list[str | Call | Result] = []
        self._given: list[str | Call | Result] = []

    def told(self, parts: list[Part]) -> Iterator[Message]:
        for part in parts:
            kind = part["type"]
            if kind in ("text", f"data-{OUTPUT}", "step-start", "steering-message") and self._given:
                yield from self._cut()
            if kind == "text" and part["text"]:
                self._said.append(part["text"])
            elif kind == f"data-{OUTPUT}":
                self._said.append(json.dumps(part["data"], ensure_ascii=False))
            elif kind == "steering-message":
                self._given.append(text_of(part["parts"]))
            elif kind.startswith("tool-") or kind == "dynamic-tool":
                self._call(part)
        yield from self._cut()

    def _cut(self) -> Iterator[Message]:
        if self._said:
            yield Message("assistant", self._said)
        if self._given:
            yield Message("user", self._given)
        self._said, self._given = [], []

    def _call(self, part: Part) -> None:
        if part.get("providerExecuted") or "input" not in part:
            return  # the provider's own call, or one whose arguments never arrived
        name = part.get("toolName") or part["type"].removeprefix("tool-")
        arguments = part["input"] if isinstance(part["input"], dict) else {"input": part["input"]}
        id = unused(part["toolCallId"], self._used)
        self._said.append(Call(id, name, arguments))
        self._given.append(result_of(part, name, id))
