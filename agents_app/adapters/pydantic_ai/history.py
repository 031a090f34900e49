"""A session's history as model messages: user prompts, answers, tool calls with their results."""

from __future__ import annotations

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from agents_app.adapters.history import Call, Message, Result, conversation
from sessions_app.core import fold


def model_messages(history: list[fold.MessageState]) -> list[ModelMessage]:
    """Return the history as pydantic-ai's messages; see `conversation`."""
    return [_model_message(message) for message in conversation(history)]


def _model_message(message: Message) -> ModelMessage:
    match message.role:
        case "assistant":
            return ModelResponse([_said(item) for item in message.items if not isinstance(item, Result)])
        case "system":
            return ModelRequest([SystemPromptPart(message.text)])
        case _:
            return ModelRequest([_given(item) for item in message.items if not isinstance(item, Call)])


def _said(item: str | Call) -> ModelResponsePart:
    return TextPart(item) if isinstance(item, str) else ToolCallPart(item.name, item.arguments, item.id)


def _given(item: str | Result) -> ModelRequestPart:
    if isinstance(item, str):
        return UserPromptPart(item)
    return ToolReturnPart(item.name, item.value, item.id, outcome=item.outcome)
