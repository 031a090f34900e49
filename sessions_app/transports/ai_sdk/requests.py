"""Requests of AI SDK clients: the one thing that a body asks for, and the signals that say it.

A body holds the whole conversation as its client has it. Its last message counts, and of it only what a person may
send; the rest is what the client holds, which is never stored, nor told to a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from sessions_app import conf
from sessions_app.core.errors import HoldfastError
from sessions_app.core.exact_numbers import is_exact_in_javascript
from sessions_app.core.message import MessageState
from sessions_app.core.wire_types import JsonObject, Part
from sessions_app.http.errors import ApiError

SUBMIT, REGENERATE = "submit-message", "regenerate-message"
RESULTS = ("output-available", "output-error")


class ChatRequest(NamedTuple):
    """A checked body. `message`: the last one, or the answer that it names. `agent`: for a new session."""

    chat: str
    trigger: str
    message_id: str | None
    message: JsonObject | None
    agent: str

    @property
    def begins(self) -> bool:
        """Return whether it may begin a chat: with a person's message, or again with one that was lost on its way."""
        is_submit = self.trigger == SUBMIT and self.message is not None and self.message["role"] == "user"
        return is_submit or self.question is not None

    @property
    def question(self) -> ChatRequest | None:
        """The submission of the message that it wants an answer to; None unless it is to regenerate a message's."""
        if self.trigger != REGENERATE or self.message is None or self.message.get("role") != "user":
            return None
        if self.message_id not in (None, self.message.get("id")):
            return None
        return self._replace(trigger=SUBMIT, message_id=None)


class Signal(NamedTuple):
    """A signal to send."""

    id: str
    kind: str
    payload: JsonObject


def read(body: JsonObject) -> ChatRequest:
    """Check a body and return what it asks for. Raises bad_frame and invalid."""
    chat, trigger = body.get("id"), body.get("trigger")
    message_id, messages = body.get("messageId"), body.get("messages")
    if not isinstance(chat, str) or not chat:
        raise HoldfastError("bad_frame", "`id` must be the chat's id")
    if trigger not in (SUBMIT, REGENERATE):
        raise HoldfastError("bad_frame", f"`trigger` must be {SUBMIT} or {REGENERATE}")
    if not (message_id is None or isinstance(message_id, str)):
        raise HoldfastError("bad_frame", "`messageId` must be a string")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise HoldfastError("bad_frame", "`messages` must be a list of messages")
    last = messages[-1] if messages else None
    if trigger == SUBMIT and message_id is not None:
        last = next((each for each in reversed(messages) if each.get("id") == message_id), last)
    if trigger == SUBMIT and (last is None or last.get("role") not in ("user", "assistant")):
        raise HoldfastError("bad_frame", "the last of `messages` must be a person's, or an answer with decisions")
    return ChatRequest(chat, str(trigger), message_id, last, _agent(body.get("agent")))


def _agent(name: object) -> str:
    if name is None:
        return ""
    if not isinstance(name, str) or name not in conf.settings.agents:
        raise ApiError("invalid", fields={"agent": [f"Unknown agent. Available: {', '.join(conf.settings.agents)}."]})
    return name


def message_signal(request: ChatRequest) -> Signal:
    """Return the signal of a person's message. Raises turn_edited, files_unsupported and bad_signal."""
    assert request.message is not None
    if request.message_id is not None:
        raise ApiError("turn_edited")
    parts = request.message.get("parts")
    if isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") == "file" for part in parts):
        raise ApiError("files_unsupported")
    payload: JsonObject = {"parts": parts}
    if request.message.get("metadata") is not None:
        payload["metadata"] = request.message["metadata"]
    return Signal(str(request.message.get("id")), "message", payload)


def regeneration(answer: str, attempt: int) -> Signal:
    """Return the signal that asks for another answer. Its id counts a repeated request once."""
    return Signal(_id("regenerate", answer, str(attempt)), "retry", {"message": answer, "mode": "regenerate"})


def held_parts(message: JsonObject) -> list[Part]:
    """Return the parts of an answer as its client holds them. Raises bad_frame."""
    parts = message.get("parts")
    if not isinstance(parts, list) or not all(map(_is_part, parts)):
        raise HoldfastError("bad_frame", "the last message has malformed `parts`")
    return parts


def _is_part(part: object) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    if "toolCallId" not in part:
        return part["type"] not in ("text", "reasoning") or isinstance(part.get("text"), str)
    is_text = isinstance(part.get("state"), str) and isinstance(part.get("rawInput", ""), str)
    return is_text and ("approval" not in part or _is_approval(part["approval"]))


def _is_approval(approval: object) -> bool:
    return isinstance(approval, dict) and isinstance(approval.get("id"), str)


def decisions(held: list[Part], stored: MessageState, page: str) -> list[Signal]:
    """Return the signals for what the client has decided in an answer, and the answer still waits for.

    `page`: the address where it can be seen whole. Raises already_decided if another decision was made meanwhile, and
    inexact_arguments for an approval of a call that the client can't show exactly.
    """
    newest = {part["toolCallId"]: part for part in stored.parts if "toolCallId" in part}
    signals: dict[str, Signal] = {}
    for index, part in enumerate(held):
        call = newest.get(part.get("toolCallId", ""))
        if call is not None:
            at_place = stored.parts[index] if index < len(stored.parts) else call
            for signal in _about(
                part, at_place if at_place.get("toolCallId") == call["toolCallId"] else call, stored.id, page
            ):
                signals.setdefault(signal.id, signal)
    return [*signals.values()]


def _about(part: Part, call: Part, message: str, page: str) -> Iterator[Signal]:
    """Yield what the client has decided about a call that is stored."""
    if "approval" in part and "approval" in call and part["approval"]["id"] == call["approval"]["id"]:
        yield from _decision(part, call, page)
    if part["state"] in RESULTS and _awaits_result(call) and not part.get("preliminary"):
        yield _result(message, part)


def _decision(part: Part, call: Part, page: str) -> Iterator[Signal]:
    held: Mapping[str, object] = part["approval"]
    approved = held.get("approved")
    if not isinstance(approved, bool):
        return
    if "approved" in call["approval"]:
        if call["approval"]["approved"] is not approved:
            raise HoldfastError("already_decided", "approved" if call["approval"]["approved"] else "denied")
        return
    approval = call["approval"]["id"]
    payload: JsonObject = {"approval": approval}
    if held.get("reason") is not None:
        payload["reason"] = held["reason"]
    if approved and not _is_shown_exactly(call):  # a denial runs nothing
        raise ApiError("inexact_arguments", f"they are whole at {page}", page=page)
    if approved:
        descriptor = held.get("descriptor")
        payload["input_hash"] = descriptor.get("input_hash") if isinstance(descriptor, dict) else None
    yield Signal(_id("decide", approval), "approve" if approved else "deny", payload)


def _is_shown_exactly(call: Part) -> bool:
    """Return whether the client has the call's arguments as they are: by values that it doesn't round, or as text."""
    descriptor: object = call["approval"].get("descriptor")
    text = descriptor.get("input_text") if isinstance(descriptor, dict) else None
    return not isinstance(text, str) or call.get("input") == text or is_exact_in_javascript(text)


def _awaits_result(call: Part) -> bool:
    """Return whether a call has no outcome yet, and would take one."""
    if "approval" in call:
        return call["state"] == "approval-responded" and call["approval"].get("approved") is True
    return call["state"] == "input-available"


def _result(message: str, part: Part) -> Signal:
    values = cast(JsonObject, part)
    outcome = (
        {"error": values.get("errorText")} if part["state"] == "output-error" else {"output": values.get("output")}
    )
    call = part["toolCallId"]
    return Signal(_id("result", message, call), "tool-result", {"message": message, "call": call, **outcome})


def _id(kind: str, *about: str) -> str:
    """Return a signal's id for what it is about, so that a repeated request sends it once."""
    digest = hashlib.sha256("\0".join(about).encode()).hexdigest()
    return f"{kind}-{digest[:40]}"
