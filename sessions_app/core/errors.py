"""Error codes: one table of messages, close codes, HTTP statuses, and whose fault each error is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sessions_app.core.wire_types import ErrorBody


class Fault(Enum):
    """The side that has to change something before a retry can succeed."""

    CLIENT = "client"
    PUBLISHER = "publisher"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table.

    `close_code` closes the WebSocket that the error ends; None if it stays open. It is 4000 + the HTTP status, since
    Daphne can send only 1000 and 3000-4999. `retryable`: the same may succeed later, unchanged.
    """

    message: str
    close_code: int | None
    status: int
    retryable: bool
    fault: Fault

    def explain(self, detail: str) -> str:
        """Return the message with a detail: "Too many requests: at most 9 a second. Slow down"."""
        problem, stop, advice = self.message.partition(". ")
        return f"{problem}: {detail}{stop}{advice}" if detail else self.message


def _client(status: int, message: str, *, close: bool = False, retryable: bool = False) -> ErrorKind:
    return ErrorKind(message, 4000 + status if close else None, status, retryable, Fault.CLIENT)


def _publisher(status: int, message: str) -> ErrorKind:
    return ErrorKind(message, None, status, False, Fault.PUBLISHER)


def _server(status: int, message: str, *, close: bool = False) -> ErrorKind:
    return ErrorKind(message, 4000 + status if close else None, status, True, Fault.SERVER)


ERRORS: dict[str, ErrorKind] = {
    # Frames and requests
    "bad_json": _client(400, "Invalid JSON. Send one JSON object"),
    "bad_frame": _client(400, "The frame is malformed"),
    "unknown_type": _client(400, "Unknown frame type"),
    "frame_too_large": _client(413, "The frame is too large", close=True),
    # Access
    "signed_out": _client(401, "You are signed out. Sign in again", close=True),
    "bad_token": _client(401, "The token is invalid", close=True),
    "token_expired": _client(401, "The token has expired or was revoked. Get a new one", close=True),
    "forbidden_scope": _client(403, "A required scope is missing"),
    "forbidden_agent": _client(403, "This token can't work as that agent"),
    "forbidden_origin": _client(403, "Pages of this origin may not use this site's cookies", close=True),
    "upgrade_required": _client(426, "Only WebSockets open here. The request has no Upgrade header"),
    "not_found": _client(404, "Session not found, or it isn't yours"),
    "too_many_connections": _client(429, "Too many open connections. Close some", close=True, retryable=True),
    "too_many_requests": _client(429, "Too many open requests on this connection. Let some end", retryable=True),
    "read_limit": _client(429, "You have been answered too much in a short time. Ask again later", retryable=True),
    "rate_limited": _client(429, "Too many requests. Slow down", close=True, retryable=True),
    # Attaching to a session
    "bad_session_id": _client(400, "Invalid session id"),
    "bad_cursor": _client(400, "Invalid cursor. Send one as it was received, or none"),
    "not_attached": _client(409, "This connection isn't attached to the session. Attach first"),
    "too_many_sessions": _client(429, "This connection is attached to too many sessions. Detach from some"),
    "expired": _client(410, "The session has expired"),
    "reset": _client(410, "The cursor can't be resumed. Take the new state"),
    "slow_reader": _client(408, "The reader was too slow for too long. Connect again", close=True, retryable=True),
    # Signals
    "bad_signal": _client(400, "The signal is malformed"),
    "unknown_kind": _client(400, "Unknown signal kind"),
    "message_too_large": _client(413, "The message is too large"),
    "storage_full": _client(409, "You have stored as much as you may. Delete conversations you no longer need"),
    "too_many_waiting": _client(429, "Too many of your messages wait for an agent. Try again later", retryable=True),
    "busy": _client(409, "An agent is at work in this session. Wait until it has finished, or stop it"),
    "nothing_to_stop": _client(409, "No agent is at work on this. It had already ended"),
    "no_such_approval": _client(404, "Approval not found"),
    "already_decided": _client(409, "This was already decided"),
    "approval_expired": _client(410, "The approval has expired"),
    "input_mismatch": _client(409, "The approval is for other arguments. Look at them again"),
    "not_editable": _client(400, "The arguments of this call can't be edited. Approve them as they are, or deny"),
    "no_such_call": _client(404, "No agent waits for the result of this call"),
    "not_retryable": _client(409, "This can't be retried"),
    "already_retried": _client(409, "This answer was already continued or regenerated"),
    # Publishing
    "bad_chunk": _publisher(400, "The chunk is malformed"),
    "unknown_chunk": _publisher(400, "Unknown chunk type"),
    "unknown_part": _publisher(409, "The chunk is for a part that doesn't exist or isn't open"),
    "no_such_message": _publisher(404, "The message hasn't begun. Send its start first"),
    "message_exists": _publisher(409, "A message with this id has already begun"),
    "message_ended": _publisher(409, "The message has ended. Nothing may follow"),
    "response_too_large": _publisher(413, "The response is too large"),
    "out_of_order": _publisher(409, "An earlier batch is missing"),
    "unstorable": _publisher(422, "The database can't hold this"),
    "conflict": _client(409, "This id was used before, with other content"),
    "fenced": _publisher(409, "Another worker has ended this message. Stop publishing it"),
    # Server
    "storage_unavailable": _server(503, "The database is unavailable. Nothing was changed"),
    "keys_unavailable": _server(503, "The identity provider's keys are unavailable. Try again"),
    "going_away": _server(503, "This server is stopping. Connect again", close=True),
    "internal": _server(500, "Internal error. The server's log has the details", close=True),
}


class HoldfastError(Exception):
    """A failure with a code of `ERRORS`. `detail` follows the problem in its message, before the advice.

    `retry_after_s`: the time after which it may succeed, if that is known, otherwise 0: in error frames and the header
    Retry-After.
    """

    def __init__(self, code: str, detail: str = "", *, retry_after_s: float = 0.0) -> None:
        self.code = code
        self.retry_after_s = retry_after_s
        self.kind = ERRORS[code]
        self.message = self.kind.explain(detail)
        super().__init__(code, self.message)

    @classmethod
    def stored(cls, code: str, message: str) -> HoldfastError:
        """Return a failure that was stored with this code and message."""
        problem = cls(code)
        problem.message = message
        problem.args = (code, message)  # what a traceback shows
        return problem

    def as_dict(self) -> ErrorBody:
        """Return it as error frames, receipts and HTTP bodies carry it."""
        return {"code": self.code, "message": self.message, "retryable": self.kind.retryable}
