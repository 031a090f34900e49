"""Advance: the chunks that bring a reader from one state of a message to a later one.

For readers who can't have the chunks between the two, because these are folded already, or because a reader says only
what it holds. Where it holds the beginning of a part that it can't go on with, it drops its current step (`reset-step`)
and gets that again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from sessions_app.core.message import MessageState, ended, step_start
from sessions_app.core.unfold import available, call_input, decided, end_chunks, part_chunks
from sessions_app.core.wire_types import Chunk, OpenParts, Part

# States of a tool call, in their order; a reader may be ahead with its own decision or result.
_RANKS = {"input-streaming": 0, "input-available": 1, "approval-requested": 1, "approval-responded": 2}
_OUTCOME = 3


class _State:
    """A state of a message, with what is open in it by the index of its part."""

    def __init__(self, message: MessageState) -> None:
        self.parts = message.parts
        self.step = step_start(message)
        opened = message.open
        self.ids = {index: id for each in (opened["text"], opened["reasoning"]) for id, index in each.items()}
        self.inputs = {each["part"]: each["text"] for each in opened["tools"].values()}

    def is_open(self, index: int) -> bool:
        return index in self.ids or index in self.inputs

    def raw_input(self, index: int) -> str | None:
        """Return the text so far of an input that is open; of one that was cut off, what there was of it."""
        return self.inputs.get(index, self.parts[index].get("rawInput"))


def advance(have: MessageState, now: MessageState) -> list[Chunk]:
    """Return chunks for a reader whose state is `have`, an earlier one of the message `now`."""
    chunks: list[Chunk] = []
    if now.metadata is not None and now.metadata != have.metadata:
        chunks.append({"type": "message-metadata", "messageMetadata": now.metadata})
    old, new = _State(have), _State(now)
    common = min(len(old.parts), len(new.parts))
    kept = next((index for index in range(common) if not _goes_on(old, new, index)), common)
    is_reset = kept < len(old.parts)
    kept = min(old.step, kept) if is_reset else kept
    chunks += [chunk for index in range(kept) if old.is_open(index) for chunk in _changes(old, new, index)]
    if is_reset:
        chunks.append({"type": "reset-step"})  # which closes what is open
    chunks += [chunk for index in range(kept) if not old.is_open(index) for chunk in _changes(old, new, index)]
    return [*chunks, *part_chunks(_rest(now, kept), resets=False), *([] if ended(have) else end_chunks(now))]


def _rest(message: MessageState, first: int) -> MessageState:
    """Return the message without the parts before `first`."""
    opened = message.open
    rest: OpenParts = {
        "text": {id: index - first for id, index in opened["text"].items() if index >= first},
        "reasoning": {id: index - first for id, index in opened["reasoning"].items() if index >= first},
        "tools": {
            call: {**each, "part": each["part"] - first}
            for call, each in opened["tools"].items()
            if each["part"] >= first
        },
    }
    return replace(message, parts=message.parts[first:], marks=message.marks[first:], open=rest)


def _goes_on(have: _State, now: _State, index: int) -> bool:
    """Return whether chunks can make the part that the reader has at an index the one that is there now."""
    old, new = have.parts[index], now.parts[index]
    if "toolCallId" in new:
        is_same = old.get("toolCallId") == new["toolCallId"] and _is_dynamic(old) == _is_dynamic(new)
        return is_same and not any(name in old and name not in new for name in _LASTING)
    if new["type"] in ("text", "reasoning"):
        return _text_goes_on(have, now, index)
    return old == new or ("id" in new and new["type"].startswith("data-") and _named(old) == _named(new))


def _text_goes_on(have: _State, now: _State, index: int) -> bool:
    old, new = have.parts[index], now.parts[index]
    open_then, open_now = have.ids.get(index), now.ids.get(index)
    if open_then is None:
        return open_now is None and old == new
    return open_now in (None, open_then) and old["type"] == new["type"] and new["text"].startswith(old["text"])


def _is_dynamic(part: Part) -> bool:
    return part["type"] == "dynamic-tool"


def _named(part: Part) -> tuple[str, str | None]:
    return part["type"], part.get("id")


def _changes(have: _State, now: _State, index: int) -> list[Chunk]:
    """Return the chunks that make a part that goes on the one that is there now."""
    old, new = have.parts[index], now.parts[index]
    if "toolCallId" in new:
        return _call_changes(have, now, index)
    if old == new:
        return []
    if new["type"] in ("text", "reasoning"):
        return _text_changes(old, new, have.ids[index])
    return [cast(Chunk, dict(new))]


def _text_changes(old: Part, new: Part, id: str) -> list[Chunk]:
    chunks = [{"type": f"{new['type']}-delta", "id": id, "delta": new["text"].removeprefix(old["text"])}]
    if new["state"] == "done":
        chunks.append({"type": f"{new['type']}-end", "id": id})
    named = {name: new[name] for name in ("providerMetadata", "citations") if name in new}
    return [*cast(list[Chunk], chunks[:-1]), cast(Chunk, {**chunks[-1], **named})]


def _call_changes(have: _State, now: _State, index: int) -> list[Chunk]:
    """Return the chunks of a call that has gone on. What the reader has of it isn't repeated."""
    old, new = have.parts[index], now.parts[index]
    if (old == new and have.raw_input(index) == now.raw_input(index)) or _is_behind(old, new):
        return []
    if new["state"] == "input-streaming":
        return _input_changes(have, now, index)
    is_same = _values(old, _INPUT) == _values(new, _INPUT) and _carries_lasting(old, new)
    # In a later step the same input would be another call's; and a client may run its tool for each that it gets.
    has_input = _rank(old) > 0 and (is_same or index < have.step or _is_only_marked(old, new))
    is_edited = new["state"] == "input-available"  # of an approval that still waits
    known = old.get("approval") if has_input or is_edited else None
    return [*([] if has_input else [available(new)]), *decided(new, known=known)]


def _is_only_marked(old: Part, new: Part) -> bool:
    return old["state"] == new["state"] == "input-available" and _values(old, _INPUT) == _values(new, _INPUT)


def _input_changes(have: _State, now: _State, index: int) -> list[Chunk]:
    new, before, after = now.parts[index], have.raw_input(index), now.raw_input(index) or ""
    is_begun = before is not None and _values(have.parts[index], _BEGUN) == _values(new, _BEGUN)
    if before is None or not is_begun or not after.startswith(before):
        return call_input(new, after)
    if after == before:
        return []
    return [{"type": "tool-input-delta", "toolCallId": new["toolCallId"], "inputTextDelta": after.removeprefix(before)}]


def _carries_lasting(old: Part, new: Part) -> bool:
    """Return whether the lasting fields are unchanged, or the chunk of a decision or outcome tells them."""
    is_told = new["state"] in ("output-available", "output-error") or "approved" in new.get("approval", ())
    return is_told or _values(old, _LASTING) == _values(new, _LASTING)


_LASTING = ("title", "toolMetadata", "providerExecuted", "callProviderMetadata")  # once set, never without a value
_INPUT = ("type", "toolName", "input", "title")
_BEGUN = ("type", "toolName", "inputEncoding", *_LASTING)


def _values(part: Part, names: tuple[str, ...]) -> list[object]:
    fields: Mapping[str, object] = part
    return [fields.get(name) for name in names]


def _rank(part: Part) -> int:
    return _RANKS.get(part["state"], _OUTCOME)


def _is_behind(old: Part, new: Part) -> bool:
    """Return whether the reader has more than the message: what it has just sent, and no agent has written yet."""
    asked, asks = old.get("approval"), new.get("approval")
    return _rank(new) < _rank(old) > 1 and (asked and asked["id"]) == (asks and asks["id"])
