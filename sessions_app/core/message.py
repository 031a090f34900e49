"""A message between two of its events: its fields, its parts, and what is still open in it."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from sessions_app.core.errors import HoldfastError
from sessions_app.core.vocabulary import Chunk

Part = dict[str, Any]


class OpenInput(TypedDict):
    """A tool call whose input is still streaming: its part's index, and the raw text so far."""

    part: int
    text: str


class OpenParts(TypedDict):
    """What a fold needs to go on: the part index of each open text and reasoning id, and each open input."""

    text: dict[str, int]
    reasoning: dict[str, int]
    tools: dict[str, OpenInput]


def nothing_open() -> OpenParts:
    return {"text": {}, "reasoning": {}, "tools": {}}


@dataclass(slots=True)
class MessageState:
    """`marks` holds, for each part, the serials [born, touched] of the events that made and last changed it.
    `created_at` is in milliseconds since 1970, UTC."""

    id: str
    role: str
    status: str
    first_serial: int
    last_serial: int
    created_at: int
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    parts: list[Part] = field(default_factory=list)
    open: OpenParts = field(default_factory=nothing_open)
    marks: list[list[int]] = field(default_factory=list)


def ended(message: MessageState) -> bool:
    return message.status != "streaming"


def to_wire(message: MessageState) -> dict[str, Any]:
    """The message as PROTOCOL.md §3 has it. It shares the parts: write it out before the next `apply`."""
    return {
        "id": message.id,
        "role": message.role,
        "status": message.status,
        "reason": message.reason,
        "metadata": message.metadata,
        "first_serial": message.first_serial,
        "last_serial": message.last_serial,
        "created_at": message.created_at,
        "parts": message.parts,
        "open": message.open,
    }


def from_wire(wire: dict[str, Any]) -> MessageState:
    """The reverse of `to_wire`. Marks don't travel: each part counts as changed by the last event."""
    marks = [[wire["last_serial"], wire["last_serial"]] for _ in wire["parts"]]
    return MessageState(**wire, marks=marks)


def push(message: MessageState, serial: int, part: Part) -> int:
    """Append a part; gives its index."""
    message.parts.append(part)
    message.marks.append([serial, serial])
    return len(message.parts) - 1


def touch(message: MessageState, serial: int, index: int) -> Part:
    """The part at an index, to be changed by the event with this serial."""
    message.marks[index][1] = serial
    return message.parts[index]


def append_text(holder: Any, name: str, text: str) -> None:
    so_far = holder[name]
    holder[name] = None  # with no other reference to the text, CPython appends in place instead of copying it
    so_far += text
    holder[name] = so_far


def step_start(message: MessageState) -> int:
    """The index of the current step's first part."""
    for index in range(len(message.parts) - 1, -1, -1):
        if message.parts[index]["type"] == "step-start":
            return index + 1
    return 0


def not_open(chunk: Chunk) -> HoldfastError:
    return HoldfastError("unknown_part", f"{chunk['type']} for {chunk.get('id', chunk.get('toolCallId'))}")
