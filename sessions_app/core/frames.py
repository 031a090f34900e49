"""Frames of PROTOCOL.md §4 and §5: checks clients' frames against a table, builds the server's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from sessions_app.core import busy, json_text
from sessions_app.core.attachment import Frame
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.text import mend
from sessions_app.core.tokens import MOST_AGENTS, is_agent_name
from sessions_app.core.wire_types import (
    Chunk,
    ErrorFrame,
    FrameReference,
    JsonObject,
    MessageEvent,
    ServerFrame,
    SignalRecord,
)

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22}\Z")
SIGNAL_ID = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
MESSAGE_UID = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")  # its characters need no escape in JSON
RESPONSE_UID = re.compile(r"m_[A-Za-z0-9_.:-]{1,62}\Z")
MOST_EPOCH = 2**53  # the end of JavaScript's exact integers; a time in milliseconds fits
BATCH_CHUNKS = 1024
HELD_MESSAGES = 64  # in one attach; a session has one or two streaming messages
HELD_PARTS = 4096  # in one message
MAX_LENGTH = 1 << 31
MOST_RUNS = 1000  # of one remote worker
MOST_TOKENS = 2**40  # in one count: millions of them fit into the run's sum, a 64-bit integer
USAGE = ("input_tokens", "output_tokens")
_WITH_CURSOR = re.compile(r'\{"type":"(?:attached|events)","session":"[^"]+","cursor":"([^"]+)"')
NAME = 64  # characters of an id that an error repeats

Held = dict[str, list[int]]
Usage = dict[str, int]


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """A checked frame. Fields that its type doesn't have are None or empty."""

    type: str
    session: str = ""
    cursor: Cursor | None = None
    rewind: int | None = None
    held: Held | None = None
    replaced: bool = False
    id: str = ""
    kind: str = ""
    payload: JsonObject | None = None
    token: str = ""
    message: str = ""
    producer: str = ""
    epoch: int = 0
    sequence: int = 0
    chunks: list[Chunk] = field(default_factory=list)  # not checked yet: see `vocabulary.check`
    # Of remote workers
    run: str = ""
    usage: Usage | None = None
    agents: tuple[str, ...] = ()
    while_busy: dict[str, busy.WhileBusy] = field(default_factory=dict)
    most: int = 0
    runs: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    approval: str = ""
    before: str = ""
    limit: int | None = None


def _session(value: object) -> str:
    if isinstance(value, str) and SESSION_ID.match(value):
        return value
    raise HoldfastError("bad_session_id", "it is 22 characters of A-Z a-z 0-9 _ -")


def _cursor(value: object) -> Cursor:
    if isinstance(value, str):
        return Cursor.parse(value)
    raise HoldfastError("bad_cursor", "it is a string")


def _is_whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _rewind(value: object) -> int:
    if isinstance(value, int) and _is_whole(value, MAX_LENGTH):
        return value
    raise HoldfastError("bad_frame", "`rewind` is a number of messages, 0 or more")


def _held(value: object) -> Held:
    if isinstance(value, dict) and len(value) <= HELD_MESSAGES and all(map(_is_lengths, value.values())):
        return value
    raise HoldfastError("bad_frame", "`held` maps message ids to lists of lengths")


def _is_lengths(value: object) -> bool:
    return isinstance(value, list) and len(value) <= HELD_PARTS and all(_is_whole(n, MAX_LENGTH) for n in value)


def _replaced(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise HoldfastError("bad_frame", "`replaced` is true or false")


def _id(value: object) -> str:
    if isinstance(value, str) and SIGNAL_ID.match(value):
        return value
    raise HoldfastError("bad_signal", "its `id` is 8 to 64 characters of A-Z a-z 0-9 _ -")


def _kind(value: object) -> str:
    if isinstance(value, str) and len(value) <= 32:
        return value
    raise HoldfastError("bad_signal", "its `kind` is a short string")


def _payload(value: object) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise HoldfastError("bad_signal", "its `payload` is an object")


def _token(value: object) -> str:
    if isinstance(value, str):
        return value
    raise HoldfastError("bad_frame", "`token` is a string")


def _message(value: object) -> str:
    if isinstance(value, str) and RESPONSE_UID.match(value):
        return value
    raise HoldfastError("bad_frame", "`message` is m_ and 1 to 62 characters of A-Z a-z 0-9 _ . : -")


def _producer(value: object) -> str:
    if isinstance(value, str) and SIGNAL_ID.match(value):
        return value
    raise HoldfastError("bad_frame", "`producer` is 8 to 64 characters of A-Z a-z 0-9 _ -")


def _epoch(value: object) -> int:
    if isinstance(value, int) and _is_whole(value, MOST_EPOCH):
        return value
    raise HoldfastError("bad_frame", f"`epoch` is a whole number from 0 to {MOST_EPOCH}")


def _sequence(value: object) -> int:
    if isinstance(value, int) and value and _is_whole(value, MAX_LENGTH):
        return value
    raise HoldfastError("bad_frame", "`sequence` is 1 for a message's first batch, 2 for the next, …")


def _chunks(value: object) -> list[Chunk]:
    if isinstance(value, list) and 0 < len(value) <= BATCH_CHUNKS:
        return value
    raise HoldfastError("bad_frame", f"`chunks` is a list of 1 to {BATCH_CHUNKS} chunks")


# Of remote workers


def _matching(pattern: re.Pattern[str], told: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if isinstance(value, str) and pattern.match(value):
            return value
        raise HoldfastError("bad_frame", told)

    return read


_run = _matching(SESSION_ID, "`run` is the id of a run, 22 characters of A-Z a-z 0-9 _ -")
_request = _matching(SIGNAL_ID, "`id` is 8 to 64 characters of A-Z a-z 0-9 _ -")
_approval = _matching(SIGNAL_ID, "`approval` is 8 to 64 characters of A-Z a-z 0-9 _ -")
_before = _matching(MESSAGE_UID, "`before` is the id of a message")


def _ids_of(what: str, read_one: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        if isinstance(value, list) and len(value) <= MOST_RUNS:
            return tuple(map(read_one, value))
        raise HoldfastError("bad_frame", f"`{what}` is a list of at most {MOST_RUNS} ids of {what}")

    return read


_runs, _signals = _ids_of("runs", _run), _ids_of("signals", _id)


def _agents(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and 0 < len(value) <= MOST_AGENTS and all(map(is_agent_name, value)):
        return tuple(value)
    raise HoldfastError("bad_frame", f"`agents` is a list of 1 to {MOST_AGENTS} names of agents")


def _most(value: object) -> int:
    if isinstance(value, int) and _is_whole(value, MOST_RUNS):
        return value
    raise HoldfastError("bad_frame", f"`most` is a number of runs, 0 to {MOST_RUNS}")


def _limit(value: object) -> int:
    if isinstance(value, int) and value and _is_whole(value, MAX_LENGTH):
        return value
    raise HoldfastError("bad_frame", "`limit` is a number of messages, 1 or more")


def _usage(value: object) -> Usage:
    if isinstance(value, dict) and set(value) <= set(USAGE) and all(_is_whole(n, MOST_TOKENS) for n in value.values()):
        return value
    raise HoldfastError("bad_frame", f"`usage` has {' and '.join(USAGE)}, whole numbers from 0 to {MOST_TOKENS}")


Reader = Callable[[object], Any]
WORKER: dict[str, Reader] = {"id": _request, "producer": _producer, "epoch": _epoch}
HELD_RUN: dict[str, Reader] = {**WORKER, "session": _session, "run": _run}

# type → (required fields, optional fields)
CLIENT_FRAMES: dict[str, tuple[dict[str, Reader], dict[str, Reader]]] = {
    "attach": (
        {"session": _session},
        {"cursor": _cursor, "rewind": _rewind, "held": _held, "replaced": _replaced},
    ),
    "detach": ({"session": _session}, {}),
    "ack": ({"session": _session, "cursor": _cursor}, {"held": _held}),
    "signal": ({"session": _session, "id": _id, "kind": _kind, "payload": _payload}, {}),
    "ping": ({}, {}),
    "authenticate": ({"token": _token}, {}),
    "publish": (
        {
            "session": _session, "message": _message, "producer": _producer, "epoch": _epoch, "sequence": _sequence,
            "chunks": _chunks,
        },
        {"run": _run, "usage": _usage},
    ),
    "beat": ({"producer": _producer, "epoch": _epoch}, {}),
    "claim": ({**WORKER, "agents": _agents, "most": _most},
              {"runs": _runs, "signals": _signals, "while_busy": busy.read}),
    "history": (HELD_RUN, {"before": _before, "limit": _limit}),
    "begin": ({**HELD_RUN, "approval": _approval}, {}),
    "expire": ({**HELD_RUN, "approval": _approval}, {}),
    "hand-back": (HELD_RUN, {}),
}  # fmt: skip


def parse(text: str) -> JsonObject:
    """Parse the JSON of a client's frame. Raises bad_json and bad_frame."""
    try:
        data, excess, halves = json_text.read(text, halves=True)
    except ValueError as error:
        raise HoldfastError("bad_json", str(error)) from None
    if halves and not (isinstance(data, dict) and data.get("type") == "publish"):
        raise HoldfastError("bad_json", "a text holds half of a surrogate pair")  # only appends are joined
    if isinstance(data, dict) and isinstance(data.get("type"), str):
        return data  # with numbers beyond 64 bits, if any: each field is refused by its own code
    if excess:
        raise HoldfastError("bad_json", "a number needs more than 64 bits")
    raise HoldfastError("bad_frame", "a frame is an object with a `type`")


def about(data: JsonObject) -> FrameReference:
    """Return the names by which an error refers to this frame, as far as it has them.

    The `id` of a published batch is its message's.
    """
    reference: FrameReference = {}
    session, id, sequence = data.get("session"), data.get("id", data.get("message")), data.get("sequence")
    if isinstance(session, str) and len(session) <= NAME:
        reference["session"] = mend(session)
    if isinstance(id, str) and len(id) <= NAME:
        reference["id"] = mend(id)
    if isinstance(sequence, int) and _is_whole(sequence, MAX_LENGTH):
        reference["sequence"] = sequence
    return reference


def read(data: JsonObject) -> ClientFrame:
    """Check a client's frame against the table. Raises bad_frame, unknown_type or the field's own error."""
    kind = str(data["type"])
    if kind not in CLIENT_FRAMES:
        raise HoldfastError("unknown_type", f"the server takes {', '.join(CLIENT_FRAMES)}")
    required, optional = CLIENT_FRAMES[kind]
    missing = required.keys() - data.keys()
    if missing:
        raise HoldfastError("bad_frame", f"`{kind}` needs {', '.join(sorted(missing))}")
    fields = {name: read(data[name]) for name, read in required.items()}
    for name, read in optional.items():
        if data.get(name) is not None:  # null is the same as absent
            fields[name] = read(data[name])
    return ClientFrame(kind, **fields)


def encode(frame: ServerFrame) -> str:
    """Return a server frame as it is sent."""
    return orjson.dumps(frame).decode()


def event_text(*, serial: int, uid: str, chunk: str, begins: str = "") -> str:
    """Encode an event from its chunk's JSON. `uid` needs no escapes (MESSAGE_UID). `begins`: see `beginning`."""
    return f'{{"serial":{serial},"message":"{uid}",{begins}"chunk":{chunk}}}'


def beginning(event: MessageEvent) -> str:
    """Encode the fields of an event that only those have which create a message."""
    fields = {name: event[name] for name in ("at", "parent", "continues", "replaces") if name in event}
    return f"{orjson.dumps(fields).decode()[1:-1]},"


def signal_event(*, serial: int, record: SignalRecord) -> str:
    """Encode an event with a signal's new record."""
    return f'{{"serial":{serial},"signal":{orjson.dumps(record).decode()}}}'


def events(*, session: str, epoch: str, first: int, last: int, texts: Iterable[str]) -> Frame:
    """Build one session's `events` frame of one commit from its events' JSON."""
    text = f'{{"type":"events","session":"{session}","cursor":"{epoch}-{last}","events":[{",".join(texts)}]}}'
    return Frame(session, epoch, first, last, text, size(text))


def size(text: str) -> int:
    """Return the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def cursor_of(text: str) -> str:
    """Return the cursor that a client holds after an encoded server frame; empty for a frame without one."""
    match = _WITH_CURSOR.match(text)
    return match[1] if match else ""


def heartbeat(tails: dict[str, str]) -> str:
    return encode({"type": "heartbeat", "tails": tails})


def going_away(reconnect_in_ms: int) -> str:
    return encode({"type": "going-away", "reconnect_in_ms": reconnect_in_ms})


def authenticated(expires_at: int) -> str:
    return encode({"type": "authenticated", "expires_at": expires_at})


def error(problem: HoldfastError, *, session: str = "", id: str = "", sequence: int = 0) -> str:
    """Build an `error` frame; `session`, `id` and `sequence` name the frame that it answers."""
    body = problem.as_dict()
    frame: ErrorFrame = {
        "type": "error",
        "code": body["code"],
        "message": body["message"],
        "retryable": body["retryable"],
    }
    if problem.retry_after_s:
        frame["retry_after_ms"] = math.ceil(problem.retry_after_s * 1000)
    if session:
        frame["session"] = session
    if id:
        frame["id"] = id
    if sequence:
        frame["sequence"] = sequence
    return encode(frame)


def published(frame: ClientFrame, serial: int) -> str:
    return encode(
        {
            "type": "published",
            "session": frame.session,
            "message": frame.message,
            "sequence": frame.sequence,
            "serial": serial,
        }
    )


def detached(session: str, problem: HoldfastError) -> str:
    return encode({"type": "detached", "session": session, "error": problem.as_dict()})


def receipt(session: str, id: str, *, serial: int) -> str:
    return encode({"type": "receipt", "session": session, "id": id, "status": "accepted", "serial": serial})


def rejection(session: str, id: str, problem: HoldfastError) -> str:
    """Build the receipt of a rejected signal. If the problem is retryable, the client sends the signal again."""
    return encode({"type": "receipt", "session": session, "id": id, "status": "rejected", "error": problem.as_dict()})
