"""The fold: applies chunks to a message, as the AI SDK does."""

from collections.abc import Callable, Mapping
from typing import cast

from sessions_app.core import tools
from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import (
    MessageState,
    append_text,
    ended,
    from_wire,
    not_open,
    nothing_open,
    push,
    step_start,
    to_wire,
    touch,
)
from sessions_app.core.vocabulary import BEGINS, ENDS, REASONS
from sessions_app.core.wire_types import Chunk, Event, JsonObject, MessageEvent, Part

__all__ = ["Event", "MessageState", "apply", "begin", "ended", "fold", "from_wire", "merge", "to_wire"]


def fold(messages: dict[str, MessageState], event: Event, *, keep_replaced: bool = False) -> None:
    """Apply an event to the messages of its session, by id. A signal's event changes none.

    Messages that it replaces are dropped, or marked with `keep_replaced`. Raises as `begin` and `apply`.
    """
    if "message" not in event:
        return
    message = messages.get(event["message"])
    if message is None:
        messages[event["message"]] = begin(event)
        for id in event.get("replaces", ()):
            _replace(messages, id, event, keep_replaced)
    else:
        apply(message, event["serial"], event["chunk"])


def _replace(messages: dict[str, MessageState], id: str, event: MessageEvent, keep: bool) -> None:
    replaced = messages.get(id) if keep else messages.pop(id, None)
    if replaced is not None:
        replaced.replaced_by, replaced.last_serial = event["message"], event["serial"]


def begin(event: MessageEvent) -> MessageState:
    """Return the message that a `start` or `message` chunk creates. Raises no_such_message and bad_chunk."""
    id, serial, chunk = event["message"], event["serial"], event["chunk"]
    if chunk["type"] not in BEGINS:
        raise HoldfastError("no_such_message", f"{id} at {chunk['type']}")
    parent, continues = event.get("parent"), event.get("continues")
    if chunk["type"] == "message":
        return _whole(MessageState(id, chunk["role"], "complete", serial, serial, event["at"], parent=parent), chunk)
    if chunk.get("messageId", id) != id:
        raise HoldfastError("bad_chunk", f"a start of {chunk['messageId']} in an event of {id}")
    metadata = chunk.get("messageMetadata")
    return MessageState(
        id, "assistant", "streaming", serial, serial, event["at"],
        metadata=metadata, parent=parent, continues=continues,
    )  # fmt: skip


def _whole(message: MessageState, chunk: Chunk) -> MessageState:
    message.metadata = chunk.get("metadata")
    for part in chunk["parts"]:
        push(message, message.first_serial, part)
    return message


def apply(message: MessageState, serial: int, chunk: Chunk) -> None:
    """Apply a checked chunk (see `vocabulary.check`); its values become the message's, so don't change them.

    Raises unknown_part, message_ended or message_exists, and then nothing has changed.
    """
    if message.status != "streaming":
        raise HoldfastError("message_exists" if chunk["type"] in BEGINS else "message_ended", message.id)
    _HANDLERS.get(chunk["type"], _data)(message, serial, chunk)
    message.last_serial = serial


# Begin, metadata, end


def _start_again(message: MessageState, serial: int, chunk: Chunk) -> None:
    raise HoldfastError("message_exists", message.id)


def _metadata(message: MessageState, serial: int, chunk: Chunk) -> None:
    new = chunk.get("messageMetadata")
    if new is not None:
        message.metadata = new if message.metadata is None else merge(message.metadata, new)


def merge(base: JsonObject, new: JsonObject) -> JsonObject:
    """Merge deeply, as the AI SDK does: arrays are replaced, names of JavaScript's prototypes ignored."""
    merged = dict(base)
    for key, value in new.items():
        if key in ("__proto__", "constructor", "prototype"):
            continue
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _end(message: MessageState, serial: int, chunk: Chunk) -> None:
    if chunk["type"] == "finish":
        _metadata(message, serial, chunk)
    _close_everything(message, serial)
    message.status = ENDS[chunk["type"]]
    message.reason = chunk.get(REASONS[chunk["type"]])


def _close_everything(message: MessageState, serial: int) -> None:
    for call in list(message.open["tools"]):
        tools.close_input(message, serial, call)
    message.open = nothing_open()


# Parts


def _part_of(*names: str) -> "_Handler":
    """Return a handler for chunks that are a whole part: its type and these fields."""
    fields = ("type", *names)

    def push_part(message: MessageState, serial: int, chunk: Chunk) -> None:
        values: Mapping[str, object] = chunk
        push(message, serial, cast(Part, {name: values[name] for name in fields if name in values}))

    return push_part


def _data(message: MessageState, serial: int, chunk: Chunk) -> None:
    """Push a data part, or replace the data of the one with the same type and id. Transient data isn't kept."""
    if chunk.get("transient"):
        return
    index = _find_data(message, chunk)
    if index is None:
        push(message, serial, cast(Part, dict(chunk)))
        return
    part = touch(message, serial, index)
    part.pop("data", None)
    if "data" in chunk:
        part["data"] = chunk["data"]


def _find_data(message: MessageState, chunk: Chunk) -> int | None:
    if "id" not in chunk:
        return None
    for index, part in enumerate(message.parts):
        if part["type"] == chunk["type"] and part.get("id") == chunk["id"]:
            return index
    return None


# Steps


def _start_step(message: MessageState, serial: int, chunk: Chunk) -> None:
    push(message, serial, {"type": "step-start"})


def _finish_step(message: MessageState, serial: int, chunk: Chunk) -> None:
    """Do nothing: parts are closed by their own ends, and another stream's may continue after this step."""


def _reset_step(message: MessageState, serial: int, chunk: Chunk) -> None:
    """Drop the parts of the current step: it is tried again."""
    _close_everything(message, serial)
    first = step_start(message)
    del message.parts[first:], message.marks[first:]


# Text and reasoning


def _text_start(message: MessageState, serial: int, chunk: Chunk) -> None:
    part: Part = {"type": "text", "text": "", "state": "streaming"}
    message.open["text"][chunk["id"]] = push(message, serial, _with_provider(part, chunk))


def _reasoning_start(message: MessageState, serial: int, chunk: Chunk) -> None:
    part: Part = {"type": "reasoning", "id": chunk["id"], "text": "", "state": "streaming"}
    message.open["reasoning"][chunk["id"]] = push(message, serial, _with_provider(part, chunk))


def _text_delta(message: MessageState, serial: int, chunk: Chunk) -> None:
    _append(message, message.open["text"], serial, chunk)


def _reasoning_delta(message: MessageState, serial: int, chunk: Chunk) -> None:
    _append(message, message.open["reasoning"], serial, chunk)


def _append(message: MessageState, opened: dict[str, int], serial: int, chunk: Chunk) -> None:
    index = opened.get(chunk["id"])
    if index is None:
        raise not_open(chunk)
    part = touch(message, serial, index)
    append_text(part, chunk["delta"])
    if len(chunk) > 3:
        _with_provider(part, chunk)


def _text_end(message: MessageState, serial: int, chunk: Chunk) -> None:
    part = _close(message, message.open["text"], serial, chunk)
    if "citations" in chunk:
        part["citations"] = chunk["citations"]


def _reasoning_end(message: MessageState, serial: int, chunk: Chunk) -> None:
    _close(message, message.open["reasoning"], serial, chunk)


def _close(message: MessageState, opened: dict[str, int], serial: int, chunk: Chunk) -> Part:
    index = opened.pop(chunk["id"], None)
    if index is None:
        raise not_open(chunk)
    part = _with_provider(touch(message, serial, index), chunk)
    part["state"] = "done"
    return part


def _with_provider(part: Part, chunk: Chunk) -> Part:
    if "providerMetadata" in chunk:
        part["providerMetadata"] = chunk["providerMetadata"]
    return part


_Handler = Callable[[MessageState, int, Chunk], None]
_HANDLERS: dict[str, _Handler] = {
    "start": _start_again,
    "message": _start_again,
    "message-metadata": _metadata,
    "finish": _end,
    "abort": _end,
    "error": _end,
    "interrupt": _end,
    "start-step": _start_step,
    "finish-step": _finish_step,
    "reset-step": _reset_step,
    "text-start": _text_start,
    "text-delta": _text_delta,
    "text-end": _text_end,
    "reasoning-start": _reasoning_start,
    "reasoning-delta": _reasoning_delta,
    "reasoning-end": _reasoning_end,
    "tool-input-start": tools.tool_input,
    "tool-input-delta": tools.tool_input_delta,
    "tool-input-available": tools.tool_input,
    "tool-input-error": tools.tool_input,
    "tool-approval-request": tools.tool_approval_request,
    "tool-approval-response": tools.tool_approval_response,
    "tool-output-available": tools.tool_output,
    "tool-output-error": tools.tool_output,
    "tool-output-denied": tools.tool_output_denied,
    "file": _part_of("mediaType", "url", "providerMetadata"),
    "reasoning-file": _part_of("mediaType", "url", "providerMetadata"),
    "source-url": _part_of("sourceId", "url", "title", "providerMetadata"),
    "source-document": _part_of("sourceId", "mediaType", "title", "filename", "providerMetadata"),
    "custom": _part_of("kind", "providerMetadata"),
    "steering-message": _part_of("id", "parts"),
}
