"""The transports over HTTP in the API's description, which knows the REST framework's views only. PROTOCOL.md §2."""

from __future__ import annotations

from typing import Any

TAG = "link"

_SESSION = {"name": "session", "in": "path", "required": True, "schema": {"type": "string"}, "description": "Its id."}
_PLACE = [
    {
        "name": "cursor",
        "in": "query",
        "schema": {"type": "string"},
        "description": "Where to go on: what changed since then comes first. Without it, the newest messages.",
    },
    {
        "name": "rewind",
        "in": "query",
        "schema": {"type": "integer", "minimum": 0},
        "description": "Without a cursor, how many messages.",
    },
]
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Sent by an EventSource that comes back; goes before `cursor`.",
}
_WAIT = {
    "name": "wait_ms",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0},
    "description": "How long to wait for news, at most and if left out 25 seconds.",
}
_ATTACH = {
    "type": "array",
    "description": "The sessions to follow, each with the cursor that the client has.",
    "items": {
        "type": "object",
        "required": ["session"],
        "properties": {
            "session": {"type": "string"},
            "cursor": {"type": "string", "nullable": True},
            "rewind": {"type": "integer", "minimum": 0, "nullable": True},
            "held": {
                "type": "object",
                "nullable": True,
                "description": "The lengths of the parts of each message that was streaming at the cursor.",
                "additionalProperties": {"type": "array", "items": {"type": "integer"}},
            },
        },
    },
}
_FRAMES = {
    "type": "array",
    "description": "`connected`, `attached` for each session, then `events`, `detached`, `error`, … or a `heartbeat`.",
    "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}},
}
_SIGNAL = {
    "type": "object",
    "required": ["id", "kind", "payload"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$", "description": "Yours; repeated, it counts once."},
        "kind": {"type": "string", "enum": ["message"]},
        "payload": {"type": "object", "example": {"parts": [{"type": "text", "text": "Hello"}]}},
    },
}
_RECEIPT = {
    "type": "object",
    "required": ["type", "session", "id", "status"],
    "properties": {
        "type": {"type": "string", "enum": ["receipt"]},
        "session": {"type": "string"},
        "id": {"type": "string"},
        "status": {"type": "string", "enum": ["accepted", "rejected"]},
        "serial": {"type": "integer"},
        "error": {"$ref": "#/components/schemas/Error"},
    },
}

_PRODUCER = {
    "producer": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$", "description": "Your name for the publisher."},
    "epoch": {"type": "integer", "minimum": 0, "description": "Higher in each process that takes the name."},
}
_BATCH = {
    "type": "object",
    "required": ["message", *_PRODUCER, "sequence", "chunks"],
    "properties": {
        "message": {"type": "string", "pattern": "^m_[A-Za-z0-9_.:-]{1,62}$", "description": "The response's id."},
        **_PRODUCER,
        "sequence": {"type": "integer", "minimum": 1, "description": "1 for a response's first batch, 2 for the next."},
        "chunks": {
            "type": "array",
            "description": "AI SDK UI message chunks.",
            "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}},
        },
    },
}
_PUBLISHED = {
    "type": "object",
    "required": ["type", "session", "message", "serial"],
    "properties": {
        "type": {"type": "string", "enum": ["published"]},
        "session": {"type": "string"},
        "message": {"type": "string"},
        "sequence": {"type": "integer", "description": "Of a batch."},
        "serial": {"type": "integer"},
        "status": {"type": "string", "description": "Of a response that was sent as lines: how it ended."},
    },
}
_MESSAGE = {
    "name": "message",
    "in": "query",
    "schema": {"type": "string"},
    "description": "The id of a response that is sent as lines; a new one if it is left out.",
}

CURL_STREAM = "curl -N -b cookies.txt https://chat.example/api/sessions/$session/stream/"
CURL_POLL = """\
cursor=
while :; do
  answer=$(curl -sSf -b cookies.txt "https://chat.example/api/sessions/$session/poll/?cursor=$cursor") ||
    { sleep 1; continue; }
  printf '%s\\n' "$answer"
  cursor=$(printf '%s' "$answer" | sed 's/.*"cursor":"\\([^"]*\\)"}$/\\1/')
done"""
CURL_SIGNAL = """\
curl -b cookies.txt -H "X-CSRFToken: $csrftoken" -H 'Content-Type: application/json' \\
  -d '{"id": "my-first-signal", "kind": "message", "payload": {"parts": [{"type": "text", "text": "Hello"}]}}' \\
  https://chat.example/api/sessions/$session/signals/"""


def describe_transports(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular: add the operations that aren't the REST framework's."""
    many = {"type": "object", "required": ["attach"], "properties": {"attach": _ATTACH}}
    waited = {**many, "properties": {"attach": _ATTACH, "wait_ms": _WAIT["schema"]}}
    frames = {"type": "object", "required": ["frames"], "properties": {"frames": _FRAMES}}
    frames_and_cursor = {**frames, "properties": {"frames": _FRAMES, "cursor": {"type": "string"}}}
    result["paths"] |= {
        "/api/stream/": {
            "post": _operation(
                "link_stream",
                "Follow sessions as a stream",
                "Server-sent events, each one frame of PROTOCOL.md §5; at most 5 minutes, then ask again.",
                _EVENTS, body=many,
            )
        },
        "/api/poll/": {
            "post": _operation(
                "link_poll",
                "Wait for what is new in sessions",
                "The frames of a stream that ends as soon as there is news.",
                _json("The frames.", frames), body=waited,
            )
        },
        "/api/sessions/{session}/stream/": {
            "get": _operation(
                "link_session_stream",
                "Follow a session as a stream",
                "For a browser's own `EventSource`, which resumes by itself: the cursor is each event's id.\n\n"
                f"```sh\n{CURL_STREAM}\n```",
                _EVENTS, parameters=[_SESSION, *_PLACE, _LAST_EVENT_ID],
            )
        },
        "/api/sessions/{session}/poll/": {
            "get": _operation(
                "link_session_poll",
                "Wait for what is new in a session",
                f"The answer has the cursor to ask with next.\n\n```sh\n{CURL_POLL}\n```",
                _json("The frames, and the cursor after them.", frames_and_cursor),
                parameters=[_SESSION, *_PLACE, _WAIT],
            )
        },
        "/api/sessions/{session}/publish/": {
            "post": _operation(
                "link_publish",
                "Publish to a session",
                "As JSON, a batch of a response, which counts once. As NDJSON, a whole response, a chunk a line,"
                " shown as it comes. By a token with the scope `publish`.",
                _json("It is stored.", _PUBLISHED), parameters=[_SESSION, _MESSAGE],
                body=_BATCH, lines=True, token=True,
            )
        },
        "/api/beat/": {
            "post": _operation(
                "link_beat",
                "Say that a publisher lives",
                "At least every third of a lease, while it has nothing to publish.",
                {"description": "It is known."}, status="204", token=True,
                body={"type": "object", "required": list(_PRODUCER), "properties": _PRODUCER},
            )
        },
    }  # fmt: skip
    # Reading signals has the same address, and is described by the REST framework.
    result["paths"]["/api/sessions/{id}/signals/"]["post"] = _operation(
        "link_signal",
        "Send into a session",
        f"The answer is the receipt; a rejection has its error's status.\n\n```sh\n{CURL_SIGNAL}\n```",
        _json("The receipt.", _RECEIPT), parameters=[{**_SESSION, "name": "id"}], body=_SIGNAL,
    )  # fmt: skip
    return result


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_EVENTS = {"description": "The frames as events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
_ERROR = {"$ref": "#/components/schemas/Error"}
_REFUSALS = {
    "400": "What was sent can't be taken; the code says what.",
    "401": "Nobody is there: opening the page gives a visitor their cookie. Or the token can't be taken.",
    "403": "Another site's page asked, the CSRF token is missing, or the token lacks a scope.",
    "404": "There is no such session, or it is somebody else's: nobody can tell which.",
    "410": "The session has expired.",
    "429": "Too often, or too many connections are open.",
    "503": "The server is stopping, or its database is away: ask again.",
}


def _operation(
    id: str,
    summary: str,
    description: str,
    answer: dict[str, Any],
    *,
    status: str = "200",
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    lines: bool = False,
    token: bool = False,
) -> dict[str, Any]:
    """`lines`: the body may also be NDJSON. `token`: cookies don't open it."""
    refusals = {status: _json(says, _ERROR) for status, says in _REFUSALS.items()}
    operation: dict[str, Any] = {
        "operationId": id,
        "summary": summary,
        "description": description,
        "tags": [TAG],
        "security": [{"token": []}] if token else [{"token": []}, {"login": []}, {"guest": []}],
        "responses": {status: answer, **refusals},
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        content = {"application/json": {"schema": body}}
        if lines:
            content["application/x-ndjson"] = {"schema": {"type": "string"}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
