"""OpenAPI operations of the HTTP transports (PROTOCOL.md §2).

drf-spectacular reads only the REST framework's views, so `described` gives each async Django view a stub to read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from sessions_app.api.base import HoldfastView, OperationSchema, extend_schema
from sessions_app.api.schema_serializers import (
    AnswerSerializer,
    BatchSerializer,
    BegunSerializer,
    ChatSerializer,
    ClaimSerializer,
    ErrorSerializer,
    FollowSerializer,
    FramesSerializer,
    PollSerializer,
    ProducerSerializer,
    PublishedSerializer,
    ReceiptSerializer,
    SessionFramesSerializer,
    SignalRequestSerializer,
    TurnSerializer,
    WorkSerializer,
)
from sessions_app.core.frames import SESSION_ID

V = TypeVar("V", bound=Callable[..., Coroutine[object, None, HttpResponseBase]])
Status = TypeVar("Status", int, tuple[int, str])
Operation = Callable[[Callable[..., None]], Callable[..., None]]  # what `extend_schema` returns

TAG = "link"
REFUSALS = {
    400: "The request is invalid; the code says why.",
    401: "Not authenticated, or the token is invalid. Opening the page gives a visitor a guest cookie.",
    403: "The request comes from another site's page, or the CSRF token or a token scope is missing.",
    404: "The session doesn't exist, or another owner has it.",
    410: "The session has expired.",
    429: "Too many requests, or too many open connections. `Retry-After` says how many seconds to wait.",
    503: "The server is stopping, or its database is unavailable. Try again.",
}
BY_TOKEN: Any = [{"token": []}]  # typed as names by drf-spectacular, which takes requirements

CURL_STREAM = 'curl -N -b cookies.txt "$api/sessions/$session/stream/"'
CURL_POLL = """\
cursor=
while :; do
  answer=$(curl -sSf -b cookies.txt "$api/sessions/$session/poll/?cursor=$cursor") ||
    { sleep 1; continue; }
  printf '%s\\n' "$answer"
  cursor=$(printf '%s' "$answer" | sed 's/.*"cursor":"\\([^"]*\\)"}$/\\1/')
done"""
CURL_SIGNAL = """\
curl "$api/sessions/$session/signals/" -b cookies.txt -H "X-CSRFToken: $csrftoken" \\
  -H 'Content-Type: application/json' \\
  -d '{"id": "my-first-signal", "kind": "message", "payload": {"parts": [{"type": "text", "text": "Hello"}]}}'"""


class TransportSchema(OperationSchema):
    """Schema of a transport: its body is always required. drf-spectacular assumes optional without a serializer."""

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation and "requestBody" in operation:
            operation["requestBody"]["required"] = True
        return operation


class TransportView(HoldfastView):
    """Stand-in for an async view in the OpenAPI document. It is never called."""

    schema = TransportSchema()


def described(view: V, method: str, operation: Operation) -> V:
    """Make drf-spectacular read an async view as this operation, and return the view."""

    def stub(*args: object, **kwargs: object) -> None: ...

    stub.kwargs = {"schema": TransportSchema}  # type: ignore[attr-defined]  # what `extend_schema` derives from
    view.cls = type("Described", (TransportView,), {method: operation(stub)})  # type: ignore[attr-defined]
    view.initkwargs = {}  # type: ignore[attr-defined]
    return view


def _operation(name: str, success: Mapping[Status, OpenApiResponse], **options: Any) -> Operation:
    refusals = {status: OpenApiResponse(ErrorSerializer, text) for status, text in REFUSALS.items()}
    operation: Operation = extend_schema(
        operation_id=f"link_{name}", tags=[TAG], responses={**success, **refusals}, **options
    )
    return operation


def _with_shell(text: str, script: str) -> str:
    return f"{text} `$api` is the address of this API.\n\n```sh\n{script}\n```"


def _in_path(name: str) -> OpenApiParameter:
    schema = {"type": "string", "pattern": "^" + SESSION_ID.pattern.replace(r"\Z", "$")}
    return OpenApiParameter(name, schema, OpenApiParameter.PATH, description="The session's id.")


_SESSION = _in_path("session")
_PLACE = [
    OpenApiParameter(
        "cursor",
        str,
        description="Position to continue from: missed changes come first. Without it, the newest messages.",
    ),
    OpenApiParameter(
        "rewind", {"type": "integer", "minimum": 0}, description="Without a cursor, the number of messages."
    ),
    OpenApiParameter("replaced", bool, description="Also returns messages that others have taken the place of."),
]
_EVENTS = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, "Frames as server-sent events.")}

STREAM = _operation(
    "stream",
    _EVENTS,
    summary="Follow sessions as a stream",
    description="Server-sent events, one frame of PROTOCOL.md §5 each, for at most 5 minutes; then reconnect.",
    request=FollowSerializer,
)
POLL = _operation(
    "poll",
    {200: OpenApiResponse(FramesSerializer, "The frames.")},
    summary="Wait for changes in sessions",
    description="Long poll. Answers with a stream's frames as soon as there is a change.",
    request=PollSerializer,
)
SESSION_STREAM = _operation(
    "session_stream",
    _EVENTS,
    summary="Follow a session as a stream",
    description=_with_shell(
        "For a browser's `EventSource`, which resumes automatically: each event's id is the cursor.", CURL_STREAM
    ),
    parameters=[
        _SESSION,
        *_PLACE,
        OpenApiParameter(
            "Last-Event-ID",
            str,
            OpenApiParameter.HEADER,
            description="Sent by a reconnecting `EventSource`; takes precedence over `cursor`.",
        ),
    ],
)
SESSION_POLL = _operation(
    "session_poll",
    {200: OpenApiResponse(SessionFramesSerializer, "The frames, and the cursor after them.")},
    summary="Wait for changes in a session",
    description=_with_shell("The response has the cursor for the next poll.", CURL_POLL),
    parameters=[
        _SESSION,
        *_PLACE,
        OpenApiParameter(
            "wait_ms",
            {"type": "integer", "minimum": 0},
            description="Time to wait for a change. The default, and the maximum, is 25 seconds.",
        ),
    ],
)
SIGNAL = _operation(
    "signal",
    {200: OpenApiResponse(ReceiptSerializer, "The receipt of an accepted signal.")},
    summary="Send a signal to a session",
    description=_with_shell("The response is the receipt. A rejection has the status of its error.", CURL_SIGNAL),
    parameters=[_in_path("id")],
    request=SignalRequestSerializer,
    examples=[
        OpenApiExample(
            "A message",
            {"id": "my-first-signal", "kind": "message", "payload": {"parts": [{"type": "text", "text": "Hello"}]}},
            request_only=True,
        )
    ],
)
BEGIN_RUN = _operation(
    "begin_run",
    {200: OpenApiResponse(BegunSerializer, "The turn; that of the first request with this id.")},
    summary="Begin a turn",
    description=(
        "For schedules and events: the session's agent answers, as it answers a person. The same id again begins"
        " nothing. Requires a token with the scope `work` that names the session's agent."
    ),
    parameters=[_SESSION],
    request=TurnSerializer,
    examples=[
        OpenApiExample(
            "A schedule",
            {"id": "daily-2026-12-01", "parts": [{"type": "text", "text": "What happened today?"}]},
            request_only=True,
        )
    ],
    auth=BY_TOKEN,
)
PUBLISH = _operation(
    "publish",
    {200: OpenApiResponse(PublishedSerializer, "Stored.")},
    summary="Publish to a session",
    description=(
        "JSON: one batch of a response; a repeated batch counts once. NDJSON: a whole response, one chunk per line,"
        " delivered as it arrives. Requires a token with the scope `publish`."
    ),
    parameters=[
        _SESSION,
        OpenApiParameter("message", str, description="The id of a response sent as NDJSON. Default: a new id."),
    ],
    request={"application/json": BatchSerializer, "application/x-ndjson": OpenApiTypes.STR},
    auth=BY_TOKEN,
)
_CHAT = OpenApiParameter("chat", str, OpenApiParameter.PATH, description="The chat's id: a session's.")
_CHUNKS = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, "Chunks of the answer, then `[DONE]`.")}
CHAT = _operation(
    "chat",
    _CHUNKS,
    summary="Send as an AI SDK client",
    description="For `useChat` with its default transport. Of the body's messages only the last one counts, once.",
    request=ChatSerializer,
)
CHAT_STREAM = _operation(
    "chat_stream",
    {**_CHUNKS, 204: OpenApiResponse(description="No answer is under way.")},
    summary="Resume as an AI SDK client",
    description="The whole answer under way, then what follows.",
    parameters=[_CHAT],
)
CHAT_STOP = _operation(
    "chat_stop",
    {204: OpenApiResponse(description="Stopped, or it had ended.")},
    summary="Stop a chat's agents",
    description="Aborting a request stops nothing, since a client that leaves its page aborts, too.",
    parameters=[_CHAT],
    request=OpenApiTypes.OBJECT,
)
WORK = _operation(
    "work",
    {200: OpenApiResponse(AnswerSerializer, "The answer.")},
    summary="Ask about a claimed run",
    description="`history`, `begin`, `expire` or `hand-back`. Requires a token with the scope `work`.",
    request=WorkSerializer,
    auth=BY_TOKEN,
)
CLAIM = _operation(
    "claim",
    {200: OpenApiResponse(FramesSerializer, "The answer to the claim, and what there is for the worker.")},
    summary="Claim runs",
    description="Waits for runs of these agents, or for signals. Requires a token with the scope `work`.",
    request=ClaimSerializer,
    auth=BY_TOKEN,
)
BEAT = _operation(
    "beat",
    {204: OpenApiResponse(description="Recorded.")},
    summary="Send a publisher's heartbeat",
    description="Send it at least every third of a lease while there is nothing to publish.",
    request=ProducerSerializer,
    auth=BY_TOKEN,
)
