"""The resume plan: every reason for a fresh state, which one wins, and a resume in all other cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.cursor import Cursor
from sessions_app.core.plan import Position, Resume, Rewind, plan

HERE = Position("here", tail=50, trimmed=10)


@pytest.mark.parametrize(
    ("cursor", "wanted"),
    [
        (None, Rewind(None)),
        (Cursor("here", 50), Resume(50)),
        (Cursor("here", 11), Resume(11)),
        (Cursor("here", 10), Resume(10)),  # what was trimmed had been applied
        (Cursor("here", 9), Rewind("trimmed")),
        (Cursor("here", 0), Rewind("trimmed")),
        (Cursor("here", 51), Rewind("ahead")),
        (Cursor("other", 20), Rewind("epoch-changed")),
        (Cursor("other", 0), Rewind("epoch-changed")),
        (Cursor("other", 99), Rewind("epoch-changed")),
    ],
)
def test_the_plan_of_each_attach(cursor: Cursor | None, wanted: Resume | Rewind) -> None:
    assert plan(HERE, cursor) == wanted


def test_an_empty_session_is_resumed_from_its_beginning() -> None:
    assert plan(Position("here", tail=0, trimmed=0), Cursor("here", 0)) == Resume(0)
    assert plan(Position("here", tail=0, trimmed=0), Cursor("here", 1)) == Rewind("ahead")


def test_a_fully_trimmed_session_is_resumed_from_its_tail_alone() -> None:
    position = Position("here", tail=7, trimmed=7)
    assert plan(position, Cursor("here", 7)) == Resume(7)
    assert plan(position, Cursor("here", 6)) == Rewind("trimmed")


@given(
    tail=st.integers(0, 30), trimmed=st.integers(0, 30), serial=st.integers(0, 40), epoch=st.sampled_from(["here", "x"])
)
def test_a_resume_never_skips_anything(tail: int, trimmed: int, serial: int, epoch: str) -> None:
    position = Position("here", tail, min(trimmed, tail))
    decided = plan(position, Cursor(epoch, serial))
    if isinstance(decided, Resume):
        assert epoch == "here" and decided.after == serial and position.trimmed <= serial <= tail
    else:
        assert decided.reason in ("epoch-changed", "ahead", "trimmed")


def test_a_positions_cursor_is_its_tail() -> None:
    assert str(HERE.cursor) == "here-50"
