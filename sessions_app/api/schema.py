"""OpenAPI operations of the transports over HTTP, PROTOCOL.md §2.

drf-spectacular finds the addresses where they are mounted, but reads the REST framework's views only: `described` gives
each of Django's async views a stub to read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from django.http.response import HttpResponseBase
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from sessions_app.api.base import HoldfastView
from sessions_app.api.schema_serializers import (
    BatchSerializer,
    ErrorSerializer,
    FollowSerializer,
    FramesSerializer,
    PollSerializer,
    ProducerSerializer,
    PublishedSerializer,
    ReceiptSerializer,
    SessionFramesSerializer,
    SignalRequestSerializer,
)
from sessions_app.core.frames import SESSION_ID

V = TypeVar("V", bound=Callable[..., Coroutine[None, None, HttpResponseBase]])
Operation = Callable[[Callable[..., Any]], Callable[..., Any]]  # what `extend_schema` returns

TAG = "link"
REFUSALS = {
    400: "The request is invalid; the code says why.",
    401: "Not authenticated, or the token is invalid. Opening the page gives a visitor a cookie.",
    403: "A page of another site asked, or the CSRF token or a scope of the token is missing.",
    404: "There is no such session, or it is another owner's.",
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


class TransportSchema(AutoSchema):
    """A transport's body is never optional; drf-spectacular takes one that isn't a serializer's for optional."""

    def get_operation(self, *args: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args)
        if operation and "requestBody" in operation:
            operation["requestBody"]["required"] = True
        return operation


class TransportView(HoldfastView):
    """What stands for an async view in the document. It is never called."""

    schema = TransportSchema()


def described(view: V, method: str, operation: Operation) -> V:
    """Return an async view that drf-spectacular reads as this operation."""

    def stub(*args: Any, **kwargs: Any) -> None: ...

    view.cls = type("Described", (TransportView,), {method: operation(stub)})  # type: ignore[attr-defined]
    view.initkwargs = {}  # type: ignore[attr-defined]
    return view


def _operation(name: str, answer: dict[Any, Any], **of_its_own: Any) -> Operation:
    refusals = {status: OpenApiResponse(ErrorSerializer, text) for status, text in REFUSALS.items()}
    operation: Operation = extend_schema(
        operation_id=f"link_{name}", tags=[TAG], responses={**answer, **refusals}, **of_its_own
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
        "cursor", str, description="Where to continue: changes since then come first. Without it, the newest messages."
    ),
    OpenApiParameter("rewind", {"type": "integer", "minimum": 0}, description="Without a cursor, how many messages."),
]
_EVENTS = {(200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, "The frames as events.")}

STREAM = _operation(
    "stream",
    _EVENTS,
    summary="Follow sessions as a stream",
    description="Server-sent events, each one frame of PROTOCOL.md §5, for at most 5 minutes; then ask again.",
    request=FollowSerializer,
)
POLL = _operation(
    "poll",
    {200: OpenApiResponse(FramesSerializer, "The frames.")},
    summary="Wait for changes in sessions",
    description="The frames of a stream that ends as soon as there is news.",
    request=PollSerializer,
)
SESSION_STREAM = _operation(
    "session_stream",
    _EVENTS,
    summary="Follow a session as a stream",
    description=_with_shell(
        "For a browser's own `EventSource`, which resumes by itself: the cursor is each event's id.", CURL_STREAM
    ),
    parameters=[
        _SESSION,
        *_PLACE,
        OpenApiParameter(
            "Last-Event-ID",
            str,
            OpenApiParameter.HEADER,
            description="Sent by an `EventSource` that reconnects; precedes `cursor`.",
        ),
    ],
)
SESSION_POLL = _operation(
    "session_poll",
    {200: OpenApiResponse(SessionFramesSerializer, "The frames, and the cursor after them.")},
    summary="Wait for changes in a session",
    description=_with_shell("The answer has the cursor for the next poll.", CURL_POLL),
    parameters=[
        _SESSION,
        *_PLACE,
        OpenApiParameter(
            "wait_ms",
            {"type": "integer", "minimum": 0},
            description="How long to wait for news; 25 seconds at most, and by default.",
        ),
    ],
)
SIGNAL = _operation(
    "signal",
    {200: OpenApiResponse(ReceiptSerializer, "The receipt of an accepted signal.")},
    summary="Send a signal into a session",
    description=_with_shell("The answer is the receipt; a rejection has its error's status.", CURL_SIGNAL),
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
PUBLISH = _operation(
    "publish",
    {200: OpenApiResponse(PublishedSerializer, "It is stored.")},
    summary="Publish to a session",
    description=(
        "As JSON, a batch of a response, which counts once. As NDJSON, a whole response, one chunk per line, shown as"
        " it arrives. By a token with the scope `publish`."
    ),
    parameters=[
        _SESSION,
        OpenApiParameter("message", str, description="The id of a response sent as NDJSON; by default a new one."),
    ],
    request={"application/json": BatchSerializer, "application/x-ndjson": OpenApiTypes.STR},
    auth=BY_TOKEN,
)
BEAT = _operation(
    "beat",
    {204: OpenApiResponse(description="Recorded.")},
    summary="Send a publisher's heartbeat",
    description="At least every third of a lease, while it has nothing to publish.",
    request=ProducerSerializer,
    auth=BY_TOKEN,
)
