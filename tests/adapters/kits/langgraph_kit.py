"""The LangGraph kit: LangChain's agent with a scripted model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel

from agents_app.adapters.langgraph.agent import Steering, answer
from tests.adapters.kits.script import Call, Cite, Desk, Fail, Hold, Made, Piece, Step, Think, Told, Used

name = "langgraph"
lacks = frozenset[str]()
problem = ToolException


class ProviderError(Exception):
    """As providers' clients raise it."""

    status_code = 500


class City(BaseModel):
    """A city."""

    name: str
    people: int


def structured(value: str) -> Step:
    """Return a step with a structured output, in two pieces."""
    return [Call(value[:9], "City", "call_F"), Call(value[9:])]


def make(script: list[Step], desk: Desk, *, structured: bool = False, **options: Any) -> Made:
    requests: list[Told] = []
    graph = scripted_graph(script, desk, requests, structured=structured, **options)
    return Made(lambda turn: answer(turn, graph), requests)


def scripted_graph(
    script: list[Step], desk: Desk, requests: list[Told], *, structured: bool = False, mode: Any = "batched",
    checkpointer: Any = None,
) -> Any:  # fmt: skip
    tools = [
        StructuredTool.from_function(coroutine=function, handle_tool_error=True) for function in (desk.look, desk.send)
    ]
    asks = HumanInTheLoopMiddleware({"send": {"allowed_decisions": ["approve", "edit", "reject"]}}, interrupt_mode=mode)
    return create_agent(
        ScriptedModel(script=script, desk=desk, requests=requests),
        tools=tools,
        middleware=[Steering(), asks],
        response_format=ToolStrategy(City) if structured else None,
        checkpointer=checkpointer,
    )


class ScriptedModel(BaseChatModel):
    """Streams one step of a script at each request."""

    script: Any
    desk: Any
    requests: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> Any:
        return await agenerate_from_stream(self._astream(messages))

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.requests.append(list(told(messages)))
        for piece in self.script[len(self.requests) - 1]:
            if isinstance(piece, Hold):
                await self.desk.hold("model")
            for each in _beginning(piece):
                yield ChatGenerationChunk(message=_chunk(each))


def _beginning(piece: Piece) -> list[Piece]:
    """Return a call's first piece without arguments, and then those: as providers send it."""
    if isinstance(piece, Call) and piece.name:
        return [replace(piece, arguments=""), Call(piece.arguments, index=piece.index)]
    return [piece]


def _chunk(piece: Piece) -> AIMessageChunk:
    match piece:
        case str():
            return AIMessageChunk(content=piece)
        case Think(text):
            return AIMessageChunk(content=[{"type": "reasoning", "reasoning": text}])
        case Call(arguments, name, id, index):
            call = {"name": name or None, "args": arguments, "id": id or None, "index": index}
            return AIMessageChunk(content="", tool_call_chunks=[{**call, "type": "tool_call_chunk"}])
        case Cite(url, title):
            cited = {"type": "citation", "url": url, "title": title}
            return AIMessageChunk(content=[{"type": "text", "text": "", "annotations": [cited]}])
        case Used(input, output):
            usage = {"input_tokens": input, "output_tokens": output, "total_tokens": input + output}
            return AIMessageChunk(content="", usage_metadata=usage)
        case Fail(text):
            raise ProviderError(text)
    raise AssertionError(piece)


ROLES = {"human": "user", "ai": "assistant", "tool": "tool"}


def told(messages: list[BaseMessage]) -> Any:
    """Return who said what: results before the texts that the same answer ended in, as other frameworks have it."""
    for message in messages:
        if message.text:
            yield ROLES[message.type], message.text
