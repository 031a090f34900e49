"""Invariants of a session after a test with faults, checked from everything that its tabs received.

Each check raises AssertionError with what is wrong. `Rows` is what the database has.
"""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from django.apps import apps

from agents_app.local.runner import FAILED
from sessions_app.core.fold import MessageState, ended
from sessions_app.core.signals import OPEN
from sessions_app.runs import lifecycle
from tests.services import Postgres
from tests.support.concurrent_user import ConcurrentUser, RetryingFollower
from tests.support.person import Frame, text_of

# Which rows of a table are a session's.
OF_A_SESSION = "session_id = ?"
OWN = {
    "session": "id = ?",
    "journalentry": "message_id IN (SELECT id FROM sessions_app_message WHERE session_id = ?)",
}

Row = dict[str, Any]
Timeline = dict[int, Frame]  # events by serial
Messages = dict[str, MessageState]


class Rows:
    """The database's rows of one session. `rows(table)` gives those that are its own."""

    def __init__(self, rows: Callable[[str], list[Row]]) -> None:
        (self.session,) = rows("session")
        self.runs = rows("run")
        self.approvals = rows("approval")
        self.messages = {row["uid"]: row for row in rows("message")}
        self.journal = rows("journalentry")
        self.signals = {row["uid"]: row for row in rows("signal")}
        self.keys = {row["id"]: row for row in self.signals.values()}


def rows_of_file(path: Path, session: str) -> Rows:
    """The rows in a SQLite file of a server's."""
    with closing(sqlite3.connect(path, timeout=40)) as store:
        store.row_factory = sqlite3.Row

        def rows(table: str) -> list[Row]:
            found = store.execute(f"SELECT * FROM sessions_app_{table} WHERE {OWN.get(table, OF_A_SESSION)}", [session])
            return [dict(row) for row in found]

        return Rows(rows)


def rows_of_postgres(postgres: Postgres, session: str) -> Rows:
    """The rows in a PostgreSQL server of the test's own."""

    def rows(table: str) -> list[Row]:
        own = OWN.get(table, OF_A_SESSION).replace("?", f"'{session}'")
        return postgres.ask(f"SELECT * FROM sessions_app_{table} WHERE {own} ORDER BY id")

    return Rows(rows)


def rows_of_models(session: str) -> Rows:
    """The rows in the database of the tests."""

    def rows(table: str) -> list[Row]:
        own = {"session": "pk", "journalentry": "message__session"}.get(table, "session")
        rows = apps.get_model("sessions_app", table)._default_manager.filter(**{own: session})
        return [dict(row) for row in rows.values()]

    return Rows(rows)


def check(person: ConcurrentUser, rows: Rows, effects: dict[str, list[str]]) -> None:
    """Check everything. `effects`: the processes in which the approved calls of all sessions ran, by what they did."""
    timeline = timeline_of(person)
    messages = person.tabs[0].sessions[person.session].messages
    check_all_has_ended(rows)
    assert not [row for row in rows.messages.values() if row["reason"] == json.dumps(FAILED)]
    check_receipts(person, rows, timeline)
    check_tabs_agree(person, rows)
    check_stops(timeline, rows)
    check_approvals(messages, rows, effects)
    check_steers(messages, rows)
    check_words(messages)
    check_writers(timeline)


def check_all_has_ended(rows: Rows) -> None:
    for run in rows.runs:
        assert run["status"] == "ended", run
        assert rows.messages[run["uid"]]["status"] != "streaming", run
    answers = [row for row in rows.messages.values() if row["role"] == "assistant"]
    assert sorted(row["uid"] for row in answers) == sorted(run["uid"] for run in rows.runs)
    folded = {row["id"]: row["last_serial"] for row in rows.messages.values()}
    assert all(row["serial"] <= folded[row["message_id"]] for row in rows.journal)


def check_receipts(person: ConcurrentUser, rows: Rows, timeline: Timeline) -> None:
    """Check that an accepted signal is stored once and has one final status, the same for every tab."""
    for id, (kind, _) in person.sent.items():
        receipts = [receipt for tab in person.tabs for receipt in tab.all_receipts.get(id, [])]
        assert receipts, f"{id} has no receipt"
        assert all(_meaning(receipt) == _meaning(receipts[0]) for receipt in receipts), receipts
        row = rows.signals.get(id)
        if receipts[0]["status"] == "accepted":
            assert row, f"{id} was accepted and isn't stored"
            assert (row["kind"], row["serial"]) == (kind, receipts[0]["serial"])
    for id, row in rows.signals.items():
        assert row["status"] not in OPEN, row
        for tab in person.tabs:
            record = tab.sessions[person.session].signals.get(id)
            assert record, f"{id} is unknown to a tab"
            known = record["status"], record["code"] or "", record["reason"] or "", record["message"] or ""
            assert known == (row["status"], row["code"], row["reason"], row["message"]), (record, row)
    for tab in person.tabs:
        _check_statuses(_records_by_signal(tab, person.session))
        _check_against_timeline(tab, person.session, timeline)


def _meaning(receipt: Frame) -> Any:
    # Who decided is "you" to some and a name to others.
    return receipt["status"], receipt.get("serial"), receipt.get("error", {}).get("code")


def _records_by_signal(tab: RetryingFollower, session: str) -> dict[str, list[tuple[int, Frame]]]:
    """Return each signal's records as the tab received them, with their serials, in order."""
    receipts: dict[str, list[tuple[int, Frame]]] = {}
    for frame in tab.frames:
        if frame.get("session") != session:
            continue
        if frame["type"] == "attached":
            serial = int(frame["cursor"].rpartition("-")[2])
            for record in frame["signals"]:
                receipts.setdefault(record["id"], []).append((serial, record))
        elif frame["type"] == "events":
            for event in frame["events"]:
                if "signal" in event:
                    receipts.setdefault(event["signal"]["id"], []).append((event["serial"], event["signal"]))
    return {id: sorted(records, key=lambda record: record[0]) for id, records in receipts.items()}


def _check_statuses(receipts: dict[str, list[tuple[int, Frame]]]) -> None:
    rank = {"accepted": 0, "delivered": 1}
    for records in receipts.values():
        ranks = [rank.get(record["status"], 2) for _, record in records]
        assert ranks == sorted(ranks), records
        final = [record for _, record in records if record["status"] not in rank]
        assert all(record == final[0] for record in final), records


def timeline_of(person: ConcurrentUser) -> Timeline:
    """Return every event that a tab received, by serial; check that all tabs received the same."""
    events: Timeline = {}
    for tab in person.tabs:
        for frame in tab.frames:
            if frame["type"] == "events" and frame["session"] == person.session:
                serials = [event["serial"] for event in frame["events"]]
                first, last = serials[0], int(frame["cursor"].rpartition("-")[2])
                assert serials == list(range(first, last + 1)), frame
                for event in frame["events"]:
                    assert events.setdefault(event["serial"], event) == event, event
    return events


def _check_against_timeline(tab: RetryingFollower, session: str, timeline: Timeline) -> None:
    """An attached frame tells of a signal what the newest event about it before its cursor told, if all are known."""
    for frame in tab.frames:
        if frame["type"] != "attached" or frame["session"] != session:
            continue
        cursor = int(frame["cursor"].rpartition("-")[2])
        records = {record["id"]: record for record in frame["signals"]}
        for serial in range(cursor, 0, -1):
            event = timeline.get(serial)
            if event is None:
                break  # nobody was there
            id = event.get("signal", {}).get("id")
            if id in records:
                assert records.pop(id) == event["signal"], (frame["cursor"], event)


def check_tabs_agree(person: ConcurrentUser, rows: Rows) -> None:
    first, *others = [tab.sessions[person.session] for tab in person.tabs]
    assert first.cursor.serial == rows.session["tail"]
    for other in others:
        assert other.cursor == first.cursor
        assert other.signals == first.signals
        assert list(map(_said, other.messages.values())) == list(map(_said, first.messages.values()))
    for tab in person.tabs:
        assert (tab.taken_back, tab.resets) == ([], [])
        serials = tab.sessions[person.session].serials
        assert serials == sorted(set(serials))


def _said(message: Any) -> Any:
    return message.id, message.role, message.status, message.reason, message.parts


def check_stops(timeline: Timeline, rows: Rows) -> None:
    """Check that a confirmed stop comes after the end of everything it stopped."""
    for run in rows.runs:
        cancel = rows.keys.get(run["cancel_id"])
        if cancel and cancel["status"] == "applied":
            assert rows.messages[run["uid"]]["last_serial"] < cancel["last_serial"], (run, cancel)
    for serial, event in timeline.items():
        if "message" in event:
            assert serial <= rows.messages[event["message"]]["last_serial"], event
    for id, row in rows.signals.items():
        if row["kind"] == "cancel" and row["status"] == "applied" and row["message"]:
            assert rows.messages[row["message"]]["status"] == "cancelled", id


def check_approvals(messages: Messages, rows: Rows, effects: dict[str, list[str]]) -> None:
    """Check that approved calls ran at most once, as the answer says, and unapproved ones never."""
    assert all(len(processes) == 1 for processes in effects.values()), f"an approved call ran twice: {effects}"
    parts = {
        part["approval"]["id"]: part for message in messages.values() for part in message.parts if part.get("approval")
    }
    assert parts.keys() == {row["uid"] for row in rows.approvals}
    for row in rows.approvals:
        part = parts[row["uid"]]
        ran = len(effects.get(json.loads(row["input"])["effect"], []))
        decision = rows.keys.get(row["decision_id"])
        assert row["status"] != "pending", row
        if ran:
            assert row["status"] == "approved" and decision and decision["kind"] == "approve", row
        assert ran <= {"": 0, "begun": 1, "done": 1}[row["execution"]], row
        if row["execution"] == "done":
            assert (ran, part["state"]) == (1, "output-available"), (row, part)
        if part["state"] == "output-denied":
            assert part["approval"]["approved"] is False and row["status"] in ("denied", "expired"), (row, part)
        if part["approval"].get("approved"):
            assert row["status"] == "approved", (row, part)
        accepted = [
            signal for signal in rows.signals.values() if signal["target"] == row["uid"] and not _was_refused(signal)
        ]
        assert len(accepted) == (1 if decision else 0), (row, accepted)


def _was_refused(signal: Row) -> bool:
    return bool(signal["status"] == "rejected" and signal["serial"] == signal["last_serial"])


def check_steers(messages: Messages, rows: Rows) -> None:
    """Check that a steer is part of an answer or a message of its own, as its receipt says, never both or neither."""
    parts = {
        part["id"]: message.id
        for message in messages.values()
        for part in message.parts
        if part["type"] == "steering-message"
    }
    for id, row in rows.signals.items():
        if row["kind"] != "steer":
            continue
        assert (id in parts) != (id in messages), row
        if id in parts:
            assert (row["status"], row["message"], row["reason"]) == ("applied", parts[id], ""), row
        else:
            assert row["reason"], row
            own = [run["uid"] for run in rows.runs if run["prompt"] == id and run["mode"] == "answer"]
            assert own == ([] if row["reason"] == lifecycle.UNREAD_STOPPED else [row["message"]]), (row, own)


def check_words(messages: Messages) -> None:
    """Check that no word of an answer is missing, repeated or moved."""
    for message in messages.values():
        if message.role == "assistant":
            words = re.sub(r"\[[^]]*\]", "", text_of(message)).split()
            assert words == [str(number) for number in range(len(words))], message
            assert ended(message)


def check_writers(timeline: Timeline) -> None:
    """Check that one process alone has written each answer: nothing of an old fence comes after a newer one."""
    writers: dict[str, str] = {}
    for event in timeline.values():
        if event.get("chunk", {}).get("type") == "message-metadata":
            process = event["chunk"]["messageMetadata"]["process"]
            assert writers.setdefault(event["message"], process) == process, event
