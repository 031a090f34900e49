"""What a model streams and what its tools return, written into a turn."""

from __future__ import annotations

import json
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

from agents_app.turn import Turn
from sessions_app import conf
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError

AROUND = 1024  # bytes of a chunk around the value that it carries
CUT = "\n… cut here: it has {} bytes. The agent was given all of it."


class Telling:
    """Writes one run's events into its turn."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._ids: dict[str, str] = {}  # of the calls, from the provider's to those of the response
        self._used: set[str] = set()
        self._refused: dict[str, ToolCallPart] = {}  # calls whose arguments don't fit their tool
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
            case PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(delta), tool_call_id=str(call))):
                await self._input(call, delta)
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
                file = {"type": "file", "mediaType": part.content.media_type, "url": part.content.data_uri}
                await self._turn.write(file)

    async def _text(self, delta: str) -> None:
        if delta:
            await self._turn.text(_clean(delta))

    async def _thought(self, delta: str | None) -> None:
        if delta:
            await self._turn.reasoning(self._gap + _clean(delta))
            self._gap = ""

    # --- Tools ---

    async def _begin(self, part: ToolCallPart | NativeToolCallPart) -> None:
        # Some providers give the same id again in every step; in a response each call has its own.
        id = part.tool_call_id
        self._ids[id] = id if id not in self._used else f"{id}_{len(self._used)}"
        self._used.add(self._ids[id])
        await self._write("tool-input-start", part)
        if isinstance(part.args, str):
            await self._input(id, part.args)

    async def _input(self, call: str, delta: str) -> None:
        if delta:
            chunk = {"type": "tool-input-delta", "toolCallId": self._ids[call], "inputTextDelta": _clean(delta)}
            await self._turn.write(chunk)

    async def _decided(self, call: ToolCallPart, fits: bool | None) -> None:
        if fits is False:
            self._refused[call.tool_call_id] = call  # its result says why
        else:
            await self._called(call)

    async def _called(self, call: ToolCallPart | NativeToolCallPart) -> None:
        await self._write("tool-input-available", call, input=sayable(call.args_as_dict()))

    async def _returned(self, result: ToolReturnPart | NativeToolReturnPart) -> None:
        failed = result.outcome in ERROR_OUTCOMES
        if call := self._refused.pop(result.tool_call_id, None):
            error = sayable(result.model_response_str(wrap_if_error=False))
            await self._write("tool-input-error", call, input=sayable(call.args_as_dict()), errorText=error)
        elif failed:
            error = sayable(result.model_response_str(wrap_if_error=False))
            await self._write("tool-output-error", result, errorText=error)
        else:
            await self._write("tool-output-available", result, output=sayable(result.content))

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
    most = conf.CHUNK_BYTES - AROUND
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


def _clean(text: str) -> str:
    """Without halves of surrogate pairs, which some providers let through."""
    return text if text.isascii() else text.encode(errors="replace").decode()
