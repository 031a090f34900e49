"""The event writer: a model's stream and its tools' results, as chunks of a turn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_ai.messages import (
    ERROR_OUTCOMES,
    AgentStreamEvent,
    Citation,
    FilePart,
    ModelResponse,
    ModelResponsePart,
    NativeToolCallPart,
    NativeToolReturnPart,
    OutputToolCallEvent,
    OutputToolResultEvent,
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
    WebCitationSource,
)
from pydantic_ai.models import ModelRequestParameters

from agents_app.adapters.values import AROUND, OUTPUT, storable, storable_id, unused
from agents_app.tool_call import ToolCall
from agents_app.turn import Turn
from sessions_app.core import json_text
from sessions_app.core.text import mend, mend_json
from sessions_app.core.wire_types import Chunk

TOO_LARGE = "\n\n*A file ({}, {} bytes) is too large to be kept here.*\n\n"


CallPart = ToolCallPart | NativeToolCallPart | ToolReturnPart | NativeToolReturnPart


@dataclass
class _Text:
    """A text or reasoning part of the response, begun with its first text."""

    kind: Literal["text", "reasoning"]
    id: str
    begun: bool = False
    gap: str = ""  # before its next text: between two thoughts


@dataclass
class _Call:
    """A call whose arguments are streaming: its id at the provider, and in the response."""

    provider: str
    id: str


class EventWriter:
    """Writes the events of one run into its turn.

    Parts of a stream may come in turn: each event names its part by the index, which begins anew with each stream.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._texts: dict[int, _Text] = {}  # of this stream, by index
        self._calls: dict[int, _Call] = {}  # likewise
        self._written = 0  # texts begun
        self._ids: dict[str, str] = {}  # of calls: the provider's → the response's
        self._used: set[str] = set()
        self._refused: dict[str, ToolCallPart] = {}  # calls whose arguments don't fit their tool
        self._ended: set[str] = set()  # calls whose result has been written by others
        self._output_tools: set[str] = set()  # by which the model gives its structured output
        self._hides_text = False  # which is JSON
        self._hidden: set[int] = set()  # parts of this stream that are structured output, by index
        self._cited: set[str] = set()  # addresses of sources

    def expect(self, request: ModelRequestParameters) -> None:
        """Note which parts of the next response will be structured output: `write_output` shows it, as data."""
        self._output_tools = {tool.name for tool in request.output_tools}
        self._hides_text = request.output_mode in ("native", "prompted")

    async def write_output(self, output: object) -> None:
        """Write the run's structured output; text has been streamed."""
        if not isinstance(output, str):
            await self._turn.data(OUTPUT, self.storable(output))

    async def write(self, event: AgentStreamEvent) -> None:
        """Write one event, unless it is of the structured output."""
        match event:
            case PartStartEvent(index=index, part=part) if self._is_output(part):
                self._hidden.add(index)
            case PartDeltaEvent(index=index) | PartEndEvent(index=index) if index in self._hidden:
                pass
            case OutputToolCallEvent() | OutputToolResultEvent():
                pass
            case PartStartEvent(index=index, part=TextPart() as part):
                self._open(index, "text", event.previous_part_kind == "text")
                await self._append(index, part.content)
            case PartStartEvent(index=index, part=ThinkingPart() as part):
                self._open(index, "reasoning", event.previous_part_kind == "thinking")
                await self._append(index, part.content)
            case PartStartEvent(index=index, part=ToolCallPart() | NativeToolCallPart() as part):
                await self._begin(index, part)
            case PartStartEvent(part=NativeToolReturnPart() as part):
                await self._returned(part)
            case PartStartEvent(part=FilePart() as part):
                await self._file(part.content.media_type, part.content.data_uri)
            case PartDeltaEvent(index=index, delta=TextPartDelta(content_delta=delta)):
                await self._append(index, delta)
            case PartDeltaEvent(index=index, delta=ThinkingPartDelta(content_delta=delta)):
                await self._append(index, delta or "")
            case PartDeltaEvent(index=index, delta=ToolCallPartDelta() as delta):
                await self._argue(index, delta)
            case PartEndEvent(part=NativeToolCallPart() as call):
                await self._called(call)
            case PartEndEvent(part=TextPart(citations=[_, *_] as citations)):
                await self._cite(citations)
            case ToolCallEvent(part=call):
                await self._decided(call, event.args_valid)
            case ToolResultEvent(part=result):
                await self._returned(result)

    async def end_stream(self) -> None:
        """End the texts of a model's stream: until then any of them may go on."""
        texts = {text.id: text for text in self._texts.values() if text.begun}
        self._texts.clear()
        self._hidden.clear()
        for text in texts.values():
            await self._turn.write({"type": f"{text.kind}-end", "id": text.id})

    def settle(self, response: ModelResponse) -> None:
        """Prepare a whole response for its tools and the next request: whole characters, and unique ids of calls."""
        streamed = [call for _, call in sorted(self._calls.items())]
        self._calls.clear()
        seen: set[str] = set()
        for part in response.parts:
            if isinstance(part, TextPart | ThinkingPart):
                part.content = mend(part.content)
            elif isinstance(part, ToolCallPart):
                part.args = whole_arguments(part.args)
                if part.tool_name in self._output_tools:
                    continue
                call = next((call for call in streamed if call.provider == part.tool_call_id), None)
                # A provider may give two calls one id: their decisions and results would be taken for each other's.
                part.tool_call_id = unused(part.tool_call_id, seen)
                if call is not None:
                    streamed.remove(call)
                    self._ids[part.tool_call_id] = call.id
                elif part.tool_call_id not in self._ids:  # it was not streamed
                    self._ids[part.tool_call_id] = unused(storable_id(part.tool_call_id), self._used)

    # --- Structured output ---

    def _is_output(self, part: ModelResponsePart) -> bool:
        if isinstance(part, ToolCallPart):
            return part.tool_name in self._output_tools
        return self._hides_text and isinstance(part, TextPart)

    # --- Text and reasoning ---

    def _open(self, index: int, kind: Literal["text", "reasoning"], continues: bool) -> None:
        """Open a text part; `continues`: the part before it is of the same kind, and goes on in the same text."""
        before = self._texts.get(index) or (self._texts.get(index - 1) if continues else None)
        if before is None or before.kind != kind:
            self._written += 1
            before = _Text(kind, f"model_{kind}_{self._written}")
        elif kind == "reasoning" and before.begun:
            before.gap = "\n\n"
        self._texts[index] = before

    async def _append(self, index: int, delta: str) -> None:
        text = self._texts[index]
        if not delta:
            return
        if not text.begun:
            text.begun = True
            await self._turn.write({"type": f"{text.kind}-start", "id": text.id})
        delta, text.gap = text.gap + delta, ""
        await self._turn.write({"type": f"{text.kind}-delta", "id": text.id, "delta": delta})

    async def _cite(self, citations: list[Citation]) -> None:
        sources = (source for citation in citations for source in citation.sources)
        for source in sources:
            if isinstance(source, WebCitationSource) and source.url not in self._cited:
                self._cited.add(source.url)
                chunk: Chunk = {"type": "source-url", "sourceId": source.url, "url": source.url}
                await self._turn.write(chunk | ({"title": source.title} if source.title else {}))

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

    async def _begin(self, index: int, part: ToolCallPart | NativeToolCallPart) -> None:
        # Some providers repeat ids in every step; in a response each call has an id of its own.
        call = self._calls.get(index)
        if call is None or call.provider != part.tool_call_id:
            call = self._calls[index] = _Call(part.tool_call_id, unused(storable_id(part.tool_call_id), self._used))
        self._ids[call.provider] = call.id
        await self._write({"type": "tool-input-start"}, part)
        if isinstance(part.args, str):
            await self._input(call, part.args)

    async def _argue(self, index: int, delta: ToolCallPartDelta) -> None:
        call = self._calls[index]
        if delta.tool_call_id:  # some providers send it only after the call's name
            call.provider = delta.tool_call_id
            self._ids[call.provider] = call.id
        if isinstance(delta.args_delta, str):
            await self._input(call, delta.args_delta)

    async def _input(self, call: _Call, delta: str) -> None:
        if delta:
            await self._turn.write({"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": delta})

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
        return self._turn.chunk_bytes - AROUND - max(map(len, self._used), default=0)

    def storable(self, value: object) -> Any:
        """Return a value as one of this turn's chunks can hold it."""
        return storable(value, self._most)


def whole_arguments(arguments: Any) -> Any:
    """Return a call's arguments without halves of surrogate pairs, of which pydantic-ai takes none."""
    if not isinstance(arguments, str):
        return mend_json(arguments)
    arguments = mend(arguments)
    try:
        value = json_text.read(arguments, halves=True).value
    except ValueError:
        return arguments  # its tool says what is wrong with it
    mended = mend_json(value)
    return arguments if mended == value else json.dumps(mended, ensure_ascii=False)
