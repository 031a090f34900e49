"""Open messages: the messages that this process is writing, folded in memory ahead of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import orjson

from sessions_app import conf
from sessions_app.core import fold, frames, vocabulary
from sessions_app.core.branches import Standing
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import Chunk, MessageEvent
from sessions_app.event_log import queries
from sessions_app.event_log.moments import milliseconds
from sessions_app.event_log.sql import Key


@dataclass(slots=True)
class OpenMessage:
    """A message that this process is writing: its fold, and how much of it is in the journal only."""

    message: fold.MessageState
    key: int  # of its row; 0 until that is written
    is_new: bool  # not staged yet
    stored: int = 0  # bytes of the parts in its row
    size: int = 0  # bytes of all its events
    journal_events: int = 0
    shared: bool = False  # of a remote producer, which may have continued at another process


class OpenMessages:
    """The messages that this process is writing, by session and uid."""

    def __init__(self) -> None:
        self.open: dict[Key, OpenMessage] = {}

    def load(self, key: Key) -> OpenMessage:
        """Read a message from the database. Raises no_such_message."""
        found = queries.keyed_message(*key)
        if found is None:
            raise HoldfastError("no_such_message")
        row, stored, message = found
        # Its size and journal are bounded again from here: they are limits, not accounts.
        size = len(orjson.dumps([message.parts, message.metadata]))
        opened = self.open[key] = OpenMessage(
            message, row, is_new=False, stored=stored, size=size, journal_events=conf.settings.journal_events
        )
        return opened

    def apply(self, opened: OpenMessage, uid: str, serial: int, chunk: Chunk) -> str:
        """Apply one chunk to an open message; return the event's JSON. Raises HoldfastError, with nothing changed."""
        json = orjson.dumps(chunk).decode()
        most = conf.settings.response_bytes
        if opened.size + len(json) > most and chunk["type"] not in vocabulary.ENDS:
            raise HoldfastError("response_too_large", f"a response has at most {most} bytes")
        fold.apply(opened.message, serial, chunk)
        opened.size += len(json)
        return frames.event_text(serial=serial, uid=uid, chunk=json)

    def begin(self, key: Key, serial: int, chunk: Chunk, now: datetime, standing: Standing) -> tuple[OpenMessage, str]:
        """Open a new message with its first chunk; return it and the event's JSON. Raises HoldfastError likewise."""
        uid = key[1]
        json = orjson.dumps(chunk).decode()
        if not frames.MESSAGE_UID.match(uid):
            raise HoldfastError("bad_chunk", "a message's id is 1 to 64 characters of A-Z a-z 0-9 _ . : -")
        event: MessageEvent = {
            "serial": serial, "message": uid, "at": milliseconds(now), "parent": standing.parent, "chunk": chunk,
        }  # fmt: skip
        if standing.continues is not None:
            event["continues"] = standing.continues
        if standing.replaces:
            event["replaces"] = standing.replaces
        opened = self.open[key] = OpenMessage(fold.begin(event), key=0, is_new=True, size=len(json))
        return opened, frames.event_text(serial=serial, uid=uid, chunk=json, begins=frames.beginning(event))

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop messages from memory; they are read from the database when they are needed again."""
        for key in keys:
            self.open.pop(key, None)

    def forget_sessions(self, sessions: set[str]) -> None:
        """Drop all messages of these sessions."""
        self.forget([key for key in self.open if key[0] in sessions])
