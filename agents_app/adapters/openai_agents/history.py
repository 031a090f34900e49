"""A session's history as input items of the Responses API."""

from __future__ import annotations

from collections.abc import Iterator

from agents import TResponseInputItem

from agents_app.adapters.history import Call, Message, Result, conversation
from sessions_app.core import fold


def input_items(history: list[fold.MessageState]) -> list[TResponseInputItem]:
    """Return the history as input items; see `conversation`."""
    return [item for message in conversation(history) for item in _items(message)]


def said(text: str) -> TResponseInputItem:
    """Return what a person says, as an input item."""
    return {"role": "user", "content": text}


def _items(message: Message) -> Iterator[TResponseInputItem]:
    for item in message.items:
        match item:
            case Call(id, name):
                yield {"type": "function_call", "call_id": id, "name": name, "arguments": item.text}
            case Result(id):
                yield {"type": "function_call_output", "call_id": id, "output": item.text}
            case str():
                yield {"role": message.role, "content": item}
