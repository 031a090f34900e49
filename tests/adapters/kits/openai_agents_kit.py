"""The kit of the OpenAI Agents SDK: a scripted model that streams events of the Responses API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agents import (
    Agent,
    Model,
    ModelResponse,
    ModelSettings,
    Usage,
    default_tool_error_function,
    function_tool,
    set_tracing_disabled,
)
from openai.types.responses import Response, ResponseCompletedEvent, ResponseFunctionToolCall, ResponseUsage
from pydantic import BaseModel

from agents_app.adapters.openai_agents.agent import answer
from tests.adapters.kits.script import Call, Cite, Desk, Fail, Hold, Made, Step, Think, Told, ToolProblem, Used

name = "openai-agents"
lacks = frozenset({"repeated ids", "tool errors"})
problem = ToolProblem
set_tracing_disabled(True)


class ProviderError(Exception):
    """As the provider's client raises it."""

    status_code = 500


class City(BaseModel):
    """A city."""

    name: str
    people: int


def structured(value: str) -> Step:
    """Return a step with a structured output, in two pieces."""
    return [value[:9], value[9:]]


def make(script: list[Step], desk: Desk, *, structured: bool = False) -> Made:
    requests: list[Told] = []
    agent = scripted_agent(script, desk, requests, structured=structured)
    return Made(lambda turn: answer(turn, agent), requests)


def scripted_agent(
    script: list[Step], desk: Desk, requests: list[Told], *, structured: bool = False, **options: Any
) -> Any:
    return Agent(
        name="Clerk",
        model=ScriptedModel(script, desk, requests),
        tools=[
            function_tool(desk.look, failure_error_function=tell),
            function_tool(needs_approval=True, failure_error_function=tell)(desk.send),
        ],
        output_type=City if structured else None,
        **options,
    )


def tell(context: Any, error: Exception) -> str:
    return str(error) if isinstance(error, ToolProblem) else default_tool_error_function(context, error)


class ScriptedModel(Model):
    """Streams one step of a script at each request."""

    def __init__(self, script: list[Step], desk: Desk, requests: list[Told]) -> None:
        self._script = script
        self._desk = desk
        self._requests = requests

    async def get_response(self, *request: Any, **options: Any) -> ModelResponse:
        *_, end = [event async for event in self.stream_response(None, options["input"], ModelSettings())]
        return ModelResponse(output=end.response.output, usage=Usage(), response_id=None)

    async def stream_response(
        self, system: Any, input: Any, settings: ModelSettings, *rest: Any, **options: Any
    ) -> AsyncIterator[Any]:
        self._requests.append(list(told(input)))
        response = ScriptedResponse()
        for piece in self._script[len(self._requests) - 1]:
            if isinstance(piece, Hold):
                await self._desk.hold("model")
            for event in response.events(piece):
                yield event
        for event in response.end():
            yield event


class Event:
    """An event of the Responses API."""

    def __init__(self, type: str, **fields: Any) -> None:
        self.type = type
        self.__dict__ |= fields


class ScriptedResponse:
    """The events of one response."""

    def __init__(self) -> None:
        self._text = ""
        self._thought = ""
        self._calls: dict[int, ResponseFunctionToolCall] = {}
        self._usage = (0, 0)

    def events(self, piece: Any) -> Any:
        match piece:
            case str():
                self._text += piece
                yield Event("response.output_text.delta", delta=piece, item_id="m", content_index=0, output_index=90)
            case Think(text):
                self._thought += text
                place = {"item_id": "r", "summary_index": 0, "output_index": 80}
                yield Event("response.reasoning_summary_text.delta", delta=text, **place)
            case Call():
                yield from self._call(piece)
            case Cite(url, title):
                cited = {"type": "url_citation", "url": url, "title": title, "start_index": 0, "end_index": 1}
                yield Event("response.output_text.annotation.added", annotation=cited)
            case Used(input, output):
                self._usage = (input, output)
            case Fail(text):
                raise ProviderError(text)

    def _call(self, piece: Call) -> Any:
        if piece.name:
            self._calls[piece.index] = ResponseFunctionToolCall(
                type="function_call", call_id=piece.id, name=piece.name, arguments="", id=f"fc_{piece.index}"
            )
            added = self._calls[piece.index].model_copy()
            yield Event("response.output_item.added", item=added, output_index=piece.index)
        self._calls[piece.index].arguments += piece.arguments
        place = {"item_id": f"fc_{piece.index}", "output_index": piece.index}
        yield Event("response.function_call_arguments.delta", delta=piece.arguments, **place)

    def end(self) -> Any:
        for index, call in self._calls.items():
            yield Event("response.output_item.done", item=call, output_index=index)
        content = [{"type": "output_text", "text": self._text, "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
        read, written = self._usage
        usage = ResponseUsage.model_validate({
            "input_tokens": read, "output_tokens": written, "total_tokens": read + written,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        })  # fmt: skip
        response = Response.model_validate({
            "id": "resp", "object": "response", "created_at": 1, "model": "scripted", "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": True,
            "output": [message] if self._text else [],
        })  # fmt: skip
        response.output += self._calls.values()
        response.usage = usage
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=1)


def told(items: Any) -> Any:
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        if item.get("type") == "function_call_output":
            yield "tool", item["output"]
        elif item.get("role") == "user":
            yield "user", item["content"]
        elif item.get("role") == "assistant":
            content = item["content"]
            yield "assistant", content if isinstance(content, str) else "".join(part["text"] for part in content)
