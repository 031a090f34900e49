"""Signals: what a person sends into a session, how far it has come, and what its payload may be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

import orjson

from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import MESSAGE_UID, size

ACCEPTED, DELIVERED, APPLIED, REJECTED, EXPIRED = "accepted", "delivered", "applied", "rejected", "expired"
OPEN = (ACCEPTED, DELIVERED)

# status → what may follow it. What has none is final.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    ACCEPTED: (DELIVERED, APPLIED, REJECTED, EXPIRED),
    DELIVERED: (APPLIED, REJECTED, EXPIRED),
    APPLIED: (),
    REJECTED: (),
    EXPIRED: (),
}

MOST_PARTS = 16  # in one person's message
MODES = ("continue", "regenerate")
REASON_LENGTH = 1000  # characters of a person's reason
NAME = 256  # characters of an approval's or a tool call's id

_SURROGATE = re.compile("[\ud800-\udfff]")

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a payload may take, in bytes of UTF-8: a person's text, and a tool's arguments or result."""

    message_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as it came in, checked. `actor`: who sends it."""

    id: str
    kind: str
    actor: str
    payload: Payload = field(default_factory=dict)


class AgentSignal(NamedTuple):
    """A signal as the agent that it was sent to receives it."""

    key: int  # of its row; settles it
    id: str
    kind: str
    actor: str
    target: str  # the approval or tool call that it is about
    payload: Payload


def read(id: str, kind: str, payload: Mapping[str, Any], *, actor: str, limits: Limits) -> Sent:
    """Check a signal's payload, and keep what its kind knows. Raises unknown_kind, bad_signal, message_too_large."""
    reader = KINDS.get(kind)
    if reader is None:
        raise HoldfastError("unknown_kind", f"This server knows {', '.join(KINDS)}.")
    return Sent(id, kind, actor, reader(payload, limits))


def may_follow(status: str, next: str) -> bool:
    """Whether a signal in this status may get the next one. A final status stays."""
    return next in TRANSITIONS[status]


def input_hash(arguments: Any) -> str:
    """Return the name of exact arguments: what is approved is what is run."""
    canonical = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def shown(kind: str, payload: Payload) -> Payload:
    """What everybody is told of a signal's payload: a result may be large, and a message is a message."""
    told = {name: payload[name] for name in _SHOWN[kind] if name in payload}
    return {**told, "edited": "input" in payload} if kind in ("approve", "deny") else told


_SHOWN: dict[str, tuple[str, ...]] = {
    "message": (),
    "steer": ("parts",),
    "cancel": ("message",),
    "approve": ("approval", "reason"),
    "deny": ("approval", "reason"),
    "tool-result": ("call",),
    "retry": ("message", "mode"),
}


# Payloads


def _text(payload: Mapping[str, Any], limits: Limits) -> Payload:
    """A text in parts, of which only the text is taken."""
    parts = payload.get("parts")
    if not isinstance(parts, list) or not 0 < len(parts) <= MOST_PARTS:
        raise HoldfastError("bad_signal", f"A message has 1 to {MOST_PARTS} `parts`.")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    checked = [text for text in texts if _is_text(text)]
    if len(checked) < len(parts) or not any(text.strip() for text in checked):
        raise HoldfastError("bad_signal", 'A message\'s parts are `{"type": "text", "text"}`, not all blank.')
    if sum(map(size, checked)) > limits.message_bytes:
        raise HoldfastError("message_too_large", f"A person's message has at most {limits.message_bytes} bytes.")
    return {"parts": [{"type": "text", "text": text} for text in checked]}


def _cancel(payload: Mapping[str, Any], limits: Limits) -> Payload:
    return {} if payload.get("message") is None else {"message": _message(payload)}


def _approve(payload: Mapping[str, Any], limits: Limits) -> Payload:
    input_hash = _string(payload, "input_hash")
    checked = {"approval": _string(payload, "approval"), "input_hash": input_hash, **_reason(payload)}
    if payload.get("input") is not None:
        if not isinstance(payload["input"], dict):
            raise HoldfastError("bad_signal", "`input` is an object: the tool's arguments.")
        checked["input"] = _json(payload["input"], "input", limits)
    return checked


def _deny(payload: Mapping[str, Any], limits: Limits) -> Payload:
    return {"approval": _string(payload, "approval"), **_reason(payload)}


def _tool_result(payload: Mapping[str, Any], limits: Limits) -> Payload:
    about = {"message": _message(payload), "call": _string(payload, "call")}
    if isinstance(payload.get("error"), str):
        return {**about, "error": _json(payload["error"], "error", limits)}
    if "output" not in payload:
        raise HoldfastError("bad_signal", "A tool's result is its `output`, or an `error` in words.")
    return {**about, "output": _json(payload["output"], "output", limits)}


def _retry(payload: Mapping[str, Any], limits: Limits) -> Payload:
    if payload.get("mode") not in MODES:
        raise HoldfastError("bad_signal", f"`mode` is one of {', '.join(MODES)}.")
    return {"message": _message(payload), "mode": payload["mode"]}


def _message(payload: Mapping[str, Any]) -> str:
    message = payload.get("message")
    if isinstance(message, str) and MESSAGE_UID.match(message):
        return message
    raise HoldfastError("bad_signal", "`message` is the id of a response.")


def _string(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if _is_text(value) and 0 < len(value) <= NAME and "\0" not in value:
        return value
    raise HoldfastError("bad_signal", f"It needs `{name}`, a string of at most {NAME} characters.")


def _reason(payload: Mapping[str, Any]) -> Payload:
    reason = payload.get("reason")
    if reason is None:
        return {}
    if _is_text(reason) and len(reason) <= REASON_LENGTH:
        return {"reason": reason}
    raise HoldfastError("bad_signal", f"`reason` is a string of at most {REASON_LENGTH} characters.")


def _is_text(value: object) -> TypeGuard[str]:
    """Whether it is a string that can be written: nothing in it is half of a surrogate pair."""
    return isinstance(value, str) and not _SURROGATE.search(value)


def _json(value: Any, name: str, limits: Limits) -> Any:
    try:
        taken = vocabulary.json_bytes(value)
    except HoldfastError as problem:
        raise HoldfastError("bad_signal", f"`{name}`: {problem.message}") from None
    if taken > limits.chunk_bytes:
        raise HoldfastError("message_too_large", f"`{name}` has at most {limits.chunk_bytes} bytes.")
    return value


CAUSES = ("message", "steer", "retry")  # those that may cause a run
KINDS: dict[str, Callable[[Mapping[str, Any], Limits], Payload]] = {
    "message": _text,
    "steer": _text,
    "cancel": _cancel,
    "approve": _approve,
    "deny": _deny,
    "tool-result": _tool_result,
    "retry": _retry,
}
