"""Wire types: chunks, message parts, events, signal records, patches and frames as PROTOCOL.md has them.

Values that any JSON may stand for are `object`. The browser client has the same types as JSDoc typedefs.
"""

from __future__ import annotations

from typing import Literal, NotRequired, Required, TypedDict, final

JsonObject = dict[str, object]

# Messages (§3)


class Chunk(TypedDict, total=False):
    """A UI message chunk of the AI SDK, or one of Holdfast's own: its type, and the fields that this type has."""

    type: Required[str]
    id: str
    delta: str
    messageId: str
    messageMetadata: JsonObject | None
    role: str
    parts: list[Part]
    metadata: JsonObject | None
    finishReason: str
    reason: str
    errorText: str
    providerMetadata: JsonObject
    citations: list[JsonObject]
    toolCallId: str
    toolName: str
    toolMetadata: JsonObject
    providerExecuted: bool
    dynamic: bool
    title: str
    inputEncoding: str
    inputTextDelta: str
    input: object
    output: object
    preliminary: bool
    approvalId: str
    approvalDescriptor: object
    inputSchemaInput: object
    isAutomatic: bool
    signature: str
    approved: bool
    url: str
    mediaType: str
    sourceId: str
    filename: str
    kind: str
    data: object
    transient: bool


class PartApproval(TypedDict, total=False):
    """The approval of a tool part."""

    id: Required[str]
    descriptor: object
    inputSchemaInput: object
    requestReason: str
    isAutomatic: bool
    signature: str
    approved: bool
    reason: str


class Part(TypedDict, total=False):
    """A part of a message, as the AI SDK has it: its type, and the fields that this type has."""

    type: Required[str]
    id: str
    text: str
    state: str
    providerMetadata: JsonObject
    citations: list[JsonObject]
    toolCallId: str
    toolName: str
    toolMetadata: JsonObject
    providerExecuted: bool
    title: str
    input: object
    inputEncoding: str
    rawInput: str
    output: object
    errorText: str
    preliminary: bool
    approval: PartApproval
    callProviderMetadata: JsonObject
    resultProviderMetadata: JsonObject
    url: str
    mediaType: str
    sourceId: str
    filename: str
    kind: str
    data: object
    parts: list[Part]


class OpenInput(TypedDict):
    """A tool call whose input is still streaming: its part's index, and the raw text so far."""

    part: int
    text: str


class OpenParts(TypedDict):
    """The state that a fold continues from: the part index of each open text and reasoning id, and each open input."""

    text: dict[str, int]
    reasoning: dict[str, int]
    tools: dict[str, OpenInput]


class WireMessage(TypedDict):
    """A whole message."""

    id: str
    role: str
    status: str
    reason: str | None
    metadata: JsonObject | None
    first_serial: int
    last_serial: int
    created_at: int
    parent: str | None
    continues: str | None
    replaced_by: str | None
    parts: list[Part]
    open: OpenParts


_PatchFrom = TypedDict("_PatchFrom", {"from": int, "at": int})  # `from` is a keyword


class Patch(WireMessage, _PatchFrom):
    """A message from its part `from` on, and of that part's text what follows UTF-16 unit `at` (§6)."""


# Signals (§8)


class Payload(TypedDict, total=False):
    """A signal's payload: the fields that its kind has."""

    parts: list[Part]
    metadata: JsonObject
    message: str
    call: str
    approval: str
    input_hash: str
    input: JsonObject
    input_text: str
    edited: bool
    reason: str
    mode: str
    output: object
    error: str


class SignalRecord(TypedDict):
    """A signal with its status."""

    id: str
    kind: str
    status: str
    code: str | None
    reason: str | None
    actor: str
    issued_by: NotRequired[str]
    at: int
    message: str | None
    payload: Payload


# Events (§5)


@final
class MessageEvent(TypedDict):
    """One chunk of a message. The event that creates its message has `at`, and the rest as far as it applies."""

    serial: int
    message: str
    chunk: Chunk
    at: NotRequired[int]
    parent: NotRequired[str | None]
    continues: NotRequired[str]
    replaces: NotRequired[list[str]]


@final
class SignalEvent(TypedDict):
    """A signal's new record."""

    serial: int
    signal: SignalRecord


Event = MessageEvent | SignalEvent

# Frames from server to client (§5)


class ErrorBody(TypedDict):
    """An error, as error frames, receipts and HTTP bodies carry it."""

    code: str
    message: str
    retryable: bool


class FrameReference(TypedDict, total=False):
    """The names by which an `error` frame refers to the client's frame that it answers."""

    session: str
    id: str
    sequence: int


class ConnectionLimits(TypedDict):
    frame_bytes: int
    window_bytes: int
    ack_bytes: int
    ack_ms: int
    sessions: int


class ConnectedFrame(TypedDict):
    type: Literal["connected"]
    connection: str
    transport: str
    actor: str
    heartbeat_ms: int
    recovery_window_ms: int
    limits: ConnectionLimits


class AttachedFrame(TypedDict):
    type: Literal["attached"]
    session: str
    cursor: str
    resumed: bool
    reason: str | None
    older: bool
    title: str
    messages: list[Patch]
    replaced: list[str]
    signals: list[SignalRecord]


class ReceiptFrame(TypedDict):
    type: Literal["receipt"]
    session: str
    id: str
    status: Literal["accepted", "rejected"]
    serial: NotRequired[int]
    error: NotRequired[ErrorBody]


class HeartbeatFrame(TypedDict):
    type: Literal["heartbeat"]
    tails: dict[str, str]


class DetachedFrame(TypedDict):
    type: Literal["detached"]
    session: str
    error: ErrorBody


class PublishedFrame(TypedDict):
    type: Literal["published"]
    session: str
    message: str
    sequence: int
    serial: int


class ErrorFrame(ErrorBody, FrameReference):
    type: Literal["error"]
    retry_after_ms: NotRequired[int]


class AuthenticatedFrame(TypedDict):
    type: Literal["authenticated"]
    expires_at: int


class GoingAwayFrame(TypedDict):
    type: Literal["going-away"]
    reconnect_in_ms: int


# To a remote worker (§16)


class AnswerFrame(TypedDict):
    type: Literal["answer"]
    id: str
    result: object


class RunFrame(TypedDict):
    type: Literal["run"]
    session: str
    run: str
    agent: str
    message: str
    mode: str
    messages: list[WireMessage]
    older: bool
    traceparent: NotRequired[str]


class ToldSignal(TypedDict):
    """A signal as the agent that it was sent to receives it. `target`: the approval or tool call that it is about."""

    id: str
    kind: str
    actor: str
    target: str
    payload: Payload
    issued_by: NotRequired[str]


class InboxFrame(TypedDict):
    type: Literal["inbox"]
    session: str
    run: str
    signal: ToldSignal


class StopFrame(TypedDict):
    type: Literal["stop"]
    session: str
    run: str
    reason: str


class ExpiredFrame(TypedDict):
    type: Literal["expired"]
    session: str
    run: str
    approval: str


class EventsFrame(TypedDict):
    """Put together from its events' JSON: see `frames.events`."""

    type: Literal["events"]
    session: str
    events: list[Event]


ServerFrame = (
    ConnectedFrame | AttachedFrame | ReceiptFrame | HeartbeatFrame | DetachedFrame | PublishedFrame | ErrorFrame
    | AuthenticatedFrame | GoingAwayFrame | AnswerFrame | RunFrame | InboxFrame | StopFrame | ExpiredFrame
)  # fmt: skip
# What a connection sends that follows sessions and is asked nothing else.
FollowedFrame = AttachedFrame | EventsFrame | DetachedFrame | ErrorFrame | HeartbeatFrame | GoingAwayFrame
