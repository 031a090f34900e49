"""Frames: refusals of every field, named errors for arbitrary input, and the frames that the server builds."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core import frames
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError

SESSION = "AbCdEfGhIjKlMnOpQrS_-0"
ATTACH: dict[str, Any] = {"type": "attach", "session": SESSION}
DETACH: dict[str, Any] = {"type": "detach", "session": SESSION}
ACK: dict[str, Any] = {"type": "ack", "session": SESSION, "cursor": "e-1"}
SIGNAL: dict[str, Any] = {"type": "signal", "session": SESSION, "id": "12345678", "kind": "message", "payload": {}}
PUBLISH: dict[str, Any] = {
    "type": "publish", "session": SESSION, "message": "m_1", "producer": "producer", "epoch": 0, "sequence": 1,
    "chunks": [{"type": "start"}],
}  # fmt: skip


def read(frame: Any) -> frames.ClientFrame:
    return frames.read(frames.parse(frame if isinstance(frame, str) else json.dumps(frame)))


def refusal(frame: Any) -> str:
    with pytest.raises(HoldfastError) as refused:
        read(frame)
    return refused.value.code


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (ATTACH, frames.ClientFrame("attach", SESSION)),
        (
            ATTACH | {"cursor": "ab12-7", "rewind": 3, "held": {"m_1": [0, 340]}},
            frames.ClientFrame("attach", SESSION, Cursor("ab12", 7), 3, {"m_1": [0, 340]}),
        ),
        (ATTACH | {"cursor": None, "rewind": None, "held": None}, frames.ClientFrame("attach", SESSION)),
        (ATTACH | {"rewind": 0, "held": {}}, frames.ClientFrame("attach", SESSION, rewind=0, held={})),
        (ATTACH | {"replaced": True}, frames.ClientFrame("attach", SESSION, replaced=True)),
        (ATTACH | {"of the": "future"}, frames.ClientFrame("attach", SESSION)),
        (DETACH, frames.ClientFrame("detach", SESSION)),
        (ACK, frames.ClientFrame("ack", SESSION, Cursor("e", 1))),
        (SIGNAL, frames.ClientFrame("signal", SESSION, id="12345678", kind="message", payload={})),
        ({"type": "ping"}, frames.ClientFrame("ping")),
        ({"type": "authenticate", "token": "a.b.c"}, frames.ClientFrame("authenticate", token="a.b.c")),
        (
            PUBLISH,
            frames.ClientFrame(
                "publish", SESSION, message="m_1", producer="producer", epoch=0, sequence=1, chunks=[{"type": "start"}]
            ),
        ),
        (
            {"type": "beat", "producer": "producer", "epoch": 2**53},
            frames.ClientFrame("beat", producer="producer", epoch=2**53),
        ),
    ],
)
def test_a_frame_is_parsed(frame: dict[str, Any], wanted: frames.ClientFrame) -> None:
    assert read(frame) == wanted


def test_the_cursor_after_a_frame_is_known_without_parsing_it() -> None:
    events = frames.events(session=SESSION, epoch="a-b", first=6, last=7, texts=['{"cursor":"not-1"}'])
    attached = frames.encode({"type": "attached", "session": SESSION, "cursor": "e-7", "resumed": True})
    assert [frames.cursor_of(text) for text in (events.text, attached)] == ["a-b-7", "e-7"]
    assert frames.cursor_of(frames.heartbeat({SESSION: "e-7"})) == frames.cursor_of(frames.going_away(1)) == ""


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "{'type': 'ping'}", '{"type": "ping",}', "NaN", '{"a": NaN}', '{"a": 1e999}', "\ufeff{}",
     '{"type": "\ud800"}', '{"type": "\\ud800"}', "[" * 100_000, '{"a":' * 100_000, "{} {}"],
)  # fmt: skip
def test_invalid_json_is_refused(text: str) -> None:
    assert refusal(text) == "bad_json"


@pytest.mark.parametrize("text", ["null", "1", '"ping"', "[]", "{}", '{"type": null}', '{"type": ["ping"]}'])
def test_json_that_is_no_frame_is_refused(text: str) -> None:
    assert refusal(text) == "bad_frame"


@pytest.mark.parametrize("type_", ["", "published", "Attach", "attached", "__class__", "ping "])
def test_an_unknown_type_is_refused(type_: str) -> None:
    assert refusal({"type": type_}) == "unknown_type"


@pytest.mark.parametrize(
    ("frame", "name"),
    [(frame, name) for frame in (ATTACH, ACK, SIGNAL, DETACH) for name in frame if name != "type"],
)
def test_a_missing_required_field_is_named(frame: dict[str, Any], name: str) -> None:
    with pytest.raises(HoldfastError, match=f"needs {name}") as refused:
        read({key: value for key, value in frame.items() if key != name})
    assert refused.value.code == "bad_frame"


BIG = 2**31 + 1


@pytest.mark.parametrize(
    ("frame", "name", "values", "code"),
    [
        (ATTACH, "session", [None, 1, "", "short", SESSION + "x", SESSION[1:] + "\n", SESSION[1:] + "é", [SESSION], {}],
         "bad_session_id"),
        (ATTACH, "cursor", ["", "-", "e", "e-", "-1", "e-01", "e-1 ", "e-1\n", "é-1", "e-1e3", "e-" + "9" * 16,
                            "x" * 65 + "-1", 1, True, [], {}, 1.5], "bad_cursor"),
        (ATTACH, "rewind", [-1, 1.5, True, "3", [], {}, BIG, 10**30], "bad_frame"),
        (ATTACH, "held", [[], "x", 1, True, {"m": 1}, {"m": [-1]}, {"m": [True]}, {"m": ["1"]}, {"m": [1.5]},
                          {"m": [BIG]}, {"m": [[1]]}, {"m": [0] * 4097}, {str(n): [] for n in range(65)}], "bad_frame"),
        (ATTACH, "replaced", [0, 1, "true", "", [], {}, 1.5], "bad_frame"),
        (ACK, "cursor", [None, "", 1, "e"], "bad_cursor"),
        (ACK, "held", [[], {"m": None}], "bad_frame"),
        (SIGNAL, "id", [None, "", "1234567", "x" * 65, "1234 5678", "12345678\n", "1234567é", 12345678, []],
         "bad_signal"),
        (SIGNAL, "kind", [None, 1, [], "k" * 33], "bad_signal"),
        (SIGNAL, "payload", [None, 1, "x", [], True], "bad_signal"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_refused_with_its_own_error(
    frame: dict[str, Any], name: str, values: list[Any], code: str
) -> None:
    assert [refusal(frame | {name: value}) for value in values] == [code] * len(values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)
known = st.sampled_from(list(frames.CLIENT_FRAMES))
names = [
    "session", "cursor", "rewind", "held", "id", "kind", "payload", "token", "message", "producer", "epoch", "sequence",
    "chunks", "replaced",
]  # fmt: skip
nearly = st.fixed_dictionaries(
    {"type": known | st.text()},
    optional={name: json_values | st.sampled_from([SESSION, "e-1", "12345678"]) for name in names},
)


@given(text=st.text() | st.binary().map(lambda data: data.decode("latin1")) | nearly.map(json.dumps))
def test_arbitrary_input_is_a_frame_or_a_named_error(text: str) -> None:
    try:
        assert isinstance(read(text), frames.ClientFrame)
    except HoldfastError as refused:
        assert frames.error(refused)


@given(data=st.dictionaries(st.sampled_from(["session", "id", "message", "sequence", "type"]), json_values))
def test_an_error_names_its_request_and_repeats_no_long_input(data: dict[str, Any]) -> None:
    about = frames.about(data)
    assert isinstance(about.pop("sequence", 0), int)
    assert all(isinstance(value, str) and len(value) <= 64 for value in about.values())
    assert about.keys() <= {"session", "id"}


# What the server builds


@given(
    serial=st.integers(1, 2**53),
    uid=st.from_regex(frames.MESSAGE_UID, fullmatch=True),
    chunk=st.dictionaries(st.text(), st.text()),
    beginning=st.none()
    | st.fixed_dictionaries(
        {"at": st.integers(0, 2**53), "parent": st.none() | st.text()},
        optional={"continues": st.text(), "replaces": st.lists(st.text())},
    ),
)
def test_an_event_serializes_to_json(
    serial: int, uid: str, chunk: dict[str, str], beginning: dict[str, Any] | None
) -> None:
    event: Any = {"serial": serial, "message": uid, "chunk": chunk} | (beginning or {})
    begins = frames.beginning(event) if beginning else ""
    assert (
        orjson.loads(frames.event_text(serial=serial, uid=uid, chunk=orjson.dumps(chunk).decode(), begins=begins))
        == event
    )


def test_the_events_of_a_commit_are_one_frame() -> None:
    texts = [frames.event_text(serial=serial, uid="m_1", chunk='{"type":"é"}') for serial in (7, 8)]
    frame = frames.events(session=SESSION, epoch="ab12", first=7, last=8, texts=texts)
    assert json.loads(frame.text) == {
        "type": "events", "session": SESSION, "cursor": "ab12-8",
        "events": [{"serial": serial, "message": "m_1", "chunk": {"type": "é"}} for serial in (7, 8)],
    }  # fmt: skip
    assert (frame.session, frame.epoch, frame.first, frame.last) == (SESSION, "ab12", 7, 8)
    assert frame.size == len(frame.text.encode())


@given(text=st.text())
def test_a_frames_size_is_in_bytes(text: str) -> None:
    assert frames.size(text) == len(text.encode())
