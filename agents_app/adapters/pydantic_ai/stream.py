"""The event writer: a model's stream and its tools' results, as chunks of a turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import (
    ERROR_OUTCOMES,
    AgentStreamEvent,
    FilePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallEvent,
    ToolCallPart,
    ToolCallPartDelta,
    ToolResultEvent,
    ToolReturnPart,
)
from pydantic_core import to_jsonable_python

from agents_app.adapters.pydantic_ai.history import unused
from agents_app.tool_call import ToolCall
from agents_app.turn import Turn
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk

AROUND = 1024  # bytes of a chunk beside the value that it carries
CUT = "\n… cut here. It has {} bytes, and the agent has all of them."
TOO_LARGE = "\n\n*A file ({}, {} bytes) is too large to be kept here.*\n\n"


CallPart = ToolCallPart | NativeToolCallPart | ToolReturnPart | NativeToolReturnPart


class EventWriter:
    """Writes the events of one run into its turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._ids: dict[str, str] = {}  # of calls: the provider's → the response's
        self._used: set[str] = set()
        self._open = ""  # the call whose arguments are streaming
        self._refused: dict[str, ToolCallPart] = {}  # calls whose arguments don't fit their tool
        self._ended: set[str] = set()  # calls whose result has been written by others
        self._gap = ""  # between two thoughts

    async def write(self, event: AgentStreamEvent) -> None:
        """Write one event."""
        match event:
            case PartStartEvent(part=part):
                self._gap = "\n\n" if event.previous_part_kind == "thinking" else ""
                await self._start(part)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=delta)):
                await self._text(delta)
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=delta)):
                await self._thought(delta)
            case PartDeltaEvent(delta=ToolCallPartDelta() as delta):
                await self._argue(delta)
            case PartEndEvent(part=NativeToolCallPart() as call):
                await self._called(call)
            case ToolCallEvent(part=call):
                await self._decided(call, event.args_valid)
            case ToolResultEvent(part=result):
                await self._returned(result)

    # --- Text and reasoning ---

    async def _start(self, part: object) -> None:
        match part:
            case TextPart():
                await self._text(part.content)
            case ThinkingPart():
                await self._thought(part.content)
            case ToolCallPart() | NativeToolCallPart():
                await self._begin(part)
            case NativeToolReturnPart():
                await self._returned(part)
            case FilePart():
                await self._file(part.content.media_type, part.content.data_uri)

    async def _text(self, delta: str) -> None:
        for piece in self._pieces(delta):
            await self._turn.text(piece)

    async def _thought(self, delta: str | None) -> None:
        for piece in self._pieces(delta or ""):
            await self._turn.reasoning(self._gap + piece)
            self._gap = ""

    async def _file(self, kind: str, url: str) -> None:
        if len(url) > self._most:
            await self._turn.text(TOO_LARGE.format(kind, len(url)))
        else:
            await self._turn.write({"type": "file", "mediaType": kind, "url": url})

    # --- Tools ---

    def call(self, part: ToolCallPart) -> ToolCall:
        """Return a call, for people to decide about or a client to run. Raises ValueError if it isn't JSON."""
        arguments = part.args if isinstance(part.args, str) and part.args else part.args_as_dict()
        return self._turn.call(self._ids[part.tool_call_id], part.tool_name, arguments)

    def askable(self, part: ToolCallPart) -> ToolCall | None:
        """Return a call that people can be shown in full, to decide about: its own text, or its values. Else None."""
        try:
            call = self.call(part)
        except ValueError:
            return None
        shown = part.args if isinstance(part.args, str) and part.args else call.input
        return call if self.storable(shown) == shown else None

    def ended(self, part: ToolCallPart) -> None:
        """Note that the call's result has been written, so that its event isn't written again."""
        self._ended.add(part.tool_call_id)

    async def _begin(self, part: ToolCallPart | NativeToolCallPart) -> None:
        # Some providers repeat ids in every step; in a response each call has an id of its own.
        self._open = part.tool_call_id
        self._ids[self._open] = unused(self._open, self._used)
        await self._write({"type": "tool-input-start"}, part)
        if isinstance(part.args, str):
            await self._input(part.args)

    async def _argue(self, delta: ToolCallPartDelta) -> None:
        if delta.tool_call_id and delta.tool_call_id != self._open:  # some providers send it only after the call's name
            self._ids[delta.tool_call_id] = self._ids[self._open]
            self._open = delta.tool_call_id
        if isinstance(delta.args_delta, str):
            await self._input(delta.args_delta)

    async def _input(self, delta: str) -> None:
        for piece in self._pieces(delta):
            chunk: Chunk = {"type": "tool-input-delta", "toolCallId": self._ids[self._open], "inputTextDelta": piece}
            await self._turn.write(chunk)

    async def _decided(self, call: ToolCallPart, fits: bool | None) -> None:
        if fits is False:
            self._refused[call.tool_call_id] = call  # its result says why
        else:
            await self._called(call)

    async def _called(self, call: ToolCallPart | NativeToolCallPart) -> None:
        await self._write({"type": "tool-input-available", "input": self._arguments(call)}, call)

    def _arguments(self, call: ToolCallPart | NativeToolCallPart) -> Any:
        """Return a call's arguments as a chunk can hold them: as an object, or as the model's own text."""
        arguments = call.args_as_dict()
        storable = self.storable(arguments)
        if storable == arguments or not isinstance(call.args, str):
            return storable
        return self.storable(call.args)

    async def _returned(self, result: ToolReturnPart | NativeToolReturnPart) -> None:
        if result.tool_call_id in self._ended:
            self._ended.remove(result.tool_call_id)
        elif result.outcome == "denied":
            await self._write({"type": "tool-output-denied"}, result)
        elif result.outcome not in ERROR_OUTCOMES:
            await self._write({"type": "tool-output-available", "output": self.storable(result.content)}, result)
        else:
            error = self.storable(result.model_response_str(wrap_if_error=False))
            if call := self._refused.pop(result.tool_call_id, None):
                arguments = self._arguments(call)
                await self._write({"type": "tool-input-error", "input": arguments, "errorText": error}, call)
            else:
                await self._write({"type": "tool-output-error", "errorText": error}, result)

    async def _write(self, chunk: Chunk, part: CallPart) -> None:
        """Write a chunk about a call, with the call's id and, for its input, its name."""
        chunk["toolCallId"] = self._ids[part.tool_call_id]
        if chunk["type"].startswith("tool-input"):
            chunk["toolName"] = part.tool_name
        if isinstance(part, NativeToolCallPart | NativeToolReturnPart):
            chunk["providerExecuted"] = True
        await self._turn.write(chunk)

    # --- Limits ---

    @property
    def _most(self) -> int:
        """Bytes that a chunk has room for in one value."""
        return self._turn.chunk_bytes - AROUND

    def storable(self, value: object) -> Any:
        """Return a value as one of this turn's chunks can hold it."""
        return storable(value, self._most)

    def _pieces(self, text: str) -> Iterator[str]:
        return pieces(text, self._most // 8)  # a character has at most 4 bytes


def storable(value: object, most: int) -> Any:
    """Return a value as a chunk can hold it: as JSON of at most so many bytes, or as its text, cut."""
    plain = to_jsonable_python(value, bytes_mode="base64")
    try:
        if vocabulary.json_bytes(plain) <= most:
            return plain
    except HoldfastError:
        pass  # a number or a nesting that JSON readers refuse, or text that isn't Unicode
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[:most].decode(errors="ignore") + CUT.format(len(encoded))


def pieces(text: str, size: int) -> Iterator[str]:
    """Divide a text into pieces of so many characters, replacing lone surrogates, which some providers send."""
    clean = text if text.isascii() else text.encode(errors="replace").decode()
    for start in range(0, len(clean), size):
        yield clean[start : start + size]
