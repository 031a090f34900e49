"""What a model streams and what its tools return, written into a turn."""

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
from sessions_app import conf
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError

AROUND = 1024  # bytes of a chunk around the value that it carries
CUT = "\n… cut here. It has {} bytes, and the agent has all of them."
TOO_LARGE = "\n\n*A file ({}, {} bytes) is too large to be kept here.*\n\n"


class Telling:
    """Writes one run's events into its turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._ids: dict[str, str] = {}  # of the calls, from the provider's to those of the response
        self._used: set[str] = set()
        self._open = ""  # the call whose arguments are streaming
        self._refused: dict[str, ToolCallPart] = {}  # calls whose arguments don't fit their tool
        self._ended: set[str] = set()  # calls whose result is written already
        self._gap = ""  # between two thoughts

    async def tell(self, event: AgentStreamEvent) -> None:
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

    # --- What the model says ---

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
        for piece in pieces(delta):
            await self._turn.text(piece)

    async def _thought(self, delta: str | None) -> None:
        for piece in pieces(delta or ""):
            await self._turn.reasoning(self._gap + piece)
            self._gap = ""

    async def _file(self, kind: str, url: str) -> None:
        if len(url) > conf.settings.chunk_bytes - AROUND:
            await self._turn.text(TOO_LARGE.format(kind, len(url)))
        else:
            await self._turn.write({"type": "file", "mediaType": kind, "url": url})

    # --- Tools ---

    def call(self, part: ToolCallPart) -> ToolCall:
        """The call as others are to decide about it, or to run it."""
        return self._turn.call(self._ids[part.tool_call_id], part.tool_name, part.args_as_dict())

    def ended(self, part: ToolCallPart) -> None:
        """The call's result is written: it isn't to be written again."""
        self._ended.add(part.tool_call_id)

    async def _begin(self, part: ToolCallPart | NativeToolCallPart) -> None:
        # Some providers give the same id again in every step; in a response each call has its own.
        self._open = part.tool_call_id
        self._ids[self._open] = unused(self._open, self._used)
        await self._write("tool-input-start", part)
        if isinstance(part.args, str):
            await self._input(part.args)

    async def _argue(self, delta: ToolCallPartDelta) -> None:
        if delta.tool_call_id and delta.tool_call_id != self._open:  # some give it only after the call's name
            self._ids[delta.tool_call_id] = self._ids[self._open]
            self._open = delta.tool_call_id
        if isinstance(delta.args_delta, str):
            await self._input(delta.args_delta)

    async def _input(self, delta: str) -> None:
        for piece in pieces(delta):
            chunk = {"type": "tool-input-delta", "toolCallId": self._ids[self._open], "inputTextDelta": piece}
            await self._turn.write(chunk)

    async def _decided(self, call: ToolCallPart, fits: bool | None) -> None:
        if fits is False:
            self._refused[call.tool_call_id] = call  # its result says why
        else:
            await self._called(call)

    async def _called(self, call: ToolCallPart | NativeToolCallPart) -> None:
        await self._write("tool-input-available", call, input=sayable(call.args_as_dict()))

    async def _returned(self, result: ToolReturnPart | NativeToolReturnPart) -> None:
        if result.tool_call_id in self._ended:
            self._ended.remove(result.tool_call_id)
        elif result.outcome == "denied":
            await self._write("tool-output-denied", result)
        elif result.outcome not in ERROR_OUTCOMES:
            await self._write("tool-output-available", result, output=sayable(result.content))
        else:
            error = sayable(result.model_response_str(wrap_if_error=False))
            if call := self._refused.pop(result.tool_call_id, None):
                await self._write("tool-input-error", call, input=sayable(call.args_as_dict()), errorText=error)
            else:
                await self._write("tool-output-error", result, errorText=error)

    async def _write(self, kind: str, part: Any, **fields: Any) -> None:
        chunk = {"type": kind, "toolCallId": self._ids[part.tool_call_id], **fields}
        if kind.startswith("tool-input"):
            chunk["toolName"] = part.tool_name
        if isinstance(part, NativeToolCallPart | NativeToolReturnPart):
            chunk["providerExecuted"] = True
        await self._turn.write(chunk)


def sayable(value: object) -> Any:
    """The value as a chunk can hold it: JSON, or, where it isn't or is too long, its text, cut."""
    plain = to_jsonable_python(value, bytes_mode="base64")
    most = conf.settings.chunk_bytes - AROUND
    try:
        if vocabulary.json_bytes(plain) <= most:
            return plain
    except HoldfastError:
        pass  # a number or a nesting that JSON's readers don't bear, or text that isn't Unicode
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[:most].decode(errors="ignore") + CUT.format(len(encoded))


def pieces(text: str) -> Iterator[str]:
    """The text in pieces that a chunk has room for, without the halves of surrogate pairs that some providers send."""
    clean = text if text.isascii() else text.encode(errors="replace").decode()
    size = conf.settings.chunk_bytes // 8  # a character has at most 4 bytes
    for start in range(0, len(clean), size):
        yield clean[start : start + size]
