"""The stream writer: a framework's texts, tool calls and results, as chunks of a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents_app.adapters.values import AROUND, OUTPUT, storable, storable_id, token_counts, unused
from agents_app.backend import Arguments
from agents_app.tool_call import ToolCall, parsed
from agents_app.turn import Turn
from sessions_app.core.wire_types import Chunk

Kind = Literal["text", "reasoning"]


@dataclass
class _Call:
    """A call in the response."""

    id: str
    name: str
    text: str = ""  # of its arguments, as far as streamed
    arguments: Arguments | None = None  # once they are complete
    ended: bool = False


class StreamWriter:
    """Writes one run of a framework into its turn. Texts and calls go by keys of the framework's own.

    Parts may come in turn. A key of a call may come again once the earlier call has ended: then it is another call.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._texts: dict[tuple[str, Kind], str] = {}  # open parts: their ids
        self._written = 0  # texts begun
        self._calls: dict[str, _Call] = {}
        self._used: set[str] = set()  # ids of calls
        self._cited: set[str] = set()
        self._has_results = False  # in this step: what the model says next is the next step

    # Text

    async def text(self, delta: str, key: str = "", kind: Kind = "text") -> None:
        """Append to the text or reasoning with this key; the first time, and after `end_texts`, it begins one."""
        if not delta:
            return
        await self._next_step()
        part = self._texts.get((key, kind))
        if part is None:
            self._written += 1
            part = self._texts[key, kind] = f"model_{kind}_{self._written}"
            await self._turn.write({"type": f"{kind}-start", "id": part})
        await self._turn.write({"type": f"{kind}-delta", "id": part, "delta": delta})

    async def end_text(self, key: str, kind: Kind = "text") -> None:
        """End the text with this key, if it has begun."""
        if part := self._texts.pop((key, kind), None):
            await self._turn.write({"type": f"{kind}-end", "id": part})

    async def end_texts(self) -> None:
        """End all texts."""
        for key, kind in list(self._texts):
            await self.end_text(key, kind)

    async def source(self, url: str, title: str | None) -> None:
        """Write a source, once."""
        if url not in self._cited:
            self._cited.add(url)
            chunk: Chunk = {"type": "source-url", "sourceId": url, "url": url}
            await self._turn.write(chunk | ({"title": title} if title else {}))

    async def data(self, name: str, value: object) -> None:
        """Write data of the application's own."""
        await self.end_texts()
        await self._turn.data(name, self.storable(value))

    async def output(self, value: object) -> None:
        """Write the run's structured output."""
        await self.data(OUTPUT, value)

    # Steps

    async def step(self) -> list[str]:
        """Begin the next step; return what people have said meanwhile, for the model."""
        await self.end_texts()
        self._has_results = False
        return await self._turn.step()

    async def _next_step(self) -> None:
        """Begin the next step if the model speaks after results; a framework that takes no steers leaves them."""
        if self._has_results:
            self._has_results = False
            await self.end_texts()
            await self._turn.write({"type": "finish-step"})
            await self._turn.write({"type": "start-step"})

    # Calls

    async def begin(self, key: str, name: str) -> None:
        """Begin a call whose arguments will be streamed."""
        await self._next_step()
        call = self._calls[key] = _Call(unused(storable_id(key), self._used), name)
        await self._turn.write({"type": "tool-input-start", "toolCallId": call.id, "toolName": name})

    async def argue(self, key: str, delta: str) -> None:
        """Append to the JSON text of a call's arguments."""
        call = self._calls[key]
        if delta:
            call.text += delta
            await self._turn.write({"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": delta})

    async def called(self, key: str, name: str, arguments: Arguments | str) -> None:
        """Write a call's complete arguments: an object, or JSON text. Text that is none ends it with an error."""
        if key not in self._calls or self._calls[key].ended:
            await self.begin(key, name)
        call = self._calls[key]
        if call.arguments is not None:
            return
        chunk: Chunk = {"type": "tool-input-available", "toolCallId": call.id, "toolName": name}
        try:
            call.arguments = parsed(arguments or "{}") if isinstance(arguments, str) else arguments
        except ValueError as problem:
            call.ended = True
            chunk["type"] = "tool-input-error"
            await self._turn.write({**chunk, "input": self.storable(arguments), "errorText": f"Not JSON: {problem}"})
            return
        await self._turn.write({**chunk, "input": self.storable(call.arguments)})

    async def settle(self) -> None:
        """Complete the calls whose arguments have been streamed."""
        for key, call in self._calls.items():
            if call.arguments is None and not call.ended:
                await self.called(key, call.name, call.text)

    def waiting(self) -> dict[str, tuple[str, Arguments]]:
        """Return the name and arguments of each call that has no result yet."""
        return {
            key: (call.name, call.arguments)
            for key, call in self._calls.items()
            if call.arguments is not None and not call.ended
        }

    def askable(self, key: str) -> ToolCall | None:
        """Return a call that people can be shown in full, to decide about; None for any other."""
        call = self._calls.get(key)
        if call is None or call.arguments is None or self.storable(call.arguments) != call.arguments:
            return None
        return self._turn.call(call.id, call.name, call.arguments)

    def end(self, key: str) -> str:
        """Note that a call has ended, and return its id in the response; empty if it is unknown, or had ended."""
        call = self._calls.get(key)
        if call is None or call.ended:
            return ""
        call.ended = self._has_results = True
        return call.id

    async def returned(self, key: str, output: object) -> None:
        """End a call with its output, unless it has ended."""
        if id := self.end(key):
            output = self.storable(output)
            await self._turn.write({"type": "tool-output-available", "toolCallId": id, "output": output})

    async def failed(self, key: str, message: str) -> None:
        """End a call with its error, unless it has ended."""
        if id := self.end(key):
            error = str(self.storable(message))
            await self._turn.write({"type": "tool-output-error", "toolCallId": id, "errorText": error})

    # Limits

    def usage(self, input_tokens: int | None, output_tokens: int | None) -> None:
        """Count what the provider says the model has read and written, within the bounds of a count."""
        self._turn.usage(**token_counts(input_tokens, output_tokens))

    def storable(self, value: object) -> object:
        """Return a value as one of this turn's chunks can hold it."""
        return storable(value, self._turn.chunk_bytes - AROUND - max(map(len, self._used), default=0))
