"""Staged writes: rows that a transaction is to write, collected so that one statement writes all of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sessions_app import conf, models
from sessions_app.core import fold
from sessions_app.event_log import queries, sql
from sessions_app.event_log.commands import Append
from sessions_app.event_log.open_messages import OpenMessage
from sessions_app.event_log.sql import Key

CONFLATED = 16  # messages that a transaction conflates before they have ended; the others wait for the next ones
TITLE_LENGTH = 60  # characters of a first message that become its session's title


class StagedMessages:
    """New message rows, message rows to conflate, and journal entries.

    `written`: the messages whose rows the transaction has written. `last_id`: of the journal's rows, as far as this
    transaction sees. `heads`: the journal's last row of each session, to which the next one is linked.
    """

    def __init__(self, last_id: int, heads: dict[str, int]) -> None:
        self.written: set[Key] = set()
        self.heads = heads
        self._last_id = last_id
        self._grown: Counter[str] = Counter()  # bytes by session, since `take_growth`
        self._new: dict[Key, OpenMessage] = {}
        self._conflated: dict[Key, OpenMessage] = {}
        self._journal: list[tuple[str, int, int, str]] = []  # session, the message's key, serial, event
        self._replaced: list[tuple[str, list[str], fold.MessageState]] = []

    def new(self, key: Key) -> OpenMessage | None:
        """Return a message whose row is not written yet."""
        return self._new.get(key)

    def add(self, key: Key, opened: OpenMessage, events: Sequence[tuple[int, str]]) -> None:
        """Stage a message's new events, each a serial and its JSON: as its row, or as journal entries."""
        opened.journal_events += len(events)
        if opened.is_new:
            opened.is_new = False
            self._new[key] = opened
        if key in self._new:
            opened.journal_events = 0  # its row is written with these in it
        elif fold.ended(opened.message) or key in self._conflated or self._is_due(opened):
            opened.journal_events = 0
            self._conflated[key] = opened
        else:
            self._journal += [(key[0], opened.key, serial, text) for serial, text in events]

    def replace(self, session: str, uids: list[str], message: fold.MessageState, now: datetime) -> None:
        """Stage that a message takes the place of others. All that is staged of them must be written.

        What the journal has of them is folded: until now a row's last serial tells how far, and then it won't.
        """
        streaming = filter(None, (queries.keyed_message(session, uid, is_streaming=True) for uid in uids))
        sql.conflate([(key, replaced) for key, _, replaced in streaming], now)
        self._replaced.append((session, uids, message))

    def _is_due(self, opened: OpenMessage) -> bool:
        # Responses that began together are due together: a commit that conflates them all would delay all others.
        return opened.journal_events >= conf.settings.journal_events and len(self._conflated) < CONFLATED

    def write(self, now: datetime) -> bool:
        """Write what is staged; return whether anything was."""
        if not (self._new or self._conflated or self._journal):
            return False
        rows = sql.insert_messages([(key, opened.message) for key, opened in self._new.items()], now)
        self._note(self._new, rows)
        conflated = {opened.key: opened.message for opened in self._conflated.values()}
        self._note(self._conflated, sql.conflate(list(conflated.items()), now))
        sql.insert_journal(self._link([entry for entry in self._journal if entry[1] not in conflated]))
        sql.replace(self._replaced)
        self.written |= self._conflated.keys() | self._new.keys()
        self._new.clear()
        self._conflated.clear()
        self._journal.clear()
        self._replaced.clear()
        return True

    def _link(self, entries: list[tuple[str, int, int, str]]) -> list[sql.JournalRow]:
        """Number the entries, and link each to the one before it in its session."""
        rows = []
        for session, message, serial, event in entries:
            self._last_id += 1
            rows.append((self._last_id, message, serial, event, self.heads[session]))
            self.heads[session] = self._last_id
        return rows

    def take_growth(self) -> dict[str, int]:
        """Return by how many bytes each session has grown since the last call."""
        grown, self._grown = self._grown, Counter()
        return grown

    def _note(self, staged: dict[Key, OpenMessage], rows: Sequence[sql.Written]) -> None:
        for (key, opened), row in zip(staged.items(), rows, strict=True):
            self._grown[key[0]] += row.size - opened.stored
            opened.key, opened.stored = row


class StagedActivity:
    """Changes that the beginnings and ends of messages make in their sessions' and runs' rows."""

    def __init__(self) -> None:
        self._sessions: set[str] = set()
        self._titles: dict[str, str] = {}
        self._started: list[models.Run] = []
        self._ended: set[str] = set()

    def add_beginning(self, append: Append, message: fold.MessageState) -> None:
        self._sessions.add(append.session)
        if append.starts is not None:
            self._started.append(append.starts)
        if message.role == "user":
            self._titles[append.session] = _title(message)

    def add_end(self, append: Append) -> None:
        self._sessions.add(append.session)
        if append.run:
            self._ended.add(append.run)

    def write(self, now: datetime) -> None:
        sql.note_activity(self._sessions, self._titles, now)
        sql.note_runs(self._started, self._ended)
        self._sessions.clear()
        self._titles.clear()
        self._started.clear()
        self._ended.clear()


def _title(message: fold.MessageState) -> str:
    text = " ".join(" ".join(part.get("text", "") for part in message.parts).replace("\0", "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"
