"""The event writer: what a run of the SDK streams, as chunks of a turn."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from agents import Agent, AgentOutputSchemaBase, default_tool_error_function
from agents.items import HandoffOutputItem, ToolCallOutputItem
from agents.stream_events import AgentUpdatedStreamEvent, RawResponsesStreamEvent, RunItemStreamEvent, StreamEvent
from openai.types.responses import ResponseFunctionToolCall, ResponseUsage

from agents_app.adapters import failures
from agents_app.adapters.approved import ApprovedCalls
from agents_app.adapters.stream import StreamWriter
from agents_app.tool_call import TOOL_FAILED
from agents_app.turn import AgentFailed, Turn

AGENT = "agent"  # name of the data part that says which agent speaks from here on

# What the SDK gives a model when a tool raises, unless the tool has a function for that.
FAILURE = default_tool_error_function(cast(Any, None), Exception(""))


class EventWriter(StreamWriter):
    """Writes the events of one run into a turn."""

    def __init__(self, turn: Turn, agent: Agent[Any], approved: ApprovedCalls) -> None:
        super().__init__(turn)
        self._approved = approved
        self._agent = agent
        self._places: dict[int, str] = {}  # of calls in this response: by index, the call's id
        self._progress = asyncio.Condition()  # another call has ended

    async def write(self, event: StreamEvent) -> None:
        """Write one event."""
        match event:
            case RawResponsesStreamEvent(data=data):
                await self._response(data)
            case RunItemStreamEvent(item=ToolCallOutputItem() | HandoffOutputItem() as item):
                await self._result(item)
            case AgentUpdatedStreamEvent(new_agent=agent) if agent is not self._agent:
                self._agent = agent
                await self.data(AGENT, {"name": agent.name})

    async def until_ended(self, keys: set[str]) -> None:
        """Wait until the results of these calls, which the run has, are written."""
        async with self._progress:
            await self._progress.wait_for(lambda: not keys & self.waiting().keys())

    # A response of the model

    async def _response(self, data: Any) -> None:
        match data.type:
            case "response.output_text.delta" | "response.refusal.delta":
                if not self._gives_output():
                    await self.text(data.delta, f"{data.item_id}.{data.content_index}")
            case "response.reasoning_summary_text.delta":
                await self.text(data.delta, f"{data.item_id}.{data.summary_index}", "reasoning")
            case "response.reasoning_text.delta":
                await self.text(data.delta, f"{data.item_id}.{data.content_index}", "reasoning")
            case "response.output_text.annotation.added":
                await self._cite(data.annotation)
            case "response.output_item.added" if isinstance(data.item, ResponseFunctionToolCall):
                self._places[data.output_index] = data.item.call_id
                await self.begin(data.item.call_id, data.item.name)
            case "response.function_call_arguments.delta":
                await self.argue(self._places[data.output_index], data.delta)
            case "response.output_item.done" if isinstance(data.item, ResponseFunctionToolCall):
                await self.called(data.item.call_id, data.item.name, data.item.arguments)
            case "response.completed" | "response.incomplete":
                await self._end(data.response)

    async def _end(self, response: Any) -> None:
        self._places.clear()
        await self.end_texts()
        usage: ResponseUsage | None = response.usage
        if usage:
            self.usage(usage.input_tokens, usage.output_tokens)
        if response.incomplete_details:
            filtered = response.incomplete_details.reason == "content_filter"
            raise AgentFailed(failures.FILTERED if filtered else failures.TOO_LONG)

    def _gives_output(self) -> bool:
        """Return whether the agent's texts are structured output, which is written at the end of the run."""
        kind = self._agent.output_type
        if isinstance(kind, AgentOutputSchemaBase):
            return not kind.is_plain_text()
        return kind not in (None, str)

    async def _cite(self, annotation: Any) -> None:
        fields = annotation if isinstance(annotation, dict) else annotation.model_dump()
        if fields.get("type") == "url_citation" and fields.get("url"):
            await self.source(fields["url"], fields.get("title"))

    # Results

    async def _result(self, item: ToolCallOutputItem | HandoffOutputItem) -> None:
        key = str(cast("dict[str, Any]", item.raw_item)["call_id"])
        output = item.output if isinstance(item, ToolCallOutputItem) else {"assistant": item.target_agent.name}
        has_failed = output == FAILURE
        if key in self._approved:
            self.end(key)
            await (
                self._approved.fail(key, TOOL_FAILED) if has_failed else self._approved.end(key, self.storable(output))
            )
        elif has_failed:
            await self.failed(key, TOOL_FAILED)
        else:
            await self.returned(key, output)
        async with self._progress:
            self._progress.notify_all()
