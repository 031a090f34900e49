"""Vocabulary: the AI SDK's 30 UI message chunk types and two of Holdfast's own, checked against a table."""

from collections.abc import Callable
from math import isfinite
from typing import Literal, NamedTuple

from sessions_app.core.errors import HoldfastError
from sessions_app.core.json_text import MAX_INTEGER, MIN_INTEGER
from sessions_app.core.wire_types import JsonObject

ROLES = ("user", "assistant", "system")
BEGINS = ("start", "message")
ENDS = {"finish": "complete", "abort": "cancelled", "error": "failed", "interrupt": "interrupted"}
# The field of each end that becomes the message's reason.
REASONS: dict[str, Literal["finishReason", "reason", "errorText"]] = {
    "finish": "finishReason",
    "abort": "reason",
    "error": "errorText",
    "interrupt": "reason",
}

PartName = Literal["id", "toolCallId"]
TextName = Literal["delta", "inputTextDelta"]

# Chunks that append text to an open part: the field that names the part, and the field with the text.
APPENDS: dict[str, tuple[PartName, TextName]] = {
    "text-delta": ("id", "delta"),
    "reasoning-delta": ("id", "delta"),
    "tool-input-delta": ("toolCallId", "inputTextDelta"),
}

TEXT_APPENDS = ("text-delta", "reasoning-delta")

# orjson writes at most 254 levels; a message adds a few around its chunks, and no honest chunk comes near.
MAX_DEPTH = 64

NAME_BYTES = 8 * 1024  # of UTF-8, of a tool's name and a call's id: gateways carry signatures of thousands in ids


class Field(NamedTuple):
    """The values that a chunk's field may have. `what` names them."""

    what: str
    fits: Callable[[object], bool]


class Shape(NamedTuple):
    """A chunk type's fields. Others are allowed, as in the AI SDK."""

    required: dict[str, Field]
    optional: dict[str, Field]


def is_name(value: object) -> bool:
    """Return whether it is a call's id or a tool's name that every table can hold."""
    return isinstance(value, str) and "\0" not in value and utf8_bytes(value) <= NAME_BYTES


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_object_of_objects(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, dict) for item in value.values())


def _is_part(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return value["type"] not in ("text", "reasoning") or isinstance(value.get("text"), str)


def _is_steering_part(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("type") == "file":
        return isinstance(value.get("mediaType"), str) and isinstance(value.get("url"), str)
    return value.get("type") == "text" and isinstance(value.get("text"), str)


def _is_citation(value: object) -> bool:
    source = value.get("source") if isinstance(value, dict) else None
    if not isinstance(source, dict) or source.get("type") != "source":
        return False
    named = {"url": ("id", "url"), "document": ("id", "mediaType", "title")}.get(str(source.get("sourceType")))
    return named is not None and all(isinstance(source.get(name), str) for name in named)


def _one_of(*names: str) -> Field:
    return Field("one of " + ", ".join(names), lambda value: value in names)


def _list_of(what: str, fits: Callable[[object], bool]) -> Field:
    return Field(f"a list of {what}", lambda value: isinstance(value, list) and all(map(fits, value)))


STRING = Field("a string", lambda value: isinstance(value, str))
BOOLEAN = Field("a boolean", lambda value: isinstance(value, bool))
ANY = Field("a JSON value", lambda value: True)
OBJECT = Field("an object", _is_object)
METADATA = Field("an object or null", lambda value: value is None or isinstance(value, dict))

NAME = Field(f"a string of at most {NAME_BYTES} bytes without NUL", is_name)

_ID = {"id": STRING}
_CALL = {"toolCallId": NAME}
_NAMED_CALL = {"toolCallId": NAME, "toolName": NAME}
_PROVIDER = {"providerMetadata": Field("an object of objects", _is_object_of_objects)}
_TOOL = {**_PROVIDER, "providerExecuted": BOOLEAN, "toolMetadata": OBJECT, "dynamic": BOOLEAN}
_MESSAGE_METADATA = {"messageMetadata": METADATA}
FINISH_REASONS = ("stop", "length", "content-filter", "tool-calls", "error", "interrupted", "other")
_FINISH_REASON = _one_of(*FINISH_REASONS)

CHUNKS: dict[str, Shape] = {
    # The message
    "start": Shape({}, {"messageId": STRING, **_MESSAGE_METADATA}),
    "message": Shape(
        {"role": _one_of(*ROLES), "parts": _list_of("parts", _is_part)},
        {"metadata": METADATA},
    ),
    "message-metadata": Shape({}, _MESSAGE_METADATA),
    "finish": Shape({}, {"finishReason": _FINISH_REASON, **_MESSAGE_METADATA}),
    "abort": Shape({}, {"reason": STRING}),
    "error": Shape({"errorText": STRING}, {}),
    "interrupt": Shape({"reason": STRING}, {}),
    # Steps
    "start-step": Shape({}, {}),
    "finish-step": Shape({}, {}),
    "reset-step": Shape({}, {}),
    # Text and reasoning
    "text-start": Shape(_ID, _PROVIDER),
    "text-delta": Shape({**_ID, "delta": STRING}, _PROVIDER),
    "text-end": Shape(_ID, {**_PROVIDER, "citations": _list_of("citations", _is_citation)}),
    "reasoning-start": Shape(_ID, _PROVIDER),
    "reasoning-delta": Shape({**_ID, "delta": STRING}, _PROVIDER),
    "reasoning-end": Shape(_ID, _PROVIDER),
    # Tool calls: a value that JSON leaves out (JavaScript's undefined) is allowed for input and output
    "tool-input-start": Shape(_NAMED_CALL, {**_TOOL, "title": STRING, "inputEncoding": _one_of("json", "text")}),
    "tool-input-delta": Shape({**_CALL, "inputTextDelta": STRING}, {}),
    "tool-input-available": Shape(_NAMED_CALL, {**_TOOL, "title": STRING, "input": ANY}),
    "tool-input-error": Shape({**_NAMED_CALL, "errorText": STRING}, {**_TOOL, "title": STRING, "input": ANY}),
    "tool-approval-request": Shape(
        {"approvalId": NAME, **_CALL},
        {
            "approvalDescriptor": ANY,
            "inputSchemaInput": ANY,
            "reason": STRING,
            "isAutomatic": BOOLEAN,
            "signature": STRING,
        },
    ),
    "tool-approval-response": Shape(
        {"approvalId": NAME, "approved": BOOLEAN},
        {"reason": STRING, "providerExecuted": BOOLEAN, **_PROVIDER},
    ),
    "tool-output-available": Shape(_CALL, {**_TOOL, "output": ANY, "preliminary": BOOLEAN}),
    "tool-output-error": Shape({**_CALL, "errorText": STRING}, _TOOL),
    "tool-output-denied": Shape(_CALL, {}),
    # Parts that come whole
    "file": Shape({"url": STRING, "mediaType": STRING}, _PROVIDER),
    "reasoning-file": Shape({"url": STRING, "mediaType": STRING}, _PROVIDER),
    "source-url": Shape({"sourceId": STRING, "url": STRING}, {"title": STRING, **_PROVIDER}),
    "source-document": Shape(
        {"sourceId": STRING, "mediaType": STRING, "title": STRING}, {"filename": STRING, **_PROVIDER}
    ),
    "custom": Shape({"kind": STRING}, _PROVIDER),
    "steering-message": Shape({**_ID, "parts": _list_of("text and file parts", _is_steering_part)}, {}),
    "data-*": Shape({}, {"id": STRING, "data": ANY, "transient": BOOLEAN}),
}


# Chunks that never wait for others: people decide and agents are told by them.
AT_ONCE = ENDS.keys() | {kind for kind in CHUNKS if kind.startswith("tool-") and kind not in APPENDS}

_PLAIN_DELTA_BYTES = len('{"type":"text-delta","id":"","delta":""}')


def check(chunk: object, *, max_bytes: int) -> None:
    """Raise bad_chunk or unknown_chunk for a value that isn't a chunk. A chunk that passes, orjson can write.

    `max_bytes` bounds the chunk's JSON in UTF-8, escapes not counted.
    """
    if _is_plain_delta(chunk, max_bytes):
        return
    if not isinstance(chunk, dict) or not isinstance(chunk.get("type"), str):
        raise HoldfastError("bad_chunk", "a chunk is an object with a type")
    _check_fields(chunk, _shape(chunk["type"]))
    size = json_bytes(chunk)
    if size > max_bytes:
        raise HoldfastError("bad_chunk", f"{chunk['type']} has {size} bytes of at most {max_bytes}")


def _is_plain_delta(chunk: object, max_bytes: int) -> bool:
    """Return whether this is a text-delta with nothing unusual in it: by far the most frequent chunk."""
    if type(chunk) is not dict or len(chunk) != 3 or chunk.get("type") != "text-delta":
        return False
    part, delta = chunk.get("id"), chunk.get("delta")
    if type(part) is not str or type(delta) is not str:
        return False
    return _PLAIN_DELTA_BYTES + utf8_bytes(part) + utf8_bytes(delta) <= max_bytes


def _shape(kind: str) -> Shape:
    shape = CHUNKS["data-*"] if kind.startswith("data-") else CHUNKS.get(kind)
    if shape is None:
        raise HoldfastError("unknown_chunk", repr(kind[:40]))
    return shape


def _check_fields(chunk: JsonObject, shape: Shape) -> None:
    for name, field in shape.required.items():
        if name not in chunk or not field.fits(chunk[name]):
            raise HoldfastError("bad_chunk", f'{chunk["type"]} needs "{name}", {field.what}')
    for name, field in shape.optional.items():
        if name in chunk and not field.fits(chunk[name]):
            raise HoldfastError("bad_chunk", f'"{name}" of {chunk["type"]} must be {field.what}')


def json_bytes(value: object, depth: int = MAX_DEPTH) -> int:
    """Return the bytes of a value's JSON in UTF-8, escapes not counted.

    Raises bad_chunk for a value that orjson would refuse or change, and for nesting deeper than `depth`.
    """
    match value:
        case str():
            return 2 + utf8_bytes(value)
        case None | bool():
            return 4
        case int():
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                raise HoldfastError("bad_chunk", "an integer needs more than 64 bits")
            return len(str(value))
        case float() if type(value) is float:  # orjson refuses its subclasses, such as NumPy's
            if not isfinite(value):
                raise HoldfastError("bad_chunk", f"{value} is not a JSON number")
            return len(repr(value))
        case dict() | list() if depth == 0:
            raise HoldfastError("bad_chunk", f"it is nested more than {MAX_DEPTH} levels deep")
        case dict():
            return 2 + sum(_key_bytes(key) + 2 + json_bytes(item, depth - 1) for key, item in value.items())
        case list():
            return 2 + sum(1 + json_bytes(item, depth - 1) for item in value)
    raise HoldfastError("bad_chunk", f"{type(value).__name__} is not a JSON type")


def _key_bytes(key: object) -> int:
    if type(key) is not str:  # orjson refuses subclasses
        raise HoldfastError("bad_chunk", f"an object's key must be a string, not {type(key).__name__}")
    return 2 + utf8_bytes(key)


def utf8_bytes(text: str) -> int:
    """Return the bytes of a text in UTF-8. Raises bad_chunk for half of a surrogate pair."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise HoldfastError("bad_chunk", "its text holds half of a surrogate pair") from None
