"""Message state: the fields and parts of a message after each of its events, and what is still open in it."""

from dataclasses import dataclass, field

from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, JsonObject, OpenInput, OpenParts, Part, WireMessage


def nothing_open() -> OpenParts:
    return {"text": {}, "reasoning": {}, "tools": {}}


@dataclass(slots=True)
class MessageState:
    """The state of a message after its event `last_serial`.

    `marks` holds, for each part, the serials [born, touched] of the events that made and last changed it. `created_at`
    is in milliseconds since 1970, UTC. `parent`, `continues` and `replaced_by` are ids of messages.
    """

    id: str
    role: str
    status: str
    first_serial: int
    last_serial: int
    created_at: int
    reason: str | None = None
    metadata: JsonObject | None = None
    parts: list[Part] = field(default_factory=list)
    open: OpenParts = field(default_factory=nothing_open)
    marks: list[list[int]] = field(default_factory=list)
    parent: str | None = None
    continues: str | None = None
    replaced_by: str | None = None


def ended(message: MessageState) -> bool:
    return message.status != "streaming"


def to_wire(message: MessageState) -> WireMessage:
    """Return the message as PROTOCOL.md §3 has it. It shares the parts: encode it before the next `apply`."""
    return {
        "id": message.id,
        "role": message.role,
        "status": message.status,
        "reason": message.reason,
        "metadata": message.metadata,
        "first_serial": message.first_serial,
        "last_serial": message.last_serial,
        "created_at": message.created_at,
        "parent": message.parent,
        "continues": message.continues,
        "replaced_by": message.replaced_by,
        "parts": message.parts,
        "open": message.open,
    }


def from_wire(wire: WireMessage) -> MessageState:
    """Reverse `to_wire`. Marks don't travel: each part counts as changed by the last event."""
    marks = [[wire["last_serial"], wire["last_serial"]] for _ in wire["parts"]]
    return MessageState(**wire, marks=marks)


def push(message: MessageState, serial: int, part: Part) -> int:
    """Append a part; return its index."""
    message.parts.append(part)
    message.marks.append([serial, serial])
    return len(message.parts) - 1


def touch(message: MessageState, serial: int, index: int) -> Part:
    """Return the part at an index, to be changed by the event with this serial."""
    message.marks[index][1] = serial
    return message.parts[index]


def append_text(holder: Part | OpenInput, text: str) -> None:
    """Append to the holder's text."""
    so_far = holder["text"]
    holder["text"] = ""  # with no other reference to the text, CPython appends in place instead of copying it
    so_far += text
    holder["text"] = so_far


def step_start(message: MessageState) -> int:
    """Return the index of the current step's first part."""
    for index in range(len(message.parts) - 1, -1, -1):
        if message.parts[index]["type"] == "step-start":
            return index + 1
    return 0


def not_open(chunk: Chunk) -> HoldfastError:
    part = str(chunk.get("id", chunk.get("toolCallId")))
    return HoldfastError("unknown_part", f"{chunk['type']} for {part[:80]}")
