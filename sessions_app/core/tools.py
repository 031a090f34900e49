"""The fold of tool calls: input, approval, output."""

from typing import Literal, NamedTuple

from sessions_app.core.errors import HoldfastError
from sessions_app.core.message import MessageState, append_text, not_open, push, step_start, touch
from sessions_app.core.wire_types import Chunk, JsonObject, Part, PartApproval

_TakenField = Literal["input", "inputEncoding", "output", "errorText", "preliminary"]
_StateField = Literal[_TakenField, "rawInput"]
_LastingField = Literal["title", "toolMetadata", "providerExecuted"]
_Provider = Literal["callProviderMetadata", "resultProviderMetadata"]

CLIENTS: JsonObject = {"holdfast": {"client": True}}  # toolMetadata of a call whose agent waits for a client's result
UNKNOWN_OUTCOME = "The agent stopped while this ran: whether it took effect is not known."  # of a call that had begun
UNTOLD = "It was done, but its output is too large or is not JSON, and can't be shown."  # of an approved call


class ToolChange(NamedTuple):
    """A chunk's effect on its tool part."""

    state: str
    takes: tuple[_TakenField, ...]  # state fields that come from the chunk
    keeps: tuple[_StateField, ...]  # state fields that stay; all others go with the state that they belonged to
    sets: tuple[_LastingField, ...]  # lasting fields that the chunk sets if it has them
    provider: _Provider  # the part's name for the chunk's providerMetadata


_STATE_FIELDS: tuple[_StateField, ...] = ("input", "inputEncoding", "rawInput", "output", "errorText", "preliminary")
_LASTING: tuple[_LastingField, ...] = ("toolMetadata", "providerExecuted")
_TITLED: tuple[_LastingField, ...] = ("title", *_LASTING)
_CALL: _Provider = "callProviderMetadata"
_RESULT: _Provider = "resultProviderMetadata"
_OUTPUT: tuple[_TakenField, ...] = ("output", "preliminary")
_CHANGES = {
    "tool-input-start": ToolChange("input-streaming", ("inputEncoding",), (), _TITLED, _CALL),
    "tool-input-available": ToolChange("input-available", ("input",), (), _TITLED, _CALL),
    "tool-input-error": ToolChange("output-error", ("input", "errorText"), (), _LASTING, _RESULT),
    "tool-output-available": ToolChange("output-available", _OUTPUT, ("input",), _LASTING, _RESULT),
    "tool-output-error": ToolChange("output-error", ("errorText",), ("input",), _LASTING, _RESULT),
}


_INPUT = ("tool-input-start", "tool-input-available", "tool-input-error")
_OUTCOME = ("tool-output-available", "tool-output-error")

# A call's stage → the chunks that it takes, and words for those that it doesn't. A complete input may be replaced until
# people decide about it; a decision and an outcome are final.
_STAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "input-streaming": (_INPUT, "whose input is still streaming"),
    "input-available": (
        (*_INPUT, "tool-approval-request", *_OUTCOME, "tool-output-denied"),
        "that asks for no approval",
    ),
    "approval-requested": (
        ("tool-input-available", "tool-approval-response", "tool-output-error", "tool-output-denied"),
        "that waits for a decision",
    ),
    "approved": (("tool-approval-request", *_OUTCOME), "that was approved"),
    "denied": (("tool-output-denied",), "that was denied"),
    "preliminary": (_OUTCOME, "that has a preliminary output"),
    "output-available": ((), "that has its output"),
    "output-error": (("tool-output-error",), "that has failed"),
}


def _stage(part: Part) -> str:
    """Return the part's row of `_STAGES`."""
    state: str = part["state"]
    approved = part["approval"].get("approved") if "approval" in part else True
    if state == "output-denied" or (state == "approval-responded" and not approved):
        return "denied"
    if state == "approval-responded":
        return "approved"
    if state == "output-available" and part.get("preliminary"):
        return "preliminary"
    # Its approver edits the input between the request and the response.
    return "approval-requested" if state == "input-available" and approved is None else state


def _check_stage(part: Part, chunk: Chunk) -> None:
    """Raise unknown_part for a chunk that can't follow those before it, such as an output of a denied call."""
    takes, words = _STAGES[_stage(part)]
    if chunk["type"] not in takes:
        raise HoldfastError("unknown_part", f"{chunk['type']} for tool call {part['toolCallId'][:80]}, {words}")


def _change(part: Part, chunk: Chunk) -> None:
    change = _CHANGES[chunk["type"]]
    part["state"] = change.state
    taken = [name for name in change.takes if name in chunk]
    for field in _STATE_FIELDS:
        if field not in taken and field not in change.keeps:
            part.pop(field, None)
    for name in taken:
        part[name] = chunk[name]
    for lasting in change.sets:
        if lasting in chunk:
            part[lasting] = chunk[lasting]
    if "providerMetadata" in chunk:
        part[change.provider] = chunk["providerMetadata"]


# Input


def tool_input(message: MessageState, serial: int, chunk: Chunk) -> None:
    """Begin a call's input, complete it, or end it with an error."""
    call = chunk["toolCallId"]
    index = _find_in_step(message, chunk)
    if index is not None:
        _check_stage(message.parts[index], chunk)
    close_input(message, serial, call)
    if index is None:
        dynamic = chunk.get("dynamic")
        index = push(message, serial, {"type": "dynamic-tool" if dynamic else "tool-", "toolCallId": call})
    part = touch(message, serial, index)
    if part["type"] == "dynamic-tool":
        part["toolName"] = chunk["toolName"]
    else:
        part["type"] = f"tool-{chunk['toolName']}"
    _change(part, chunk)
    if chunk["type"] == "tool-input-start":
        message.open["tools"][call] = {"part": index, "text": ""}


def _find_in_step(message: MessageState, chunk: Chunk) -> int | None:
    """Return the call's part in the current step: some models reuse ids in each step.

    Dynamic and static tools are apart, but a `tool-input-error` goes to either.
    """
    kinds = ["dynamic-tool" if chunk.get("dynamic") else "tool-"]
    if chunk["type"] == "tool-input-error":
        kinds = ["dynamic-tool", "tool-"]
    for index in range(step_start(message), len(message.parts)):
        part = message.parts[index]
        if part["type"].startswith(tuple(kinds)) and part["toolCallId"] == chunk["toolCallId"]:
            return index
    return None


def tool_input_delta(message: MessageState, serial: int, chunk: Chunk) -> None:
    opened = message.open["tools"].get(chunk["toolCallId"])
    if opened is None:
        raise not_open(chunk)
    append_text(opened, chunk["inputTextDelta"])


def close_input(message: MessageState, serial: int, call: str) -> None:
    """Keep the raw text of an input that never became available: nothing else records it."""
    opened = message.open["tools"].pop(call, None)
    if opened is not None and opened["text"]:
        touch(message, serial, opened["part"])["rawInput"] = opened["text"]


# Approval


def tool_approval_request(message: MessageState, serial: int, chunk: Chunk) -> None:
    part = touch(message, serial, _find_call(message, chunk))
    approval: PartApproval = {"id": chunk["approvalId"]}
    if chunk.get("approvalDescriptor") is not None:
        approval["descriptor"] = chunk["approvalDescriptor"]
    if "inputSchemaInput" in chunk:
        approval["inputSchemaInput"] = chunk["inputSchemaInput"]
    if "reason" in chunk:
        approval["requestReason"] = chunk["reason"]
    if chunk.get("isAutomatic"):
        approval["isAutomatic"] = True
    if "signature" in chunk:
        approval["signature"] = chunk["signature"]
    part["state"] = "approval-requested"
    part["approval"] = approval


def tool_approval_response(message: MessageState, serial: int, chunk: Chunk) -> None:
    part = touch(message, serial, _find_approval(message, chunk))
    approval = part["approval"].copy()
    approval["approved"] = chunk["approved"]
    if "reason" in chunk:
        approval["reason"] = chunk["reason"]
    part["state"] = "approval-responded"
    part["approval"] = approval
    if "providerExecuted" in chunk:
        part["providerExecuted"] = chunk["providerExecuted"]
    if "providerMetadata" in chunk:
        part["callProviderMetadata"] = chunk["providerMetadata"]


def _find_approval(message: MessageState, chunk: Chunk) -> int:
    for index, part in enumerate(message.parts):
        if _is_tool(part) and "approval" in part and part["approval"]["id"] == chunk["approvalId"]:
            _check_stage(part, chunk)
            return index
    raise HoldfastError("unknown_part", f"no tool call asks for approval {chunk['approvalId'][:80]}")


# Output


def tool_output(message: MessageState, serial: int, chunk: Chunk) -> None:
    _change(touch(message, serial, _find_call(message, chunk)), chunk)


def tool_output_denied(message: MessageState, serial: int, chunk: Chunk) -> None:
    touch(message, serial, _find_call(message, chunk))["state"] = "output-denied"


def takes(message: MessageState, chunk: Chunk) -> bool:
    """Return whether the message has the chunk's call, and it takes this chunk."""
    try:
        _find_call(message, chunk)
    except HoldfastError:
        return False
    return True


def is_clients(part: Part) -> bool:
    """Return whether a call's agent waits for a client's result; a call that the agent runs looks the same."""
    mark = part.get("toolMetadata", {}).get("holdfast")
    return isinstance(mark, dict) and mark.get("client") is True


def _find_call(message: MessageState, chunk: Chunk) -> int:
    """Return a call's part: in the current step the first with its id, else the newest."""
    first = step_start(message)
    order: list[int] = [*range(first, len(message.parts)), *range(first - 1, -1, -1)]
    for index in order:
        part = message.parts[index]
        if _is_tool(part) and part["toolCallId"] == chunk["toolCallId"]:
            _check_stage(part, chunk)
            return index
    raise not_open(chunk)


def _is_tool(part: Part) -> bool:
    return bool(part["type"].startswith(("tool-", "dynamic-tool")))
