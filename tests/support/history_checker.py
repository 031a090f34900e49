"""Invariants of everything that was seen, checked from a recorded history alone.

A history is a list of entries, one JSON object a line, in the order in which they were noted; `Recorder` notes them.
`python -m tests.support.history_checker history.jsonl` checks a file again.

| kind | what it notes |
|---|---|
| `frame` | `client` was given `frame`, over the transport `via` |
| `invoke` | `client` sent the signal `id`, once or again; `signal` is its kind |
| `ok`, `fail`, `unknown` | its receipt: accepted at `serial`; refused with `code`; none came |
| `acknowledged` | a publisher was told that `text` of `message` is stored; `ended`: its end too |
| `said` | all `text` that the publisher has written to `message`, stored or not |
| `ran` | an approved call left the trace `effect` |
| `approval`, `run` | a row of the database, at the end |
| `state` | what `of` (the store, a server, a client) has of the session at the end: `serial`, `messages`, `signals` |
| `fault` | `fault` was done to `target` |
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sessions_app.core.fold import MessageState, fold

Entry = dict[str, Any]
STORE = "store"  # the `state` that all others are compared with
OPEN = ("accepted", "delivered")
ENDS = ("finish", "abort", "error", "interrupt")


class Recorder:
    """A recorder of events, in memory and at once in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._file = path.open("a", buffering=1)

    def note(self, kind: str, **fields: Any) -> None:
        entry = {"kind": kind, "at": round(time.time(), 3), **fields}
        self.entries.append(entry)
        self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        self._file.close()


def check(entries: Iterable[Entry]) -> list[str]:
    """Return all that is wrong with a history, one line each."""
    history = list(entries)
    sessions = dict.fromkeys(session_of(entry) for entry in history if session_of(entry))
    wrong = [f"{session}: {what}" for session in sessions for what in _Session(session, history).wrong()]
    effects = Counter(entry["effect"] for entry in history if entry["kind"] == "ran")
    return wrong + [f"the approved call {effect} ran {times} times" for effect, times in effects.items() if times > 1]


def session_of(entry: Entry) -> str:
    return str(entry.get("session") or entry.get("frame", {}).get("session", ""))


def summary(entries: Iterable[Entry]) -> str:
    """Return the size of a history, in words."""
    entries = list(entries)
    kinds = Counter(entry["kind"] for entry in entries)
    faults = Counter(entry["fault"] for entry in entries if entry["kind"] == "fault")
    frames = [entry for entry in entries if entry["kind"] == "frame"]
    resumes = Counter(entry["via"] for entry in frames if entry["frame"].get("resumed"))
    events = sum(len(entry["frame"]["events"]) for entry in frames if entry["frame"]["type"] == "events")
    lines = {
        "faults": f"{faults.total()} ({_counts(faults)})",
        "sessions": len({entry["session"] for entry in entries if entry["kind"] == "state"}),
        "events delivered": events,
        "signals": len({entry["id"] for entry in entries if entry["kind"] == "invoke"}),
        "receipts": f"{kinds['ok']} ok, {kinds['fail']} fail, {kinds['unknown']} unknown",
        "acknowledgements": kinds["acknowledged"],
        "approved calls run": kinds["ran"],
        "resumes": f"{resumes.total()} ({_counts(resumes)})",
        "final states compared": kinds["state"],
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


class _Session:
    """A session of a history. Each check yields its faults."""

    def __init__(self, session: str, history: list[Entry]) -> None:
        own = [entry for entry in history if session_of(entry) == session]
        self.of: dict[str, list[Entry]] = defaultdict(list)
        for entry in own:
            self.of[entry["kind"]].append(entry)
        self.frames: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.of["frame"]:
            self.frames[entry["client"]].append(entry["frame"])
        self.ran = {entry["effect"] for entry in history if entry["kind"] == "ran"}
        self.timeline = {
            event["serial"]: event
            for frame in self._all("events")
            for event in reversed(frame["events"])  # of two the first stays, and `one_order` tells
        }
        self.store = next((state for state in self.of["state"] if state["of"] == STORE), None)
        self.messages = {message["id"]: message for message in self.store["messages"]} if self.store else {}
        self.signals = {signal["id"]: signal for signal in self.store["signals"]} if self.store else {}

    def wrong(self) -> Iterator[str]:
        for frames in self.frames.values():
            yield from self.goes_forward(frames)
        yield from self.one_order()
        yield from self.nothing_after_an_end()
        yield from self.nothing_after_a_stop()
        yield from self.receipts_agree()
        yield from self.statuses_go_forward()
        if self.store:
            yield from self.all_agree()
            yield from self.folds_agree()
            yield from self.nothing_is_lost()
            yield from self.everything_ended()
            yield from self.calls_were_approved()

    def _all(self, type_: str) -> Iterator[Entry]:
        for frames in self.frames.values():
            yield from (frame for frame in frames if frame["type"] == type_)

    def goes_forward(self, frames: list[Entry]) -> Iterator[str]:
        """Check that a client's cursor never goes back or over a hole, and that a reset has a reason."""
        epoch, serial = "", 0
        for frame in frames:
            if frame["type"] not in ("attached", "events"):
                continue
            its_epoch, _, text = frame["cursor"].rpartition("-")
            its_serial = int(text)
            if frame["type"] == "attached":
                if epoch and not frame["resumed"] and not frame["reason"]:
                    yield f"a client at {serial} was reset to {its_serial} without a reason"
                elif epoch == its_epoch and not frame["reason"] and its_serial < serial:
                    yield f"a client at {serial} was taken back to {its_serial}"
                elif epoch and epoch != its_epoch and not frame["reason"]:
                    yield f"a client was moved from epoch {epoch} to {its_epoch} without a reason"
            elif its_epoch != epoch:
                yield f"events of epoch {its_epoch} came to a client at {epoch}"
            elif frame["events"][0]["serial"] > serial + 1:
                yield f"a client at {serial} was given {frame['events'][0]['serial']} next"
            elif its_serial < serial:
                continue  # dropped, as the protocol says
            epoch, serial = its_epoch, its_serial

    def one_order(self) -> Iterator[str]:
        """Check that every client got the same event at the same serial, without holes in a frame, and each once."""
        for frame in self._all("events"):
            serials = [event["serial"] for event in frame["events"]]
            if serials != list(range(serials[0], int(frame["cursor"].rpartition("-")[2]) + 1)):
                yield f"a frame up to {frame['cursor']} holds {serials}"
            for event in frame["events"]:
                if self.timeline[event["serial"]] != event:
                    yield f"{event['serial']} is {self.timeline[event['serial']]} and {event}"
        begins: dict[str, int] = {}
        for serial, event in sorted(self.timeline.items()):
            if "message" in event and event["chunk"]["type"] in ("start", "message"):
                if event["message"] in begins:
                    yield f"{event['message']} began at {begins[event['message']]} and again at {serial}"
                begins[event["message"]] = serial

    def nothing_after_an_end(self) -> Iterator[str]:
        ended: dict[str, int] = {}
        for serial, event in sorted(self.timeline.items()):
            if "message" not in event:
                continue
            if event["message"] in ended:
                yield f"{event['message']} ended at {ended[event['message']]} and went on at {serial}"
            elif event["chunk"]["type"] in (*ENDS, "message"):
                ended[event["message"]] = serial
        for message in self.messages.values():
            if message["id"] in ended and message["last_serial"] != ended[message["id"]]:
                yield f"{message['id']} ended at {ended[message['id']]} and is stored up to {message['last_serial']}"

    def nothing_after_a_stop(self) -> Iterator[str]:
        """Check that a confirmed cancel comes after everything that its runs have written."""
        confirmed = {
            event["signal"]["id"]: (serial, event["signal"])
            for serial, event in self.timeline.items()
            if event.get("signal", {}).get("kind") == "cancel" and event["signal"]["status"] == "applied"
        }
        stopped = {run["uid"]: run["cancel"] for run in self.of["run"] if run["cancel"]}
        for id, (serial, signal) in confirmed.items():
            own = {uid for uid, cancel in stopped.items() if cancel == id} | {signal["message"]} - {None}
            late = [at for at, event in self.timeline.items() if at > serial and event.get("message") in own]
            if late:
                yield f"{id} was confirmed at {serial}, and its response went on at {min(late)}"

    def receipts_agree(self) -> Iterator[str]:
        """Check that every signal has one receipt, however often it was sent."""
        answers: dict[str, set[Any]] = defaultdict(set)
        for entry in self.of["ok"]:
            answers[entry["id"]].add(("accepted", entry["serial"]))
        for entry in self.of["fail"]:
            answers[entry["id"]].add(("rejected", entry["code"]))
        for id in dict.fromkeys(entry["id"] for entry in self.of["invoke"]):
            if not answers[id]:
                yield f"{id} was never answered"
            elif len(answers[id]) > 1:
                yield f"{id} was answered in several ways: {sorted(answers[id], key=str)}"

    def statuses_go_forward(self) -> Iterator[str]:
        """Check that a signal's status never goes back, final ones stay, and its acceptance is seen once."""
        rank = {"accepted": 0, "delivered": 1}
        last: dict[str, Entry] = {}
        for _, event in sorted(self.timeline.items()):
            if "signal" in event:
                new, old = event["signal"], last.get(event["signal"]["id"])
                if old and old["status"] not in OPEN and new != old:
                    yield f"{new['id']} was {old['status']} for good and became {new['status']}"
                elif old and rank.get(new["status"], 2) <= rank.get(old["status"], 2) and new == old:
                    yield f"{new['id']} was told twice to be {new['status']}"
                elif old and rank.get(new["status"], 2) < rank.get(old["status"], 2):
                    yield f"{new['id']} went from {old['status']} back to {new['status']}"
                last[new["id"]] = new
        for id, record in last.items():
            stored = self.signals.get(id, {})
            if record["status"] not in OPEN and any(record[name] != stored[name] for name in stored):
                yield f"{id} was told to be {record} and is stored as {stored}"

    def all_agree(self) -> Iterator[str]:
        """Check that every process and tab agrees with the store at the end."""
        assert self.store
        for state in self.of["state"]:
            for name in ("serial", "messages", "signals"):
                if name in state and state[name] != self.store[name]:
                    difference = _difference(state[name], self.store[name])
                    yield f"{state['of']} differs from the store in {name}: {difference}"

    def folds_agree(self) -> Iterator[str]:
        """Check that a message's stored form is the fold of its events, where all were seen."""
        for id, stored in self.messages.items():
            span = range(stored["first_serial"], stored["last_serial"] + 1)
            if all(serial in self.timeline for serial in span):
                folded: dict[str, MessageState] = {}
                for serial in span:
                    fold(folded, self.timeline[serial])
                parts = folded[id].parts if id in folded else None
                if parts != stored["parts"]:
                    yield f"{id} folds to {parts} and is stored as {stored['parts']}"

    def nothing_is_lost(self) -> Iterator[str]:
        """Check that everything acknowledged is stored, and nothing else."""
        for entry in self.of["acknowledged"]:
            message = self.messages.get(entry["message"])
            if message is None:
                yield f"{entry['message']} was acknowledged and isn't stored"
            elif not text_of(message).startswith(entry["text"]):
                difference = _difference(text_of(message), entry["text"])
                yield f"{entry['message']} lost of what was acknowledged: {difference}"
            elif entry["ended"] and message["status"] != "complete":
                yield f"the end of {entry['message']} was acknowledged and it is {message['status']}"
        for entry in self.of["said"]:
            text = text_of(self.messages.get(entry["message"], {"parts": []}))
            if not entry["text"].startswith(text):
                yield f"{entry['message']} has what nobody said: {_difference(text, entry['text'])}"
        for entry in self.of["ok"]:
            if entry["id"] not in self.signals:
                yield f"{entry['id']} was accepted and isn't stored"

    def everything_ended(self) -> Iterator[str]:
        for message in self.messages.values():
            if message["status"] == "streaming":
                yield f"{message['id']} never ended"
        for run in self.of["run"]:
            if run["status"] != "ended":
                yield f"run {run['uid']} is {run['status']}"
        for signal in self.signals.values():
            if signal["status"] in OPEN:
                yield f"{signal['id']} is {signal['status']} and has no final receipt"

    def calls_were_approved(self) -> Iterator[str]:
        """Check that every call that ran was approved, and every call reported as done ran."""
        for approval in self.of["approval"]:
            ran = approval["effect"] in self.ran
            if ran and approval["status"] != "approved":
                yield f"{approval['effect']} ran and was {approval['status']}"
            if approval["execution"] == "done" and not ran:
                yield f"{approval['effect']} is said to be done and didn't run"


def text_of(message: Entry) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def _difference(have: Any, want: Any) -> str:
    if isinstance(have, list) and isinstance(want, list):
        pairs = [(one, other) for one, other in zip(have, want, strict=False) if one != other]
        return f"{len(have)} and {len(want)}; first {pairs[0]}" if pairs else f"{len(have)} and {len(want)} of them"
    return f"{have!r} and {want!r}"


def read(path: Path) -> list[Entry]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    history = read(Path(sys.argv[1]))
    print(summary(history))
    sys.exit("\n".join(check(history)) or None)
