"""The pydantic-ai kit: a scripted model of pydantic-ai."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ModelRetry
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import Citation, ModelMessage, ModelResponse, ModelResponseStreamEvent, WebCitationSource
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.usage import RequestUsage

from agents_app.adapters.pydantic_ai.agent import answer
from tests.adapters.kits.script import Call, Cite, Desk, Fail, Hold, Made, Piece, Step, Think, Told, Used

name = "pydantic-ai"
lacks = frozenset[str]()
problem = ModelRetry


class City(BaseModel):
    """A city."""

    name: str
    people: int


def make(script: list[Step], desk: Desk, *, structured: bool = False) -> Made:
    requests: list[Told] = []
    agent = scripted_agent(script, desk, requests, structured=structured)
    return Made(lambda turn: answer(turn, agent), requests)


def scripted_agent(
    script: list[Step], desk: Desk, requests: list[Told], *, structured: bool = False, deferred: bool = False
) -> Any:
    output: Any = City if structured else str
    model = ScriptedModel(script, desk, requests)
    agent: Agent[None, Any] = Agent(model, output_type=[output, DeferredToolRequests] if deferred else output)
    agent.tool_plain(desk.look)
    agent.tool_plain(requires_approval=True, metadata={"approval": {"editable": True}})(desk.send)
    return agent


class ScriptedModel(Model):
    """Streams one step of a script at each request."""

    def __init__(self, script: list[Step], desk: Desk, requests: list[Told]) -> None:
        super().__init__()
        self._script = script
        self._desk = desk
        self._requests = requests

    model_name = "scripted"
    system = "scripted"

    async def request(self, *request: Any) -> ModelResponse:
        raise NotImplementedError

    @asynccontextmanager
    async def request_stream(
        self, messages: list[ModelMessage], settings: Any, parameters: ModelRequestParameters, run_context: Any = None
    ) -> AsyncIterator[StreamedResponse]:
        _, parameters = self.prepare_request(settings, parameters)
        self._requests.append(list(told(messages)))
        yield ScriptedStream(parameters, self._script[len(self._requests) - 1], self._desk)


@dataclass
class ScriptedStream(StreamedResponse):
    step: Step
    desk: Desk
    model_name = "scripted"
    provider_name = "scripted"
    provider_url = None
    timestamp = datetime(2026, 12, 1, tzinfo=UTC)

    async def close_stream(self) -> None:
        """There is nothing to close."""

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        for piece in self.step:
            if isinstance(piece, Hold):
                await self.desk.hold("model")
            for event in self._events(piece):
                yield event

    def _events(self, piece: Piece) -> Any:
        parts = self._parts_manager
        match piece:
            case str():
                return parts.handle_text_delta(vendor_part_id="text", content=piece)
            case Think(text):
                return parts.handle_thinking_delta(vendor_part_id="thought", content=text)
            case Call(arguments, name, id, index):
                return parts.handle_tool_call_delta_events(
                    vendor_part_id=index, tool_name=name or None, args=arguments, tool_call_id=id or None
                )
            case Cite(url, title):
                citations = [Citation([WebCitationSource(url, title=title)])]
                return parts.handle_text_delta(vendor_part_id="text", content="", citations=citations)
            case Used(input, output):
                self._usage = RequestUsage(input_tokens=input, output_tokens=output)
            case Fail(text):
                raise ModelHTTPError(500, "scripted", {"message": text})
        return ()


ROLES = {"user-prompt": "user", "text": "assistant", "tool-return": "tool", "retry-prompt": "tool"}


def told(messages: list[ModelMessage]) -> AsyncIterator[tuple[str, str]] | Any:
    for message in messages:
        for part in message.parts:
            if part.part_kind in ROLES:
                yield ROLES[part.part_kind], str(getattr(part, "content", ""))


def structured(value: str) -> Step:
    """Return a step with a structured output, in two pieces."""
    return ["", Call(value[:9], "final_result", "call_F"), Call(value[9:])]
