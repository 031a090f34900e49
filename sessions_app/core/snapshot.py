"""Patches: the catch-up of one message for a client that has an older state of it."""

from typing import cast

from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import MessageState, from_wire, to_wire
from sessions_app.core.wire_types import AttachedFrame, Part, Patch, WireMessage


def utf16_length(text: str) -> int:
    """Return a text's length in UTF-16 units, as JavaScript and the wire count it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def held(message: MessageState) -> list[int]:
    """Return the length of each part's text in UTF-16 units, 0 for other parts, as a client reports what it has."""
    return [_text_length(part) for part in message.parts]


def patch(message: MessageState, *, after: int, held: list[int] | None) -> Patch:
    """Return the message for a client that has its state at serial `after`, and `held` in it; PROTOCOL.md §6.

    Parts are only ever added and removed at the end, so those that nothing has touched since are the client's
    first ones, and dropping its others also undoes the steps that were reset meanwhile.
    """
    first = _first_touched(message, after)
    parts = message.parts[first:]
    at = _text_held(message, first, after, held) if parts and held else 0
    if at:
        parts[0] = _with_text(parts[0], _utf16_from(parts[0]["text"], at))
    return {**to_wire(message), "from": first, "at": at, "parts": parts}


def apply_patch(have: MessageState | None, patch: Patch) -> MessageState:
    """Return the state that a patch describes. Raises reset if it builds on more than `have`."""
    first, at = patch["from"], patch["at"]
    kept = have.parts if have else []
    if first > len(kept) or (at and not (first < len(kept) and at <= _text_length(kept[first]))):
        raise HoldfastError("reset", f"{patch['id']} continues from part {first}, unit {at}")
    parts = list(patch["parts"])
    if at:
        parts[0] = _with_text(parts[0], _utf16_until(kept[first]["text"], at) + parts[0]["text"])
    whole = {name: value for name, value in patch.items() if name not in ("from", "at")}
    return from_wire(cast(WireMessage, {**whole, "parts": kept[:first] + parts}))


def apply_attached(messages: dict[str, MessageState], frame: AttachedFrame, *, after: int) -> None:
    """Apply an `attached` frame to a client's messages, which are as they were at serial `after`; PROTOCOL.md §6.

    Raises reset if a patch builds on more than they have.
    """
    if not frame["resumed"]:
        messages.clear()
    for patch in frame["messages"]:
        have = messages.get(patch["id"])
        is_older = frame["resumed"] and have is None and patch["first_serial"] <= after
        if not (is_older and patch["replaced_by"]):  # what the client doesn't hold is older than what it does
            messages[patch["id"]] = apply_patch(have, patch)
    for id in frame["replaced"]:
        messages.pop(id, None)


def _with_text(part: Part, text: str) -> Part:
    changed = part.copy()
    changed["text"] = text
    return changed


def _first_touched(message: MessageState, after: int) -> int:
    for index, (_, touched) in enumerate(message.marks):
        if touched > after:
            return index
    return len(message.marks)


def _text_held(message: MessageState, index: int, after: int, held: list[int]) -> int:
    """Return the units of a part's text that the client has and that the rest can follow; 0 to send it whole."""
    part, born = message.parts[index], message.marks[index][0]
    if born > after or index >= len(held) or not _has_text(part):
        return 0
    return held[index] if _is_boundary(part["text"], held[index]) else 0


def _is_boundary(text: str, units: int) -> bool:
    """Return whether a text has at least this many UTF-16 units, and a character begins after them."""
    if text.isascii():
        return 0 < units <= len(text)
    encoded = text.encode("utf-16-le")
    if not 0 < units <= len(encoded) // 2:
        return False
    return 2 * units == len(encoded) or not 0xDC <= encoded[2 * units + 1] <= 0xDF


def _utf16_from(text: str, units: int) -> str:
    return text[units:] if text.isascii() else text.encode("utf-16-le")[2 * units :].decode("utf-16-le")


def _utf16_until(text: str, units: int) -> str:
    return text[:units] if text.isascii() else text.encode("utf-16-le")[: 2 * units].decode("utf-16-le")


def _text_length(part: Part) -> int:
    return utf16_length(part["text"]) if _has_text(part) else 0


def _has_text(part: Part) -> bool:
    return part["type"] in ("text", "reasoning")
