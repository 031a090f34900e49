"""The AI SDK's wire: one response in that vocabulary, from what its reader holds to its end.

The client takes a strict union of 30 chunk types, which Holdfast's vocabulary has too; another one, or one that lacks a
field, ends the stream with an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import cast

from sessions_app.core import tools
from sessions_app.core.advance import advance
from sessions_app.core.fold import apply, begin
from sessions_app.core.message import MessageState, ended, step_start
from sessions_app.core.wire_types import Chunk, Event, Part, SignalRecord

# Fields that the client requires, and Holdfast's vocabulary doesn't: a value that JSON leaves out.
_REQUIRED = {
    "message-metadata": "messageMetadata",
    "tool-input-available": "input",
    "tool-input-error": "input",
    "tool-output-available": "output",
}
DECISIONS = ("approve", "deny", "tool-result")  # signals that an answer may wait for
_REPEATED = {"type", "toolCallId", "toolName", "dynamic", "input", "toolMetadata"}  # of an input that comes again
UNDER_WAY = ("accepted", "delivered")


def for_ai_sdk(chunk: Chunk) -> list[Chunk]:
    """Return a chunk of a response as the AI SDK's client takes it.

    An `interrupt` is a `finish` whose reason is "interrupted"; the client ignores the reason in words. A `message` is
    dropped: it is a whole turn, never a part of a response.
    """
    kind = chunk["type"]
    if kind == "interrupt":
        return [{"type": "finish", "finishReason": "interrupted", "reason": chunk["reason"]}]
    if kind == "message":
        return []
    required = "data" if kind.startswith("data-") else _REQUIRED.get(kind)
    return [chunk if required is None or required in chunk else cast(Chunk, {**chunk, required: None})]


def waits_for_people(message: MessageState, decided: Collection[str] = ()) -> bool:
    """Return whether all that is left to do in a response waits for people: for approvals, or results of client tools.

    `decided`: approvals and calls that were decided, but whose agent hasn't written it yet.
    """
    current = message.parts[step_start(message) :]
    return asks_people(message, decided) and not any(_is_under_way(part) and not _waits(part) for part in current)


def asks_people(message: MessageState, decided: Collection[str] = ()) -> bool:
    """Return whether a response waits for people, and nothing in it is open. Other calls may be under way."""
    if ended(message) or any(message.open.values()):
        return False
    asked = [_decision(part) for part in message.parts if _waits(part)]
    return bool(asked) and not any(each in decided for each in asked)


def _is_under_way(part: Part) -> bool:
    return "toolCallId" in part and (not part["state"].startswith("output-") or part.get("preliminary", False))


def _waits(part: Part) -> bool:
    if "toolCallId" not in part or part["state"].startswith("output-"):
        return False
    if "approval" in part:
        return "approved" not in part["approval"]
    return part["state"] == "input-available" and tools.is_clients(part)


def _decision(part: Part) -> str:
    return part["approval"]["id"] if "approval" in part else part["toolCallId"]


def _told(message: MessageState, chunk: Chunk) -> list[Chunk]:
    """Return a response's next chunk as its client is to get it.

    A client runs its tool for each input that it gets, so one that it has already isn't told again. The metadata that
    comes with it, such as the mark of a client's tool, is told with the call's outcome.
    """
    if chunk["type"] not in ("tool-input-available", "tool-output-available", "tool-output-error"):
        return [chunk]
    part = next((part for part in reversed(message.parts) if part.get("toolCallId") == chunk["toolCallId"]), None)
    if part is None:
        return [chunk]
    if chunk["type"] == "tool-input-available":
        is_known = part["state"] == "input-available" and "approval" not in part and chunk.keys() <= _REPEATED
        return [] if is_known and part.get("input") == chunk.get("input") else [chunk]
    return [cast(Chunk, {**({"toolMetadata": part["toolMetadata"]} if "toolMetadata" in part else {}), **chunk})]


class ResponseReader:
    """A reader of one response. `holds`: the parts that the reader has of it already."""

    def __init__(self, uid: str, holds: Iterable[Part] = ()) -> None:
        self.uid = uid
        self.is_over = False
        self._message: MessageState | None = None
        self._holds = MessageState(uid, "assistant", "streaming", 0, 0, 0, parts=list(holds))
        self._decided: set[str] = set()
        self._was_told = False  # a chunk since the last beat

    def catch_up(self, message: MessageState | None, signals: Iterable[SignalRecord]) -> list[Chunk]:
        """Return the chunks up to a stored state of the response; None if it hasn't begun. It is the reader's now."""
        for signal in signals:
            self._note(signal)
        if message is None or (self._message is not None and message.last_serial <= self._message.last_serial):
            return self._ending([])
        have = self._message or self._holds
        start: list[Chunk] = [] if self._message else [{"type": "start", "messageId": self.uid}]
        chunks = [*start, *advance(have, message)]
        self._message = message
        return self._ending(chunks)

    def follow(self, events: Iterable[Event]) -> list[Chunk]:
        """Return the chunks of the next events of the session."""
        chunks: list[Chunk] = []
        for event in events:
            if "signal" in event:
                self._note(event["signal"])
            elif event["message"] != self.uid:
                continue
            elif self._message is None:
                self._message = begin(event)
                chunks.append(event["chunk"])
            elif event["serial"] > self._message.last_serial:
                chunks += _told(self._message, event["chunk"])
                apply(self._message, event["serial"], event["chunk"])
        return self._ending(chunks)

    def beat(self) -> None:
        """Note a heartbeat. If people are asked, and nothing has come since the last one, other calls wait for that.

        An agent may begin several calls, and then ask people about one after the other. Those that are just slow are
        waited for: useChat keeps a decision until the stream ends, and sends it by itself only if all calls have ended.
        """
        if self._message is not None and not self._was_told:
            self.is_over = self.is_over or asks_people(self._message, self._decided)
        self._was_told = False

    def _ending(self, chunks: list[Chunk]) -> list[Chunk]:
        message = self._message
        self._was_told = self._was_told or bool(chunks)
        self.is_over = message is not None and (ended(message) or waits_for_people(message, self._decided))
        return [told for chunk in chunks for told in for_ai_sdk(chunk)]

    def _note(self, signal: SignalRecord) -> None:
        if signal["kind"] in DECISIONS and signal["message"] == self.uid:
            target = signal["payload"].get("approval") or signal["payload"].get("call") or ""
            (self._decided.add if signal["status"] in UNDER_WAY else self._decided.discard)(target)
