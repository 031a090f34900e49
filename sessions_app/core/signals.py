"""Signals that people send into sessions: their statuses, and the payload that each kind has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeGuard, cast

from sessions_app.core import json_text, vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import MESSAGE_UID, size
from sessions_app.core.wire_types import Chunk, JsonObject, Part, Payload

ACCEPTED, DELIVERED, APPLIED, REJECTED, EXPIRED = "accepted", "delivered", "applied", "rejected", "expired"
OPEN = (ACCEPTED, DELIVERED)

# status → the statuses that may follow it. One without any is final.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    ACCEPTED: (DELIVERED, APPLIED, REJECTED, EXPIRED),
    DELIVERED: (APPLIED, REJECTED, EXPIRED),
    APPLIED: (),
    REJECTED: (),
    EXPIRED: (),
}

MOST_PARTS = 16  # in one person's message
TEXT_FIELDS, PART_FIELDS = ("parts", "metadata"), ("type", "text")
METADATA_BYTES = 4096  # of a person's message: references of an application's own, no content
MODES = ("continue", "regenerate")
REASON_LENGTH = 1000  # characters of a person's reason

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a payload in bytes of UTF-8: of a person's text, and of a tool's arguments or result."""

    message_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A checked signal. `actor`: its sender. `issued_by`: the issuer of the token that it was sent with, if known.

    `owner`: of the session, if that isn't the sender.
    """

    id: str
    kind: str
    actor: str
    payload: Payload = field(default_factory=Payload)
    issued_by: str = ""
    owner: str = ""

    @property
    def payer(self) -> str:
        """Return the owner whom what it stores is charged to."""
        return self.owner or self.actor


class AgentSignal(NamedTuple):
    """A signal as the agent that it was sent to receives it."""

    key: int  # of its row; settles it
    id: str
    kind: str
    actor: str
    target: str  # the approval or tool call that it is about
    payload: Payload
    issued_by: str = ""  # the issuer of the token that it was sent with, if known


def read(id: str, kind: str, payload: Mapping[str, object], *, actor: str, limits: Limits, issued_by: str = "") -> Sent:
    """Check a signal's payload, and keep the fields of its kind.

    Raises unknown_kind, bad_signal and message_too_large.
    """
    reader = KINDS.get(kind)
    if reader is None:
        raise HoldfastError("unknown_kind", f"the server takes {', '.join(KINDS)}")
    return Sent(id, kind, actor, reader(payload, limits), issued_by)


def may_follow(status: str, next: str) -> bool:
    """Return whether a signal in this status may get the next one."""
    return next in TRANSITIONS[status]


def input_hash(arguments: str | JsonObject) -> str:
    """Return the hash that binds an approval to a call's arguments: to their JSON text, byte for byte.

    Of arguments that have no text of their own, the text is what `json_text.of` writes.
    """
    text = arguments if isinstance(arguments, str) else json_text.of(arguments)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def turn_chunk(payload: Payload) -> Chunk:
    """Return the chunk of a person's message with this payload."""
    chunk: Chunk = {"type": "message", "role": "user", "parts": payload["parts"]}
    if "metadata" in payload:
        chunk["metadata"] = payload["metadata"]
    return chunk


def shown(kind: str, payload: Payload) -> Payload:
    """Return the part of a signal's payload that every reader gets: no results, and no texts of messages."""
    public = cast(Payload, {name: value for name, value in payload.items() if name in _SHOWN[kind]})
    if kind in ("approve", "deny"):
        public["edited"] = "input" in payload
    return public


_SHOWN: dict[str, tuple[str, ...]] = {
    "message": (),
    "steer": ("parts", "metadata"),
    "cancel": ("message",),
    "approve": ("approval", "reason"),
    "deny": ("approval", "reason"),
    "tool-result": ("call",),
    "retry": ("message", "mode"),
}


# Payloads


def _text(payload: Mapping[str, object], limits: Limits) -> Payload:
    """Read a person's message: a text in parts, and metadata of the application's own."""
    _refuse_unknown(payload, TEXT_FIELDS, "a message")
    parts = payload.get("parts")
    if not isinstance(parts, list) or not 0 < len(parts) <= MOST_PARTS:
        raise HoldfastError("bad_signal", f"a message has 1 to {MOST_PARTS} `parts`")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    checked = [text for text in texts if _is_text(text)]
    if len(checked) < len(parts) or not any(text.strip() for text in checked):
        raise HoldfastError("bad_signal", 'A message\'s parts are `{"type": "text", "text"}`, not all blank.')
    for part in parts:
        _refuse_unknown(part, PART_FIELDS, "a text part")
    if sum(map(size, checked)) > limits.message_bytes:
        raise HoldfastError("message_too_large", f"a person's message has at most {limits.message_bytes} bytes")
    told: list[Part] = [{"type": "text", "text": text} for text in checked]
    return {"parts": told, **_metadata(payload)}


def _refuse_unknown(given: Mapping[str, object], known: tuple[str, ...], what: str) -> None:
    """Raise bad_signal for a field that would be dropped."""
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise HoldfastError("bad_signal", f"{what} has no field {unknown[0][:40]!a}: its fields are {', '.join(known)}")


def _metadata(payload: Mapping[str, object]) -> Payload:
    metadata = payload.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise HoldfastError("bad_signal", "`metadata` is an object")
    _check_json(metadata, "metadata", METADATA_BYTES)
    # What the site says of a message, such as who began its turn, no sender can say.
    return {"metadata": {name: value for name, value in metadata.items() if name != "holdfast"}}


def _cancel(payload: Mapping[str, object], limits: Limits) -> Payload:
    return {} if payload.get("message") is None else {"message": _message(payload)}


def _approve(payload: Mapping[str, object], limits: Limits) -> Payload:
    input_hash = _string(payload, "input_hash")
    checked: Payload = {"approval": _string(payload, "approval"), "input_hash": input_hash, **_reason(payload)}
    if payload.get("input_text") is not None:
        text = payload["input_text"]
        checked["input"] = _arguments(_parsed(text, limits), "input_text", limits)
        checked["input_text"] = str(text)
    elif payload.get("input") is not None:
        checked["input"] = _arguments(payload["input"], "input", limits)
        checked["input_text"] = json_text.of(checked["input"])
    return checked


def _parsed(text: object, limits: Limits) -> object:
    if not _is_text(text):
        raise HoldfastError("bad_signal", "`input_text` is a string: the JSON text of the tool's arguments")
    if size(text) > limits.chunk_bytes:
        raise HoldfastError("message_too_large", f"`input_text` has at most {limits.chunk_bytes} bytes")
    try:
        return json_text.read(text).value
    except ValueError as error:
        raise HoldfastError("bad_signal", f"`input_text` is not JSON: {error}") from None


def _arguments(value: object, name: str, limits: Limits) -> JsonObject:
    if not isinstance(value, dict):
        raise HoldfastError("bad_signal", f"`{name}` is an object: the tool's arguments")
    _check_json(value, name, limits.chunk_bytes)
    return value


def _deny(payload: Mapping[str, object], limits: Limits) -> Payload:
    return {"approval": _string(payload, "approval"), **_reason(payload)}


def _tool_result(payload: Mapping[str, object], limits: Limits) -> Payload:
    checked: Payload = {"message": _message(payload), "call": _string(payload, "call")}
    error = payload.get("error")
    if isinstance(error, str):
        _check_json(error, "error", limits.chunk_bytes)
        checked["error"] = error
        return checked
    if "output" not in payload:
        raise HoldfastError("bad_signal", "a tool's result is its `output`, or an `error` string")
    _check_json(payload["output"], "output", limits.chunk_bytes)
    checked["output"] = payload["output"]
    return checked


def _retry(payload: Mapping[str, object], limits: Limits) -> Payload:
    mode = payload.get("mode")
    if not isinstance(mode, str) or mode not in MODES:
        raise HoldfastError("bad_signal", f"`mode` is one of {', '.join(MODES)}")
    return {"message": _message(payload), "mode": mode}


def _message(payload: Mapping[str, object]) -> str:
    message = payload.get("message")
    if isinstance(message, str) and MESSAGE_UID.match(message):
        return message
    raise HoldfastError("bad_signal", "`message` is the id of a response")


def _string(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if _is_text(value) and value and vocabulary.is_name(value):
        return value
    raise HoldfastError("bad_signal", f"it needs `{name}`, {vocabulary.NAME.what}")


def _reason(payload: Mapping[str, object]) -> Payload:
    reason = payload.get("reason")
    if reason is None:
        return {}
    if _is_text(reason) and len(reason) <= REASON_LENGTH:
        return {"reason": reason}
    raise HoldfastError("bad_signal", f"`reason` is a string of at most {REASON_LENGTH} characters")


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether it is a string that UTF-8 can encode: no half of a surrogate pair."""
    return isinstance(value, str) and not _SURROGATE.search(value)


def _check_json(value: object, name: str, max_bytes: int) -> None:
    try:
        taken = vocabulary.json_bytes(value)
    except HoldfastError as problem:
        raise HoldfastError("bad_signal", f"`{name}`: {problem.message}") from None
    if taken > max_bytes:
        raise HoldfastError("message_too_large", f"`{name}` has at most {max_bytes} bytes")


CAUSES = ("message", "steer", "retry")  # those that may cause a run
KINDS: dict[str, Callable[[Mapping[str, object], Limits], Payload]] = {
    "message": _text,
    "steer": _text,
    "cancel": _cancel,
    "approve": _approve,
    "deny": _deny,
    "tool-result": _tool_result,
    "retry": _retry,
}
