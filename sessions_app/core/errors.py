"""Every error that Holdfast names, in one table: what to say, how to close, whose fault it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Who has to change something before a retry can succeed."""

    CLIENT = "client"
    PUBLISHER = "publisher"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table.

    `close_code` closes the WebSocket that the error ends; None where it stays open. It is 4000 + the HTTP
    status, since Daphne can send only 1000 and 3000-4999. `retryable`: the same may succeed later, unchanged.
    """

    message: str
    close_code: int | None
    status: int
    retryable: bool
    fault: Fault


def _client(status: int, message: str, *, close: bool = False, retryable: bool = False) -> ErrorKind:
    return ErrorKind(message, 4000 + status if close else None, status, retryable, Fault.CLIENT)


def _publisher(status: int, message: str) -> ErrorKind:
    return ErrorKind(message, None, status, False, Fault.PUBLISHER)


def _server(status: int, message: str, *, close: bool = False) -> ErrorKind:
    return ErrorKind(message, 4000 + status if close else None, status, True, Fault.SERVER)


ERRORS: dict[str, ErrorKind] = {
    # Frames and requests
    "bad_json": _client(400, "That isn't JSON: send one JSON object"),
    "bad_frame": _client(400, "The frame is malformed"),
    "unknown_type": _client(400, "No frame has this type"),
    "frame_too_large": _client(413, "The frame is too large", close=True),
    # Doors
    "signed_out": _client(401, "You are signed out: sign in again", close=True),
    "bad_token": _client(401, "The token can't be taken", close=True),
    "token_expired": _client(401, "The token has expired or was revoked: get a fresh one", close=True),
    "forbidden_scope": _client(403, "You lack a scope that this needs"),
    "forbidden_origin": _client(403, "Pages of this origin may not connect here", close=True),
    "upgrade_required": _client(426, "A WebSocket opens here, and this request's Upgrade is missing or got lost"),
    "not_found": _client(404, "There is no such session, or it isn't yours"),
    "too_many_connections": _client(429, "Too many connections are open: close some", close=True, retryable=True),
    "rate_limited": _client(429, "That is too much at once: slow down", close=True, retryable=True),
    # Following a session
    "bad_session_id": _client(400, "That isn't a session's id"),
    "bad_cursor": _client(400, "That isn't a cursor: send one as it was received, or none"),
    "not_attached": _client(409, "This connection doesn't follow that session: attach first"),
    "too_many_sessions": _client(429, "This connection follows too many sessions: detach from some"),
    "expired": _client(410, "The session has expired"),
    "reset": _client(410, "The cursor can't be continued: take the fresh state"),
    "slow_reader": _client(408, "The reader was too slow for too long: connect again", close=True, retryable=True),
    # Signals
    "bad_signal": _client(400, "The signal is malformed"),
    "unknown_kind": _client(400, "No signal has this kind"),
    "message_too_large": _client(413, "The message is too large"),
    "busy": _client(409, "An agent is at work here: wait until it has finished, or stop it"),
    "nothing_to_stop": _client(409, "No agent is at work on that: it had ended already"),
    "no_such_approval": _client(404, "No tool call asks for this approval"),
    "already_decided": _client(409, "That was decided already"),
    "approval_expired": _client(410, "Nobody decided in time: the approval has expired"),
    "input_mismatch": _client(409, "The approval is about other arguments: look at them again"),
    "not_editable": _client(400, "The arguments of this call can't be changed: approve them as they are, or deny"),
    "no_such_call": _client(404, "No agent waits for the result of this call"),
    "not_retryable": _client(409, "That can't be tried again"),
    # Publishing
    "bad_chunk": _publisher(400, "The chunk is malformed"),
    "unknown_chunk": _publisher(400, "No chunk has this type"),
    "unknown_part": _publisher(409, "The chunk is about a part that isn't there or isn't open"),
    "no_such_message": _publisher(404, "The message hasn't begun: send its start first"),
    "message_exists": _publisher(409, "A message with this id has already begun"),
    "message_ended": _publisher(409, "The message has ended: nothing may follow"),
    "response_too_large": _publisher(413, "The response is too large"),
    "out_of_order": _publisher(409, "A batch before this one is missing"),
    "fenced": _publisher(409, "Another worker has ended this message: stop publishing it"),
    # The server's own
    "storage_unavailable": _server(503, "The database is out of order: nothing was changed"),
    "going_away": _server(503, "This server is stopping: connect again", close=True),
    "internal": _server(500, "The server failed: the fault is in its log", close=True),
}


class HoldfastError(Exception):
    """A failure with a code of `ERRORS`; `detail` says where and what."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.kind = ERRORS[code]
        self.message = f"{self.kind.message}: {detail}" if detail else self.kind.message
        super().__init__(code, self.message)

    @classmethod
    def stored(cls, code: str, message: str) -> HoldfastError:
        """The failure that was stored with this code and message."""
        problem = cls(code)
        problem.message = message
        return problem

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "retryable"}`, as error frames, receipts and HTTP bodies carry it."""
        return {"code": self.code, "message": self.message, "retryable": self.kind.retryable}
