"""Catch-up of one message: what a client with an older state of it is sent, and how it applies that."""

from typing import Any

from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import MessageState, Part, from_wire, to_wire


def utf16_length(text: str) -> int:
    """The length that JavaScript counts, and the wire with it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def held(message: MessageState) -> list[int]:
    """The length of each part's text in UTF-16 units, 0 for other parts: what a client says that it has."""
    return [_text_length(part) for part in message.parts]


def patch(message: MessageState, *, after: int, held: list[int] | None) -> dict[str, Any]:
    """The message for a client that has its state at serial `after`, and `held` in it: see PROTOCOL.md §6.

    Parts are only ever added and removed at the end, so those that nothing has touched since are the client's
    first ones, and dropping its others also undoes the steps that were reset meanwhile.
    """
    first = _first_touched(message, after)
    parts = message.parts[first:]
    at = _text_held(message, first, after, held) if parts and held else 0
    if at:
        parts[0] = {**parts[0], "text": _utf16_from(parts[0]["text"], at)}
    return {**to_wire(message), "from": first, "at": at, "parts": parts}


def apply_patch(have: MessageState | None, patch: dict[str, Any]) -> MessageState:
    """The state that a patch describes; raises `reset` if it builds on what `have` hasn't."""
    fields = dict(patch)
    first, at = fields.pop("from"), fields.pop("at")
    kept = have.parts if have else []
    if first > len(kept) or (at and not (first < len(kept) and at <= _text_length(kept[first]))):
        raise HoldfastError("reset", f"{patch['id']} goes on from part {first}, unit {at}")
    parts = list(fields["parts"])
    if at:
        parts[0] = {**parts[0], "text": _utf16_until(kept[first]["text"], at) + parts[0]["text"]}
    return from_wire({**fields, "parts": kept[:first] + parts})


def _first_touched(message: MessageState, after: int) -> int:
    for index, (_, touched) in enumerate(message.marks):
        if touched > after:
            return index
    return len(message.marks)


def _text_held(message: MessageState, index: int, after: int, held: list[int]) -> int:
    """How much of a part's text the client has, as far as the rest can follow it: 0 means send it whole."""
    part, born = message.parts[index], message.marks[index][0]
    if born > after or index >= len(held) or not _has_text(part):
        return 0
    return held[index] if _is_boundary(part["text"], held[index]) else 0


def _is_boundary(text: str, units: int) -> bool:
    """Whether a text has so many UTF-16 units, and a character begins after them."""
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
