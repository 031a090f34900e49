"""Catch-up: the reply to an attach. Plans it, reads the database and builds the `attached` frame."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import NamedTuple

import orjson

from sessions_app import conf
from sessions_app.core import fold, frames, plan, snapshot
from sessions_app.core.cursor import Cursor
from sessions_app.core.plan import Position, Resume, Rewind
from sessions_app.core.wire_types import AttachedFrame, Patch
from sessions_app.event_log import queries
from sessions_app.telemetry import metrics

AHEAD_EVERY_S = 60.0  # between two log lines; the metric `holdfast_catchups_total` counts every one

logger = logging.getLogger(__name__)
_ahead_logged_at = -AHEAD_EVERY_S


class CatchUp(NamedTuple):
    """An encoded `attached` frame and its position."""

    epoch: str
    serial: int
    text: str


def read(
    session: str,
    owner: str,
    *,
    cursor: Cursor | None,
    rewind: int | None = None,
    held: frames.Held | None = None,
    with_replaced: bool = False,
) -> AttachedFrame:
    """Return the `attached` frame (PROTOCOL.md §5) that brings a client from `cursor` to the tail.

    Raises not_found and expired, like `queries.readable`.
    """
    rewound = partial(_rewound, session, owner, rewind, with_replaced)
    if cursor is None:
        return rewound(reason=None)
    limit = conf.settings.history_max
    view = queries.view(session, owner, changed_after=cursor.serial, limit=limit, with_replaced=with_replaced)
    decided = plan.plan(view.position, cursor)
    if isinstance(decided, Rewind):
        if decided.reason == "ahead":
            _log_ahead(session, cursor, view.position)
        return rewound(reason=decided.reason)
    if view.more:
        return rewound(reason="too-far")
    patches = [_patch(message, decided.after, held) for message in view.messages]
    if len(patches) > 1 and view.signal_bytes + sum(map(_size, patches)) > conf.settings.snapshot_bytes:
        return rewound(reason="too-far")
    return _attached(session, view, patches, decided)


def _log_ahead(session: str, cursor: Cursor, position: Position) -> None:
    """Log a client that is ahead, at most once in AHEAD_EVERY_S. Its cursor may be made up, and changes nothing."""
    global _ahead_logged_at
    now = time.monotonic()
    if now - _ahead_logged_at >= AHEAD_EVERY_S:
        _ahead_logged_at = now
        logger.warning(
            "a client has seen %d events more than session %s has, and was reset. If the database was restored from a"
            " backup, stop all processes and run `manage.py new_epoch --all`; else its cursor is made up",
            cursor.serial - position.tail, session,
        )  # fmt: skip


def read_encoded(
    session: str,
    owner: str,
    *,
    cursor: Cursor | None,
    rewind: int | None = None,
    held: frames.Held | None = None,
    with_replaced: bool = False,
) -> CatchUp:
    """Run `read` and encode its frame, all in the database thread."""
    frame = read(session, owner, cursor=cursor, rewind=rewind, held=held, with_replaced=with_replaced)
    epoch, serial = Cursor.parse(frame["cursor"])
    text = frames.encode(frame)
    metrics.caught_up(resumed=frame["resumed"], reason=frame["reason"], size=frames.size(text))
    return CatchUp(epoch, serial, text)


def _patch(message: fold.MessageState, after: int, held: frames.Held | None) -> Patch:
    """Return the changes of a message.

    If a message was streaming at the cursor and the client doesn't list it, the client doesn't have it: it is older
    than the client's rewind. Such a message is sent whole, unless it was replaced: the client skips it.
    """
    if held is not None and not message.replaced_by and message.first_serial <= after and message.id not in held:
        return snapshot.patch(message, after=0, held=None)
    return snapshot.patch(message, after=after, held=held.get(message.id) if held else None)


def _rewound(session: str, owner: str, rewind: int | None, with_replaced: bool, *, reason: str | None) -> AttachedFrame:
    limit = conf.settings.history_default if rewind is None else min(rewind, conf.settings.history_max)
    view = queries.view(session, owner, changed_after=None, limit=limit, with_replaced=with_replaced)
    patches = [snapshot.patch(message, after=0, held=None) for message in view.messages]
    return _attached(session, view, patches, Rewind(reason))


def _attached(session: str, view: queries.View, patches: list[Patch], decided: Resume | Rewind) -> AttachedFrame:
    position: Position = view.position
    return {
        "type": "attached",
        "session": session,
        "cursor": str(position.cursor),
        "resumed": isinstance(decided, Resume),
        "reason": decided.reason if isinstance(decided, Rewind) else None,
        "older": isinstance(decided, Rewind) and view.more,
        "title": view.title,
        "messages": patches,
        "replaced": view.replaced,
        "signals": view.signals,
    }


def _size(patch: Patch) -> int:
    return len(orjson.dumps(patch["parts"]))
