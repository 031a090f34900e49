"""Unfold, the inverse of the fold: the chunks that make a message, with its open parts left open.

`fold(unfold(message))` is the message, up to serials, and takes the same chunks as it from there on. Ids of closed text
parts aren't stored, so those have new ones; all other ids are the message's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from sessions_app.core.message import MessageState, ended
from sessions_app.core.vocabulary import ENDS, REASONS
from sessions_app.core.wire_types import Chunk, JsonObject, Part, PartApproval


def unfold(message: MessageState) -> list[Chunk]:
    """Return chunks that fold to the message. The first creates it; the last ends it if it has ended."""
    if _came_whole(message):
        return [_chunk("message", role=message.role, parts=message.parts, **_has(metadata=message.metadata))]
    start = _chunk("start", messageId=message.id, **_has(messageMetadata=message.metadata))
    return [start, *part_chunks(message), *end_chunks(message)]


def _came_whole(message: MessageState) -> bool:
    """Return whether a `message` chunk made it: then its first event made all of its parts."""
    born_first = all(born == message.first_serial for born, _ in message.marks)
    return message.role != "assistant" or (bool(message.parts) and born_first and message.status == "complete")


def part_chunks(message: MessageState, *, resets: bool = True) -> list[Chunk]:
    """Return the chunks of a message's parts. Without `resets`, parts that were cut off may stay open."""
    return _Unfolding(message, _reset_at(message) if resets else None).parts()


def end_chunks(message: MessageState) -> list[Chunk]:
    """Return the chunk that ends a message, if it has ended."""
    if not ended(message):
        return []
    kind = next(kind for kind, status in ENDS.items() if status == message.status)
    return [_chunk(kind, **({} if message.reason is None else {REASONS[kind]: message.reason}))]


class _Unfolding:
    """The chunks of one message's parts, collected part by part.

    Where parts could lose or gain something by each other's chunks, the order of chunks is the one in which the parts
    can have become what they are: see `_waits` and `_reset_at`.
    """

    def __init__(self, message: MessageState, reset_at: int | None) -> None:
        self._message = message
        self._raw = {each["part"]: each["text"] for each in message.open["tools"].values()}
        self._texts = _text_ids(message)
        self._reset_at = reset_at
        self._chunks: list[Chunk] = []
        self._seconds = _second_parts(message.parts)
        self._are_second = {*self._seconds.values()}
        self._waiting: dict[str, int] = {}  # first parts whose input comes after the second part's, by the call's id
        self._after_step: list[int] = []  # second parts, whose decision and outcome come after the step
        self._last_decision = {
            part["approval"]["id"]: index
            for index, part in enumerate(message.parts)
            if "approved" in part.get("approval", ())
        }
        self._held: dict[str, list[int]] = {}  # calls that are asked about after it, by the approval's id

    def parts(self) -> list[Chunk]:
        """Return the chunks of all parts, in order."""
        for index, part in enumerate(self._message.parts):
            kind = part["type"]
            if kind == "step-start":
                self._start_step(index)
            elif kind in ("text", "reasoning"):
                id = self._texts[index] if kind == "text" else part["id"]
                self._chunks += _written(kind, id, part)
            elif kind.startswith(("tool-", "dynamic-tool")):
                self._call(index, part)
            else:
                self._chunks.append(cast(Chunk, dict(part)))
        return self._chunks

    def _start_step(self, index: int) -> None:
        self._chunks.append(_chunk("start-step"))
        if index == self._reset_at:
            self._chunks.append(_chunk("reset-step"))
        for second in self._after_step:
            self._decide(second)
        self._after_step = []

    def _call(self, index: int, part: Part) -> None:
        """A step may have two parts with one call id, a static and a dynamic one; chunks by id go to the first."""
        id = part["toolCallId"]
        if index in self._are_second:
            self._chunks += self._input(index)
            self._after_step.append(index)
            if id in self._waiting:
                self._whole_call(self._waiting.pop(id))
        elif self._waits(index):
            self._waiting[id] = index
            self._chunks.append(_chunk("tool-input-start", **_named(part)))
        else:
            self._whole_call(index)

    def _waits(self, index: int) -> bool:
        """Return whether a first part's input came after the second part's: each input closes an open one by its id."""
        second = self._seconds.get(index)
        if second is None:
            return False
        is_closed = self._message.parts[second]["state"] == "input-streaming" and second not in self._raw
        return index in self._raw or is_closed

    def _whole_call(self, index: int) -> None:
        self._chunks += self._input(index)
        self._decide(index)

    def _decide(self, index: int) -> None:
        """Write a call's approval and outcome. A decision goes to the first part that asks by the approval's id."""
        part = self._message.parts[index]
        id = part["approval"]["id"] if "approval" in part else ""
        if index < self._last_decision.get(id, 0):
            self._held.setdefault(id, []).append(index)
            return
        self._chunks += decided(part)
        for held in reversed(self._held.pop(id, [])):
            self._chunks += decided(self._message.parts[held])

    def _input(self, index: int) -> list[Chunk]:
        part = self._message.parts[index]
        if part["state"] != "input-streaming":
            return [available(part)]
        return call_input(part, self._raw.get(index) or part.get("rawInput", ""))


def _second_parts(parts: list[Part]) -> dict[int, int]:
    """Return the second part with each call id in a step, by the first one."""
    seconds: dict[int, int] = {}
    firsts: dict[str, int] = {}
    for index, part in enumerate(parts):
        if part["type"] == "step-start":
            firsts = {}
        elif "toolCallId" in part:
            first = firsts.setdefault(part["toolCallId"], index)
            if first != index:
                seconds[first] = index
    return seconds


def _reset_at(message: MessageState) -> int | None:
    """Return the step before which nothing is open any more though parts there were cut off; None if there is none.

    A reset of a later step has closed them. They are closed by one of an empty step again, unless the end does it.
    """
    if ended(message):
        return None
    opened = (*message.open["text"].values(), *message.open["reasoning"].values())
    first_open = min((*opened, *(each["part"] for each in message.open["tools"].values())), default=len(message.parts))
    steps = [index for index, part in enumerate(message.parts[:first_open]) if part["type"] == "step-start"]
    before = message.parts[: max(steps, default=0)]
    cut_off = any(part.get("state") in ("streaming", "input-streaming") for part in before)
    return steps[-1] if cut_off else None


def _text_ids(message: MessageState) -> dict[int, str]:
    """Return an id for each text part, by its index. One that is cut off has that of the next, which took its place."""
    ids = {index: id for id, index in message.open["text"].items()}
    next_id = _new_id(len(message.parts), message)
    for index in reversed(range(len(message.parts))):
        part = message.parts[index]
        if part["type"] == "text":
            is_closed = part.get("state") != "streaming"
            next_id = ids.setdefault(index, _new_id(index, message) if is_closed else next_id)
    return ids


def _new_id(index: int, message: MessageState) -> str:
    id = f"text-{index}"
    while id in message.open["text"]:
        id += "_"
    return id


# Chunks of one part


def _written(kind: str, id: str, part: Part) -> Iterable[Chunk]:
    """Yield the chunks of a text or reasoning part."""
    yield _chunk(f"{kind}-start", id=id, **_taken(part, "providerMetadata"))
    if part["text"]:
        yield _chunk(f"{kind}-delta", id=id, delta=part["text"])
    if part.get("state") != "streaming":
        yield _chunk(f"{kind}-end", id=id, **_taken(part, "citations"))


def call_input(part: Part, raw: str) -> list[Chunk]:
    """Return the chunks of a call whose input is streaming, or was when it was cut off."""
    start = _chunk("tool-input-start", **_named(part), **_lasting(part), **_taken(part, "inputEncoding"))
    return [start, _chunk("tool-input-delta", toolCallId=part["toolCallId"], inputTextDelta=raw)] if raw else [start]


def available(part: Part) -> Chunk:
    """Return the chunk with a call's complete input."""
    return _chunk("tool-input-available", **_named(part), **_lasting(part), **_taken(part, "input"))


def _named(part: Part) -> JsonObject:
    if part["type"] == "dynamic-tool":
        return {"toolCallId": part["toolCallId"], "toolName": part["toolName"], "dynamic": True}
    return {"toolCallId": part["toolCallId"], "toolName": part["type"].removeprefix("tool-")}


def _lasting(part: Part) -> JsonObject:
    provider = {"providerMetadata": part["callProviderMetadata"]} if "callProviderMetadata" in part else {}
    return {**_taken(part, "title", "toolMetadata", "providerExecuted"), **provider}


def decided(part: Part, *, known: PartApproval | None = None) -> Iterable[Chunk]:
    """Yield what came of a call's complete input: its approval, but for what is known of it, and its outcome."""
    if "approval" in part and part["approval"] != known:
        is_asked = known is not None and known["id"] == part["approval"]["id"]
        yield from _approval(part, is_asked=is_asked)
        if part["state"] == "input-available":  # its approver has edited it
            yield available(part)
    outcome: JsonObject = {"toolCallId": part["toolCallId"], **_taken(part, "toolMetadata", "providerExecuted")}
    if "resultProviderMetadata" in part:
        outcome["providerMetadata"] = part["resultProviderMetadata"]
    if part["state"] == "output-available":
        yield _chunk("tool-output-available", **outcome, **_taken(part, "output", "preliminary"))
    elif part["state"] == "output-error":
        yield _chunk("tool-output-error", **outcome, errorText=part["errorText"])
    elif part["state"] == "output-denied":
        yield _chunk("tool-output-denied", toolCallId=part["toolCallId"])


# A request's fields, by their names in a part.
_REQUEST = {
    "id": "approvalId",
    "descriptor": "approvalDescriptor",
    "inputSchemaInput": "inputSchemaInput",
    "requestReason": "reason",
    "isAutomatic": "isAutomatic",
    "signature": "signature",
}


def _approval(part: Part, *, is_asked: bool) -> Iterable[Chunk]:
    values: Mapping[str, object] = part["approval"]
    if not is_asked:
        request = {field: values[name] for name, field in _REQUEST.items() if name in values}
        yield _chunk("tool-approval-request", toolCallId=part["toolCallId"], **request)
    if "approved" in values:
        decision = {name: values[name] for name in ("approved", "reason") if name in values}
        decision |= _taken(part, "providerExecuted")
        if "callProviderMetadata" in part:
            decision["providerMetadata"] = part["callProviderMetadata"]
        yield _chunk("tool-approval-response", approvalId=values["id"], **decision)


def _taken(part: Part, *names: str) -> JsonObject:
    values: Mapping[str, object] = part
    return {name: values[name] for name in names if name in values}


def _has(**fields: object) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}


def _chunk(kind: str, **fields: object) -> Chunk:
    return cast(Chunk, {"type": kind, **fields})
