"""The stored messages as each client shows them. Whatever isn't named here has to be equal.

AI SDK: `id`, `role`, `parts` and `metadata`, as stored; a part's field may be null or missing. Two fields may be
missing for a time (PROTOCOL.md §15): `callProviderMetadata` of a decision, in the client that decided, which set the
approval's state itself; and the mark of a client's tool until the call's outcome, where the call's input came before
it.

assistant-ui has a form of its own, made by its vendor's converter (@assistant-ui/ai-sdk 0.0.7,
`src/converters/convertMessage.ts`) or by `holdfast-client/assistant-ui`: `of_assistant_ui` says which of the stored
fields become which. It adds `argsText`, and a message's `attachments`; it leaves out `step-start`, a call's title,
marks and input encoding, and ids of reasoning. The vendor's converter takes `createdAt` from the clock; the store's
is the stored time.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

STORE = "assistant-ui-holdfast"
STATUSES = {"streaming": {"type": "running"}, "done": {"type": "complete"}}

Message = dict[str, Any]
Part = dict[str, Any]


def present(messages: list[Message]) -> list[Message]:
    """Return messages whose own fields, parts' and approvals' have no nulls: JavaScript's undefined, in JSON."""
    return [_not_null(message) for message in messages]


def _not_null(fields: Message) -> Message:
    found = {name: value for name, value in fields.items() if value is not None}
    for name in ("parts", "content"):
        if name in found:
            found[name] = [_not_null(part) for part in found[name]]
    if isinstance(found.get("approval"), dict):
        found["approval"] = _not_null(found["approval"])
    return found


def of_ai_sdk(message: Message) -> Message:
    """A UIMessage of the AI SDK, held or stored."""
    return {name: message.get(name) for name in ("id", "role", "parts", "metadata") if message.get(name) is not None}


def of_assistant_ui(message: Message, wire: str) -> Message:
    """A stored message in assistant-ui's form."""
    is_store = wire == STORE
    content = [part for part in (_content(part, is_store) for part in message["parts"]) if part]
    custom = dict(message["metadata"] or {})
    if not is_store:
        custom |= custom.pop("custom", {})  # which its runtime gives to each message that it sends
    found: Message = {"id": message["id"], "role": message["role"], "content": content, "custom": custom}
    if is_store:
        custom |= {"status": message["status"], "reason": message["reason"]}
        found["createdAt"] = message["created_at"]
        found["status"] = _status(message)
    return found


def _status(message: Message) -> Any:
    if message["role"] != "assistant":
        return None
    if message["status"] == "streaming":
        asks = any(part.get("state") == "approval-requested" or is_clients(part) for part in message["parts"])
        return {"type": "requires-action", "reason": "tool-calls"} if asks else {"type": "running"}
    return {
        "complete": {"type": "complete", "reason": "stop"},
        "cancelled": {"type": "incomplete", "reason": "cancelled"},
    }[message["status"]]


def is_clients(part: Part) -> bool:
    """Return whether a call waits for its client's result."""
    return part.get("state") == "input-available" and part.get("toolMetadata") == {"holdfast": {"client": True}}


def _content(part: Part, is_store: bool) -> Part | None:
    kind, provider = part["type"], {"providerMetadata": part.get("providerMetadata")}
    if kind in ("text", "reasoning"):
        status = None if is_store else STATUSES.get(part.get("state"))
        return {"type": kind, "text": part["text"], "status": status, **provider}
    if kind in ("file", "reasoning-file"):
        return {"type": "file", "data": part["url"], "mimeType": part["mediaType"], "filename": part.get("filename")}
    if kind.startswith("source-"):
        names = ("url", "title", "mediaType", "filename")
        source = {name: part.get(name) for name in names}
        return {"type": "source", "sourceType": kind[7:], "id": part["sourceId"], **source, **provider}
    if kind == "custom":
        return {"type": "data", "name": part["kind"], "data": part.get("providerMetadata")}
    if kind.startswith("data-"):
        return {"type": "data", "name": kind[5:], "data": part["data"], "id": part.get("id") if is_store else None}
    return None if kind == "step-start" else _call(part, is_store)


def _call(part: Part, is_store: bool) -> Part:
    state, approval = part["state"], part.get("approval")
    call = {
        "type": "tool-call",
        "toolCallId": part["toolCallId"],
        "toolName": part.get("toolName", part["type"][5:]),
        "args": part.get("input", {}),
        "isError": state in ("output-error", "output-denied") or None,
        "isPreliminary": (part.get("preliminary") if is_store else None) or None,
        "providerMetadata": None if is_store else part.get("callProviderMetadata"),
    }
    if state == "output-available":
        call["result"] = part["output"]
    if state == "output-error":
        call["result"] = part["errorText"] if is_store else {"error": part["errorText"]}
    if state == "output-denied":
        call["result"] = {"error": part["approval"]["reason"]}
    if approval:
        names = ("id", "approved", "reason") if is_store else tuple(approval)
        call["approval"] = {name: approval.get(name) for name in names} | {"prompt": approval.get("requestReason")}
    return call


def in_assistant_ui(message: Message, wire: str) -> Message:
    """What assistant-ui's thread shows of a message, in the form of `of_assistant_ui`."""
    found = {name: message.get(name) for name in ("id", "role", "content")}
    found["custom"] = message["metadata"]["custom"]
    for part in message["content"]:
        if part["type"] == "tool-call":
            if is_text_of(part["argsText"], part["args"]):
                del part["argsText"]
            part["isError"] = part.get("isError") or None
    if wire == STORE:
        created = datetime.fromisoformat(message["createdAt"])
        found |= {"createdAt": round(created.timestamp() * 1000), "status": message.get("status")}
    return found


def is_text_of(text: str, value: Any) -> bool:
    try:
        return bool(json.loads(text) == value)
    except ValueError:  # an input that still streams
        return False


def difference(wire: str, shown: list[Message], stored: list[Message], *, decides: bool) -> str:
    """Return how what a client shows differs from what is stored, as this wire's client has it; empty if it doesn't.

    `decides`: it is the client that decides about calls.
    """
    if wire.startswith("assistant-ui"):
        has = present([in_assistant_ui(message, wire) for message in shown])
        known = present([of_assistant_ui(message, wire) for message in stored])
    else:
        has, known = present([*map(of_ai_sdk, shown)]), present([*map(of_ai_sdk, stored)])
    for held, part in pairs(has, known):
        if decides and "approved" in part.get("approval", {}):
            for name in ("callProviderMetadata", "providerMetadata"):
                if name not in held:
                    part.pop(name, None)
        if part.get("state") == "input-available" and "toolMetadata" not in held:
            part.pop("toolMetadata", None)
    return first_difference(has, known)


def pairs(shown: list[Message], stored: list[Message]) -> Iterator[tuple[Part, Part]]:
    """Yield the parts at the same places."""
    for one, other in zip(shown, stored, strict=False):
        for name in ("parts", "content"):
            yield from zip(one.get(name, []), other.get(name, []), strict=False)


def first_difference(shown: Any, stored: Any, path: str = "") -> str:
    """Return the first place where two values differ, with both; empty if they don't."""
    if type(shown) is not type(stored):
        return f"{path}: {shown!r}, stored: {stored!r}"
    if isinstance(shown, dict):
        for name in {**stored, **shown}:
            if name not in stored or name not in shown:
                return f"{path}.{name}: {shown.get(name, '(none)')!r}, stored: {stored.get(name, '(none)')!r}"
            if found := first_difference(shown[name], stored[name], f"{path}.{name}"):
                return found
        return ""
    if isinstance(shown, list):
        for index, (one, other) in enumerate(zip(shown, stored, strict=False)):
            if found := first_difference(one, other, f"{path}[{index}]"):
                return found
        return "" if len(shown) == len(stored) else f"{path}: {len(shown)} items, stored: {len(stored)}"
    return "" if shown == stored else f"{path}: {shown!r}, stored: {stored!r}"
