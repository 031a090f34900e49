"""A session's history as LangChain messages, and what a checkpoint's own messages lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from agents_app.adapters.history import INTERRUPTED, Call, Message, Result, conversation, last_calls, result_of
from sessions_app.core import fold


def messages(history: list[fold.MessageState]) -> list[AnyMessage]:
    """Return the history as LangChain's messages; see `conversation`."""
    return [each for message in conversation(history) for each in _messages(message)]


def answers_to_open_calls(known: Sequence[AnyMessage], history: list[fold.MessageState]) -> list[ToolMessage]:
    """Return a result for each call of a checkpoint's last answer that has none: models refuse calls without one.

    It is the one that the session has, such as that a call was broken off and its outcome isn't known.
    """
    shown = last_calls(history)
    results = [
        result_of(shown[id], name, id) if id in shown else Result(id, name, INTERRUPTED, "interrupted")
        for id, name in open_calls(known).items()
    ]
    return list(map(_result, results))


def open_calls(known: Sequence[AnyMessage]) -> dict[str, str]:
    """Return the names of the calls, by id, that a checkpoint has no result of."""
    last = next((message for message in reversed(known) if isinstance(message, AIMessage)), None)
    given = {message.tool_call_id for message in known if isinstance(message, ToolMessage)}
    calls = last.tool_calls if last else []
    return {id: call["name"] for call in calls if (id := call["id"]) is not None and id not in given}


def _messages(message: Message) -> Iterator[AnyMessage]:
    if message.role == "assistant":
        calls = [item for item in message.items if isinstance(item, Call)]
        named = [{"name": call.name, "args": call.arguments, "id": call.id} for call in calls]
        yield AIMessage(message.text, tool_calls=named)
        return
    for item in message.items:
        if isinstance(item, Result):
            yield _result(item)
        elif isinstance(item, str):
            yield HumanMessage(item) if message.role == "user" else SystemMessage(item)


def _result(result: Result) -> ToolMessage:
    status = "success" if result.outcome == "success" else "error"
    return ToolMessage(result.text, tool_call_id=result.id, name=result.name, status=status)
