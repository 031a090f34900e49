"""JSON text: no integer is rounded on its way in."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core import frames, json_text, vocabulary
from sessions_app.core.errors import HoldfastError

BEYOND = ["18446744073709551616", "-9223372036854775809", "1" + "0" * 5000, "1e400", "-1e400", "[[[1e999]]]"]
WITHIN = [
    "18446744073709551615",
    "-9223372036854775808",
    "9007199254740993",
    "1.10",
    "-0",
    "1e308",
    "12345678901234567890.5",
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_every_value_is_parsed_exactly(value: Any) -> None:
    ascii_text = json.dumps(value)
    try:
        parsed = json_text.read(ascii_text).value
    except ValueError:
        with pytest.raises(UnicodeEncodeError):  # half a surrogate pair, which no JSON text may hold
            json.dumps(value, ensure_ascii=False).encode()
    else:
        assert parsed == _limited(value)


def _limited(value: Any) -> Any:
    """Return the value with the integers cut that are parsed only to be refused."""
    match value:
        case int() if not isinstance(value, bool) and len(str(value)) > 24:
            return int(str(value)[:24])
        case list():
            return list(map(_limited, value))
        case dict():
            return {key: _limited(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("number", BEYOND)
def test_a_number_beyond_the_range_reaches_its_door_and_is_refused(number: str) -> None:
    chunk = json_text.read(f'{{"type": "data-n", "data": {number}, "text": "1e400 18446744073709551616"}}').value
    with pytest.raises(HoldfastError, match="bad_chunk"):
        vocabulary.check(chunk, max_bytes=65_536)


@pytest.mark.parametrize("number", WITHIN)
def test_a_number_within_the_range_is_kept(number: str) -> None:
    chunk = json_text.read(f'{{"type": "data-n", "data": {number}}}').value
    vocabulary.check(chunk, max_bytes=65_536)
    assert chunk == {"type": "data-n", "data": json.loads(number)}
    assert orjson.loads(orjson.dumps(chunk)) == chunk


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "[1e400, NaN]", "{", "[" * 5000, '"\\ud800"', "\ud800", "01", ""]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        json_text.read(text)


def test_long_digits_in_a_deep_text_are_refused_or_kept() -> None:
    for depth in (100, 900, 1100):
        text = "[" * depth + "18446744073709551616" + "]" * depth
        with pytest.raises((ValueError, HoldfastError)):
            vocabulary.json_bytes(json_text.read(text).value)


def test_a_frame_with_a_large_number_is_read_and_named() -> None:
    text = '{"type": "publish", "session": "s", "sequence": 3, "message": "m_1", "chunks": [{"n": 1e400}]}'
    assert frames.about(frames.parse(text)) == {"session": "s", "id": "m_1", "sequence": 3}
    with pytest.raises(HoldfastError, match="bad_json"):
        frames.parse('{"type": "ping", "n": NaN}')
    with pytest.raises(HoldfastError, match="bad_json"):
        frames.parse('{"n": 1e400}')


@pytest.mark.parametrize("number", BEYOND)
def test_a_reader_without_checks_refuses_numbers_beyond_the_range(number: str) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        json_text.parse(number)
