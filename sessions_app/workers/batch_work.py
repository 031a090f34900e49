"""Batch work: what chunks of a run elsewhere mean for its signals and approvals, as a local agent's backend tells it.

A worker writes chunks alone. What they settle is done in the transaction that stores them, and what they claim about
people's decisions is written as the site knows it: by its own clock, and with the actor that has decided.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import orjson
from django.utils import timezone

from sessions_app.core import json_text, signals
from sessions_app.core.branches import Place
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import SIGNAL_ID
from sessions_app.core.text import without_nul
from sessions_app.core.wire_types import Chunk, JsonObject
from sessions_app.event_log.commands import Also
from sessions_app.event_log.moments import milliseconds
from sessions_app.models import Approval, Signal
from sessions_app.runs import calls

MOST_EXPIRES_MS = 10 * 365 * 86_400_000  # ten years


class ClaimedRun(NamedTuple):
    """What stays of a run that workers claim: where its response stands."""

    run: str
    session: str
    uid: str
    place: Place | None
    agent: str
    claimed_at: datetime | None


class Meant(NamedTuple):
    """A chunk as it is stored, and the work for its transaction."""

    chunk: Chunk
    also: Also | None = None


def prepare(run: ClaimedRun, chunks: list[Chunk]) -> tuple[list[Chunk], list[tuple[int, Also]]]:
    """Return the chunks to store, with the work for their transaction. Reads the database; raises HoldfastError."""
    stored, work = [], []
    _check_approvals(chunks)
    for position, chunk in enumerate(chunks):
        meaning = MEANINGS.get(chunk["type"])
        meant = Meant(chunk) if meaning is None else meaning(run, chunk)
        stored.append(meant.chunk)
        if meant.also is not None:
            work.append((position, meant.also))
    return stored, work


def _check_approvals(chunks: list[Chunk]) -> None:
    """Raise bad_chunk if two requests of one batch, which the database doesn't know yet, have one id."""
    asked = [chunk["approvalId"] for chunk in chunks if chunk["type"] == "tool-approval-request"]
    if len(set(asked)) < len(asked):
        raise HoldfastError("bad_chunk", "two approvals have one `approvalId`")


def _steer(run: ClaimedRun, chunk: Chunk) -> Meant:
    """Tell what people have said, in their words, whatever the worker's are. Raises if they have not."""
    found = Signal.objects.filter(session=run.session, run=run.run, kind="steer", uid=chunk["id"]).first()
    if found is None:
        raise HoldfastError("bad_chunk", f"no steer {chunk['id'][:64]} was sent to this run")
    said = chunk.copy()
    said["parts"] = orjson.loads(found.payload)["parts"]
    return Meant(said, partial(calls.apply_steer, run.run, chunk["id"]))


def _outcome(run: ClaimedRun, chunk: Chunk) -> Meant:
    if chunk.get("preliminary"):
        return Meant(chunk)
    return Meant(chunk, partial(calls.end_call_elsewhere, run.run, chunk["toolCallId"], chunk.get("errorText")))


def _request(run: ClaimedRun, chunk: Chunk) -> Meant:
    """Ask people: the approval's row, and the chunk with the times and the hash that the site gives it."""
    approval = _approval(run, chunk)
    if any(not _is_same(approval, stored) for stored in Approval.objects.filter(session=run.session, uid=approval.uid)):
        raise HoldfastError("bad_chunk", f"approval {approval.uid} was asked for before")
    asked = chunk.copy()
    asked["approvalDescriptor"] = {
        "input_hash": approval.input_hash,
        "input_text": approval.input,
        "expires_at": None if approval.expires_at is None else milliseconds(approval.expires_at),
        "editable": approval.editable,
    }
    return Meant(asked, partial(calls.insert_approval_elsewhere, approval))


def _approval(run: ClaimedRun, chunk: Chunk) -> Approval:
    uid = chunk["approvalId"]
    if not SIGNAL_ID.match(uid):
        raise HoldfastError("bad_chunk", "`approvalId` is 8 to 64 characters of A-Z a-z 0-9 _ -")
    descriptor = chunk.get("approvalDescriptor")
    if not isinstance(descriptor, dict):
        raise HoldfastError("bad_chunk", "`approvalDescriptor` is an object with `input_text`")
    text, editable = _arguments(descriptor.get("input_text")), descriptor.get("editable", False)
    if not isinstance(editable, bool):
        raise HoldfastError("bad_chunk", "`editable` is true or false")
    expires_ms = _expires_ms(descriptor.get("expires_ms"))
    return Approval(
        session_id=run.session,
        run_id=run.run,
        uid=uid,
        call=chunk["toolCallId"],
        input=text,
        input_hash=signals.input_hash(text),
        editable=editable,
        reason=without_nul(chunk.get("reason", "")),
        expires_at=None if expires_ms is None else timezone.now() + timedelta(milliseconds=expires_ms),
    )


def _arguments(text: object) -> str:
    try:
        if isinstance(text, str) and isinstance(json_text.read(text).value, dict):
            return text
    except ValueError as error:
        raise HoldfastError("bad_chunk", f"`input_text` is not JSON: {error}") from None
    raise HoldfastError("bad_chunk", "`input_text` is the JSON text of the call's arguments, an object")


def _expires_ms(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_EXPIRES_MS):
        return value
    raise HoldfastError("bad_chunk", f"`expires_ms` is a whole number from 0 to {MOST_EXPIRES_MS}, or null")


def _is_same(approval: Approval, stored: Approval) -> bool:
    """Return whether an approval is the stored one, asked for by a repeated batch."""
    names = ("run_id", "call", "input_hash", "editable")
    return all(getattr(approval, name) == getattr(stored, name) for name in names)


def _response(run: ClaimedRun, chunk: Chunk) -> Meant:
    """Tell of a decision as it is stored: who has made it, and when. Raises if it was not made so."""
    uid = chunk["approvalId"]
    found = Approval.objects.select_related("decision").filter(run=run.run, uid=uid).first()
    if found is None:
        raise HoldfastError("bad_chunk", f"approval {uid[:64]} was not asked for")
    allowed = (Approval.Status.APPROVED,) if chunk["approved"] else (Approval.Status.DENIED, Approval.Status.EXPIRED)
    if found.status not in allowed:
        raise HoldfastError("bad_chunk", f"approval {uid} is {found.status}")
    told = chunk.copy()
    told["providerMetadata"] = {**chunk.get("providerMetadata", {}), "holdfast": _decided(found)}
    decision = found.decision_id
    return Meant(told, None if decision is None else partial(calls.apply_signal, decision))


def _decided(approval: Approval) -> JsonObject:
    decision = approval.decision
    payload = {} if decision is None else orjson.loads(decision.payload)
    decided: JsonObject = {
        "decided_by": None if decision is None else decision.actor,
        "decided_at": milliseconds(approval.decided_at or timezone.now()),
        "edited": "input" in payload,
    }
    if decision is not None and decision.issued_by:
        decided["issued_by"] = decision.issued_by
    if "input" in payload:
        decided["input_text"] = payload["input_text"]
    return decided


MEANINGS: dict[str, Callable[[ClaimedRun, Chunk], Meant]] = {
    "steering-message": _steer,
    "tool-approval-request": _request,
    "tool-approval-response": _response,
    "tool-output-available": _outcome,
    "tool-output-error": _outcome,
}


def has_meaning(chunks: list[Chunk]) -> bool:
    """Return whether any of the chunks means more than itself: then `prepare` reads the database."""
    return any(chunk["type"] in MEANINGS for chunk in chunks)
