"""The history checker finds each kind of fault."""

from typing import Any

import pytest

from tests.support.history_checker import STORE, Entry, check, summary

SESSION, EPOCH = "S", "e1"
CANCEL = {"id": "c", "kind": "cancel", "code": None, "reason": None, "message": "m"}
TEXT = [{"type": "text", "text": "one two ", "state": "done"}]


def event(serial: int, chunk: dict[str, Any], message: str = "m") -> Entry:
    return {"serial": serial, "message": message, "at": 1, "chunk": chunk}


def signal_record(serial: int, **changes: Any) -> Entry:
    return {"serial": serial, "signal": CANCEL | {"status": "accepted"} | changes}


EVENTS = [
    event(1, {"type": "start", "messageId": "m"}),
    event(2, {"type": "text-start", "id": "t"}),
    signal_record(3),
    event(4, {"type": "text-delta", "id": "t", "delta": "one "}),
    event(5, {"type": "text-delta", "id": "t", "delta": "two "}),
    event(6, {"type": "text-end", "id": "t"}),
    event(7, {"type": "abort", "reason": "Stopped."}),
    signal_record(8, status="applied"),
]


def events(*some: Entry, client: str = "a", epoch: str = EPOCH) -> Entry:
    cursor = f"{epoch}-{some[-1]['serial']}"
    frame = {"type": "events", "session": SESSION, "cursor": cursor, "events": list(some)}
    return {"kind": "frame", "client": client, "via": "websocket", "frame": frame}


def attached(serial: int, *, client: str = "a", epoch: str = EPOCH, resumed: bool = True, reason: Any = None) -> Entry:
    frame = {
        "type": "attached", "session": SESSION, "cursor": f"{epoch}-{serial}", "resumed": resumed, "reason": reason,
    }  # fmt: skip
    return {"kind": "frame", "client": client, "via": "poll", "frame": frame}


def state(of: str, **changes: Any) -> Entry:
    message = {
        "id": "m", "status": "cancelled", "parts": TEXT, "first_serial": 1, "last_serial": 7,
    }  # fmt: skip
    signal = CANCEL | {"status": "applied"}
    usual = {"serial": 8, "messages": [message | changes.pop("message", {})]}
    return {
        "kind": "state", "session": SESSION, "of": of, **usual, "signals": [signal | changes.pop("signal", {})],
    } | changes  # fmt: skip


def note(kind: str, **fields: Any) -> Entry:
    return {"kind": kind, "session": SESSION, **fields}


def acknowledged(text: str, *, ended: bool = False) -> Entry:
    return note("acknowledged", message="m", text=text, ended=ended)


def approval(**fields: Any) -> Entry:
    return note("approval", **{"effect": "x", "status": "approved", "execution": "done"} | fields)


RIGHT = [
    attached(0, resumed=False),
    attached(0, resumed=False, client="b"),
    events(*EVENTS[:5]),
    events(*EVENTS[:4], client="b"),
    acknowledged("one "),
    note("invoke", client="a", id="c", signal="cancel"),
    note("unknown", client="a", id="c"),
    note("invoke", client="b", id="c", signal="cancel"),
    note("ok", client="b", id="c", serial=3),
    attached(6, client="b"),
    events(*EVENTS[3:8]),  # some of it again, which is dropped
    events(*EVENTS[6:8], client="b"),
    note("said", message="m", text="one two three "),
    note("ran", effect="x"),
    approval(),
    note("run", uid="m", status="ended", cancel="c"),
    state(STORE),
    state("a"),
    state("b"),
]


def replaced(index: int, *entries: Entry) -> list[Entry]:
    return [*RIGHT[:index], *entries, *RIGHT[index + 1 :]]


WRONG = {
    "is event at the same serial": [*RIGHT, events(EVENTS[3] | {"chunk": {"type": "other"}}, client="b")],
    "a frame up to": [*RIGHT, events(EVENTS[0], EVENTS[2], client="b")],
    "began at 1 and again at 9": [*RIGHT, events(event(9, {"type": "start", "messageId": "m"}))],
    "was taken back to 2": [*RIGHT, attached(2)],
    "without a reason": [*RIGHT, attached(8, resumed=False)],
    "was moved from epoch": [*RIGHT, attached(8, epoch="e2")],
    "events of epoch e2 came": [*RIGHT, events(EVENTS[7], epoch="e2")],
    "was given 7 next": replaced(9),
    "ended at 7 and went on at 9": [*RIGHT, events(event(9, {"type": "text-start", "id": "u"}))],
    "ended at 7 and is stored up to 9": replaced(16, state(STORE, message={"last_serial": 9})),
    "was confirmed at 8, and its response went on": [*RIGHT, events(event(9, {"type": "finish"}))],
    "was never answered": replaced(8),
    "was answered in several ways": [*RIGHT, note("ok", client="a", id="c", serial=4)],
    "accepted and refused": [*RIGHT, note("fail", client="a", id="c", code="busy")],
    "was applied for good and became rejected": [*RIGHT, events(signal_record(9, status="rejected"))],
    "from applied back to accepted": [*RIGHT, events(signal_record(9))],
    "and is stored as": replaced(16, state(STORE, signal={"status": "expired"})),
    "a differs from the store in serial": replaced(17, state("a", serial=7)),
    "a differs from the store in messages": replaced(17, state("a", message={"status": "complete"})),
    "b differs from the store in signals": replaced(18, state("b", signals=[])),
    "folds to": replaced(16, state(STORE, message={"parts": [{**TEXT[0], "text": "one two two "}]})),
    "lost of what was acknowledged": [*RIGHT, acknowledged("one two three ")],
    "was acknowledged and isn't stored": replaced(16, state(STORE, messages=[])),
    "the end of m was acknowledged": [*RIGHT, acknowledged("one two ", ended=True)],
    "has what nobody said": [*RIGHT, note("said", message="m", text="one three ")],
    "was accepted and isn't stored": replaced(16, state(STORE, signals=[])),
    "never ended": replaced(16, state(STORE, message={"status": "streaming"})),
    "run m is running": replaced(15, note("run", uid="m", status="running", cancel="c")),
    "has no final receipt": replaced(16, state(STORE, signal={"status": "delivered"})),
    "the approved call x ran 2 times": [*RIGHT, note("ran", effect="x")],
    "ran and was denied": replaced(14, approval(status="denied", execution="")),
    "is said to be done and didn't run": replaced(13),
}
SAYS = {
    "is event at the same serial": "4 is ",
    "accepted and refused": "was answered in several ways",
    "from applied back to accepted": "was applied for good and became accepted",
}


def test_a_correct_history_passes() -> None:
    assert check(RIGHT) == []
    assert "events delivered: 16" in summary(RIGHT)


@pytest.mark.parametrize("wrong", WRONG)
def test_each_fault_is_found(wrong: str) -> None:
    found = check(WRONG[wrong])
    assert any(SAYS.get(wrong, wrong) in line for line in found), found


def test_a_stop_without_a_target_does_not_cover_later_signals() -> None:
    everything = signal_record(1, status="applied", message=None)
    assert check([attached(0, resumed=False), events(everything, signal_record(2, id="d"))]) == []


def test_a_status_that_regresses_is_found_before_it_is_final() -> None:
    history = [attached(0, resumed=False), events(signal_record(1, status="delivered"), signal_record(2))]
    assert check(history) == [f"{SESSION}: c went from delivered back to accepted"]


def test_a_repeated_acceptance_is_found() -> None:
    history = [attached(0, resumed=False), events(signal_record(1), signal_record(2))]
    assert check(history) == [f"{SESSION}: c was told twice to be accepted"]


def test_a_reset_with_a_reason_passes() -> None:
    assert check([*RIGHT, attached(8, resumed=False, reason="trimmed")]) == []
