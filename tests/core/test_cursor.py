"""Cursors: they round-trip, and nothing else is accepted as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError


@given(epoch=st.text("abcXYZ019_-", min_size=1, max_size=64), serial=st.integers(0, 10**15 - 1))
def test_a_cursor_round_trips(epoch: str, serial: int) -> None:
    assert Cursor.parse(str(Cursor(epoch, serial))) == (epoch, serial)


@pytest.mark.parametrize(
    "text",
    [
        None, 7, b"a-1", ["a-1"], "", "-", "a", "a-", "-1", "a--", "1", "a-01", "a-+1", "a-1.0", "a-1 ", " a-1",
        "a-1\n", "a-٣", "é-1", "a b-1", f"a-{10**15}", f"{'a' * 65}-1", "a-1" * 10_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(HoldfastError) as refusal:
        Cursor.parse(text)
    assert refusal.value.code == "bad_cursor"


def test_cursors_of_one_epoch_are_ordered_by_serial() -> None:
    assert Cursor("e", 9) < Cursor("e", 10)
