"""What people send into a session: checked, authorised, stored with the run that answers it, receipted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from sessions_app import conf, executor, models, store
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import scope_of
from sessions_app.identity import Identity

if TYPE_CHECKING:
    from sessions_app.process import Process

MOST_PARTS = 16  # in one person's message


async def accept(
    process: Process, who: Identity, frame: ClientFrame, *, now: float
) -> tuple[str, HoldfastError | None]:
    """Store a signal; return its receipt's frame, and what rejected it. A repeated id gets the first time's receipt."""
    try:
        who.check(scope_of(frame.kind), frame.session)
        serial = await _message(process, who.owner, frame, now=now)
    except HoldfastError as error:
        problem = error
    except DatabaseError:
        problem = HoldfastError("storage_unavailable")
    else:
        return frames.receipt(frame.session, frame.id, serial=serial), None
    return frames.rejection(frame.session, frame.id, problem), problem


async def _message(process: Process, owner: str, frame: ClientFrame, *, now: float) -> int:
    if frame.kind != "message":
        raise HoldfastError("unknown_kind", "This server knows: message.")
    parts = _text_parts(frame.payload or {})
    session = await executor.run(store.readable, frame.session, owner)
    if not process.may_signal(owner, now):
        raise HoldfastError("rate_limited", f"at most {conf.SIGNALS_PER_MINUTE} messages a minute")
    stored = await process.ingest.append(
        session=session.id,
        uid=frame.id,
        chunks=[{"type": "message", "role": "user", "parts": parts}],
        starts=models.Run(session_id=session.id, agent=session.agent, prompt=frame.id) if session.agent else None,
    )
    if session.agent and not stored.repeated:
        process.run_waits()
    return stored.serial


def _text_parts(payload: dict[str, Any]) -> list[dict[str, str]]:
    """Return the payload's parts, of which only the text is taken. Raises bad_signal and message_too_large."""
    parts = payload.get("parts")
    if not isinstance(parts, list) or not 0 < len(parts) <= MOST_PARTS:
        raise HoldfastError("bad_signal", f"A message has 1 to {MOST_PARTS} `parts`.")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    checked = [text for text in texts if isinstance(text, str)]
    if len(checked) < len(parts) or not any(text.strip() for text in checked):
        raise HoldfastError("bad_signal", 'A message\'s parts are `{"type": "text", "text"}`, not all blank.')
    if sum(map(frames.size, checked)) > conf.MESSAGE_BYTES:
        raise HoldfastError("message_too_large", f"A person's message has at most {conf.MESSAGE_BYTES} bytes.")
    return [{"type": "text", "text": text} for text in checked]
