"""Every address of the site, from its URLconf, and the bodies that are valid somewhere."""

import uuid
from collections.abc import Iterator
from random import Random
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from sessions_app.transports.probes import PATHS
from tests.fuzz.values import TEXTS

OUTSIDE = ["/ws/", "/static/holdfast/index.js", "/static/", "/static/x.js", *(f"/{path}" for path in PATHS)]


def routes() -> list[str]:
    """Return every route as a format string with its parameters, such as `/s/%(session)s/`."""
    found = {f"/{route}" for route in _routes(get_resolver().url_patterns, "")}
    return sorted(found | set(OUTSIDE))


def _routes(patterns: list[Any], before: str) -> Iterator[str]:
    for pattern in patterns:
        for form, _ in normalize(pattern.pattern.regex.pattern):
            if isinstance(pattern, URLResolver):
                yield from _routes(pattern.url_patterns, before + form)
            elif isinstance(pattern, URLPattern):
                yield before + form


class Known:
    """What exists on the site, to be named in requests: the valid values that are mutated."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.strangers = ""
        self.cursors: list[str] = []
        self.tokens: list[str] = []

    def parameter(self, random: Random) -> str:
        return random.choice([*self.sessions, *self.sessions, self.strangers, *self.cursors, "1", random.choice(TEXTS)])

    def bodies(self, random: Random) -> list[Any]:
        """Return a valid body of each kind."""
        session = random.choice(self.sessions)
        return [{}, *frames(random, self), *self._rest(random), {"attach": [attach(random, self, session)]}]

    def _rest(self, random: Random) -> list[Any]:
        return [
            {"title": "x", "policy": random.choice(["24 hours", "72 hours"])},
            {"name": f"p{random.randrange(5)}", "hours": random.randrange(20, 80), "is_default": False},
            {"sub": "svc:x", "scope": "read send", "sessions": ["*"], "life_s": 60},
            {"jti": uuid.UUID(int=random.getrandbits(128)).hex, "sub": "svc:nobody"},
            {"username": "nobody", "password": "x", "next": "/"},
            {"action": "delete_selected", "_selected_action": ["1"], "post": "yes", "index": "0"},
        ]


def attach(random: Random, known: Known, session: str) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "attach", "session": session}
    if random.random() < 0.4:
        frame["cursor"] = random.choice(known.cursors)
    if random.random() < 0.3:
        frame["rewind"] = random.randrange(5)
    if random.random() < 0.2:
        frame["held"] = {"m_x": [random.randrange(50)]}
    return frame


def frames(random: Random, known: Known) -> list[dict[str, Any]]:
    """Return a valid client frame of each type."""
    session = random.choice(known.sessions)
    return [
        attach(random, known, session),
        {"type": "detach", "session": session},
        {"type": "ack", "session": session, "cursor": random.choice(known.cursors)},
        {"type": "ping"},
        {"type": "authenticate", "token": random.choice(known.tokens)},
        {"type": "signal", "session": session, **signal(random)},
        {"type": "signal", "session": session, **signal(random)},
        publish(random, session),
        {"type": "beat", "producer": "producer1", "epoch": random.randrange(3)},
    ]


def chat_frames(random: Random, known: Known) -> list[dict[str, Any]]:
    """Return a valid frame of each type of an AI SDK client."""
    asked = {"requestId": f"r{random.randrange(4)}", "id": random.choice(known.sessions), "headers": {}, "body": {}}
    message = {"id": f"message-{random.randrange(9)}", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
    return [
        {"type": "send", **asked, "trigger": "submit-message", "messages": [message]},
        {"type": "send", **asked, "trigger": "regenerate-message", "messages": [message]},
        {"type": "resume", **asked},
        {"type": "abort", "requestId": asked["requestId"]},
    ]


def signal(random: Random) -> dict[str, Any]:
    parts = [{"type": "text", "text": random.choice(["Hello", *TEXTS])}]
    message = f"m_{random.randrange(20)}"
    payloads: list[tuple[str, Any]] = [
        ("message", {"parts": parts}),
        ("steer", {"parts": parts}),
        ("cancel", {"message": message}),
        ("approve", {"approval": "a1", "input_hash": "sha256:" + "0" * 64, "reason": "x"}),
        ("approve", {"approval": "a1", "input": {"n": 1}}),
        ("deny", {"approval": "a1", "reason": "no"}),
        ("tool-result", {"call": "c1", "output": {"n": [1, 2]}}),
        ("retry", {"message": message, "mode": random.choice(["continue", "regenerate"])}),
    ]
    kind, payload = random.choice(payloads)
    return {"id": f"signal-{random.randrange(10**6):06}", "kind": kind, "payload": payload}


def publish(random: Random, session: str) -> dict[str, Any]:
    return {
        "type": "publish", "session": session, "message": f"m_{random.randrange(20)}", "producer": "producer1",
        "epoch": 1, "sequence": random.choice([1, 1, 2, 3]), "chunks": chunks(random),
    }  # fmt: skip


def chunks(random: Random) -> list[dict[str, Any]]:
    """Return the chunks of a response, with an approval and an end, or some of them."""
    call = random.choice(["c1", "x" * 300])
    whole: list[dict[str, Any]] = [
        {"type": "start", "messageId": f"m_{random.randrange(20)}"},
        {"type": "text-start", "id": "t"},
        {"type": "text-delta", "id": "t", "delta": random.choice(["Hello ", *TEXTS])},
        {"type": "text-end", "id": "t"},
        {"type": "reasoning-start", "id": "r"},
        {"type": "reasoning-delta", "id": "r", "delta": "hm"},
        {"type": "reasoning-end", "id": "r"},
        {"type": "tool-input-start", "toolCallId": call, "toolName": "x"},
        {"type": "tool-input-delta", "toolCallId": call, "inputTextDelta": "{"},
        {"type": "tool-input-available", "toolCallId": call, "toolName": "x", "input": {"n": 2**53 + 1}},
        {"type": "tool-approval-request", "approvalId": "a1", "toolCallId": call},
        {"type": "tool-output-available", "toolCallId": call, "output": [1]},
        {"type": "data-x", "id": "d", "data": {"a": 1}},
        {"type": "source-url", "sourceId": "s", "url": "javascript:alert(1)"},
        {"type": "file", "url": "data:,x", "mediaType": "text/plain"},
        {"type": "finish"},
    ]
    if random.random() < 0.3:
        random.shuffle(whole)
    return whole[: random.randrange(1, len(whole) + 1)]
