"""A scripted model, and helpers to look at its answers."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from sessions_app.core.fold import MessageState


def scripted(*steps: Any) -> tuple[FunctionModel, list[list[ModelMessage]]]:
    """Return a model that streams these pieces (or a function's), step by step, and the messages it got at each."""
    given: list[list[ModelMessage]] = []

    async def stream(messages: list[ModelMessage], info: object) -> AsyncIterator[Any]:
        given.append(list(messages))
        step = steps[len(given) - 1]
        for piece in step() if callable(step) else step:
            yield piece

    return FunctionModel(stream_function=stream), given


def call(name: str, arguments: str, id: str = "call_1", *, index: int = 1) -> dict[int, DeltaToolCall]:
    return {index: DeltaToolCall(name, arguments, tool_call_id=id)}


def tool(message: MessageState, name: str = "look") -> dict[str, Any]:
    """Return the part of the first call of a tool."""
    return next(part for part in message.parts if part["type"] == f"tool-{name}")


def request_parts(messages: list[ModelMessage]) -> list[tuple[str, Any]]:
    """Return the kind and content of each part that a model was given."""
    return [(part.part_kind, getattr(part, "content", None)) for message in messages for part in message.parts]
