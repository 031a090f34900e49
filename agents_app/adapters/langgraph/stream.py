"""The graph writer: what a graph streams, as chunks of a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, ToolMessage
from langgraph.types import Interrupt as GraphInterrupt

from agents_app.adapters.approved import ApprovedCalls
from agents_app.adapters.reviews import Interrupt
from agents_app.adapters.stream import StreamWriter
from agents_app.turn import Turn

Update = Mapping[str, object]  # a node's, or several nodes'


def questions(interrupts: Iterable[GraphInterrupt[Any]]) -> list[Interrupt]:
    """Return a graph's interrupts, for people."""
    return [Interrupt(each.id, each.value, each.response_schema) for each in interrupts]


class StepRequest:
    """A question of `Steering` within the graph, answered in the order of the stream: what have people said?"""

    def __init__(self) -> None:
        self.steers: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()


class GraphWriter(StreamWriter):
    """Writes the stream of one graph into a turn.

    `tools`: the names of its tools, if it gives structured output: calls of others are that output.
    """

    def __init__(self, turn: Turn, approved: ApprovedCalls, tools: set[str] | None) -> None:
        super().__init__(turn)
        self.interrupts: list[Interrupt] = []
        self._approved = approved
        self._tools = tools
        self._said: set[str] = set()  # messages of the model, by id
        self._called: set[str] = set()  # those whose calls are written
        self._keys: dict[tuple[str, int | None], str] = {}  # of calls: by node and index, the call's id
        self._hidden: set[str] = set()
        self._asked = False  # the model, at least once

    async def write(self, namespace: tuple[str, ...], mode: str, data: Any) -> None:
        """Write one item of `astream`."""
        match mode:
            case "messages":
                await self._message(*data)
            case "updates":
                await self._updates(data, is_root=not namespace)
            case "custom" if isinstance(data, StepRequest):
                data.steers.set_result(await self.step() if self._asked else [])
                self._asked = True

    async def _message(self, message: object, metadata: Mapping[str, object]) -> None:
        if isinstance(message, AIMessageChunk):
            await self._chunk(message, str(metadata.get("langgraph_checkpoint_ns", "")))
        elif isinstance(message, AIMessage):
            if message.id not in self._said:  # a node has made it, or a model that doesn't stream
                await self._content(message, str(message.id))
            await self._calls_of(message)
        elif isinstance(message, ToolMessage):
            await self._result(message)

    async def _chunk(self, chunk: AIMessageChunk, node: str) -> None:
        await self._content(chunk, str(chunk.id))
        for piece in chunk.tool_call_chunks:
            place = node, piece["index"]
            if piece["id"] and self._keys.get(place) != piece["id"]:
                self._keys[place] = piece["id"]
                if self._is_output(piece["name"]):
                    self._hidden.add(piece["id"])
                else:
                    await self.begin(piece["id"], piece["name"] or "")
            key = self._keys.get(place)
            if key and key not in self._hidden:
                await self.argue(key, piece["args"] or "")
        if chunk.chunk_position == "last":
            await self.end_texts_of(str(chunk.id))
            self._keys = {place: key for place, key in self._keys.items() if place[0] != node}

    async def _content(self, message: AIMessage, id: str) -> None:
        self._said.add(id)
        if usage := message.usage_metadata:
            self.usage(usage["input_tokens"], usage["output_tokens"])
        if isinstance(message.content, str):
            await self.text(str(message.additional_kwargs.get("reasoning_content") or ""), id, "reasoning")
            await self.text(message.content, id)
            return
        for block in message.content_blocks:
            match block:
                case {"type": "reasoning", "reasoning": str(text)}:
                    await self.text(text, id, "reasoning")
                case {"type": "text", "text": str(text)}:
                    await self.text(text, id)
                    await self._cite(block.get("annotations"))

    async def _cite(self, annotations: object) -> None:
        for annotation in annotations if isinstance(annotations, list) else []:
            match annotation:
                case {"type": "citation", "url": str(url)}:
                    await self.source(url, annotation.get("title"))

    async def end_texts_of(self, id: str) -> None:
        """End the texts of one message."""
        await self.end_text(id, "reasoning")
        await self.end_text(id)

    # Tools

    async def show(self, known: Sequence[AnyMessage]) -> None:
        """Write the newest calls of a checkpoint, which an earlier response has shown."""
        for message in reversed(known):
            if isinstance(message, AIMessage):
                self._said.add(str(message.id))
                await self._calls_of(message)
                return

    def _is_output(self, name: str | None) -> bool:
        return self._tools is not None and name not in self._tools

    async def _calls_of(self, message: AIMessage) -> None:
        if message.id in self._called:  # middleware may hand on a message again
            return
        self._called.add(str(message.id))
        for call in message.tool_calls:
            if not self._is_output(call["name"]) and call["id"]:
                await self.called(call["id"], call["name"], call["args"])
        for wrong in message.invalid_tool_calls:
            if wrong["id"] and not self._is_output(wrong["name"]):
                await self.called(wrong["id"], wrong["name"] or "", wrong["args"] or "")

    async def _result(self, message: ToolMessage) -> None:
        key = message.tool_call_id
        if key in self._approved:
            self.end(key)
            if message.status == "error":
                await self._approved.fail(key, str(self.storable(message.text)))
            else:
                await self._approved.end(key, self.storable(message.content))
        elif message.status == "error":
            await self.failed(key, message.text)
        else:
            await self.returned(key, message.content)

    # Updates

    async def _updates(self, nodes: Update, *, is_root: bool) -> None:
        for name, update in nodes.items():
            if name == "__interrupt__":
                if is_root:
                    self.interrupts += questions(cast("tuple[GraphInterrupt[Any], ...]", update))
            elif isinstance(update, Mapping):
                await self._update(update, is_root=is_root)

    async def _update(self, update: Update, *, is_root: bool) -> None:
        said = update.get("messages")
        for message in said if isinstance(said, list) else []:
            if isinstance(message, AIMessage) and message.id in self._said:
                await self.end_texts_of(str(message.id))
                await self._calls_of(message)
        if is_root and update.get("structured_response") is not None:
            await self.output(update["structured_response"])
