"""Pages of the history that a worker is told, bounded in messages and bytes."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from sessions_app import conf
from sessions_app.core import worker_frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import MessageState
from sessions_app.core.frames import ClientFrame
from sessions_app.core.message import to_wire
from sessions_app.core.tokens import Grant
from sessions_app.core.wire_types import WireMessage
from sessions_app.models import Run
from sessions_app.runs import history

FIRST = 50  # messages that come with the run


class Page(NamedTuple):
    """Messages, oldest first. `older`: the history has more before them."""

    messages: list[WireMessage]
    older: bool


def run_frame(run: Run, traceparent: str) -> str:
    """Return the frame that gives a worker a run. Reads the database."""
    page = _page(run, history.of_run(run, limit=FIRST))
    return worker_frames.run(
        session=run.session_id,
        run=run.pk,
        agent=run.agent,
        message=run.uid,
        mode=run.mode,
        messages=page.messages,
        older=page.older,
        traceparent=traceparent,
    )


def asked_for(worker: str, grant: Grant, frame: ClientFrame) -> Page:
    """Return a page of the history of a run that a worker holds. Raises not_found, if it doesn't."""
    run = Run.objects.running().filter(pk=frame.run, session=frame.session, worker=worker).first()
    if run is None or not grant.names(run.agent):
        raise HoldfastError("not_found")
    limit = min(frame.limit or FIRST, conf.settings.history_max)
    found = history.earlier(run, before=frame.before, limit=limit) if frame.before else history.of_run(run, limit=limit)
    return _page(run, found)


def _page(run: Run, found: list[MessageState]) -> Page:
    """Return the newest messages that fit into SNAPSHOT_BYTES, and the newest one in any case."""
    kept: list[WireMessage] = []
    room = conf.settings.snapshot_bytes
    for message in reversed(found):
        wire = to_wire(message)
        room -= len(orjson.dumps(wire))
        if kept and room < 0:
            break
        kept.append(wire)
    kept.reverse()
    return Page(kept, len(kept) < len(found) or (bool(found) and history.has_earlier(run, found[0])))
