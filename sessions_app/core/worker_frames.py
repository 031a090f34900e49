"""Frames to workers elsewhere (PROTOCOL.md §16)."""

from __future__ import annotations

from sessions_app.core.frames import ClientFrame, encode
from sessions_app.core.signals import AgentSignal
from sessions_app.core.wire_types import RunFrame, ToldSignal, WireMessage


def answer(request: ClientFrame, result: object) -> str:
    """Build the answer to a request."""
    return encode({"type": "answer", "id": request.id, "result": result})


def run(
    *,
    session: str,
    run: str,
    agent: str,
    message: str,
    mode: str,
    messages: list[WireMessage],
    older: bool,
    traceparent: str,
) -> str:
    """Build the frame that gives a worker a run, with the newest page of its history."""
    given: RunFrame = {
        "type": "run",
        "session": session,
        "run": run,
        "agent": agent,
        "message": message,
        "mode": mode,
        "messages": messages,
        "older": older,
    }
    if traceparent:
        given["traceparent"] = traceparent
    return encode(given)


def inbox(session: str, run: str, signal: AgentSignal) -> str:
    """Build the frame with a signal for a run's agent."""
    told: ToldSignal = {
        "id": signal.id, "kind": signal.kind, "actor": signal.actor, "target": signal.target, "payload": signal.payload,
    }  # fmt: skip
    if signal.issued_by:
        told["issued_by"] = signal.issued_by
    return encode({"type": "inbox", "session": session, "run": run, "signal": told})


def stop(session: str, run: str, *, cancelled: bool) -> str:
    """Build the frame that ends a run at its worker: it is to stop, or it has been ended."""
    return encode({"type": "stop", "session": session, "run": run, "reason": "cancelled" if cancelled else "ended"})


def expired(session: str, run: str, approval: str) -> str:
    """Build the frame for an approval that can't be decided any more."""
    return encode({"type": "expired", "session": session, "run": run, "approval": approval})
