"""The messages that this process is writing, in memory: their folds are ahead of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from sessions_app import conf
from sessions_app.core import fold
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.event_log.sql import Key


@dataclass(slots=True)
class OpenMessage:
    """A message that this process is writing: its fold, and how much of it is in the journal only."""

    message: fold.Message
    key: int  # of its row; 0 while it has none
    is_new: bool  # has no row yet
    size: int = 0  # bytes of all its events
    journal_events: int = 0
    shared: bool = False  # of a producer elsewhere, who may have gone on at another process


class OpenMessages:
    """The messages that this process is writing."""

    def __init__(self) -> None:
        self.open: dict[Key, OpenMessage] = {}

    def forget(self, keys: Iterable[Key]) -> None:
        """Read them anew when they are needed."""
        for key in keys:
            self.open.pop(key, None)


def load(key: Key) -> OpenMessage:
    found = queries.keyed_message(*key)
    if found is None:
        raise HoldfastError("no_such_message")
    row, message = found
    # Its size and journal are bounded again from here: they are limits, not accounts.
    size = len(orjson.dumps(message.parts))
    return OpenMessage(message, row, is_new=False, size=size, journal_events=conf.settings.journal_events)
