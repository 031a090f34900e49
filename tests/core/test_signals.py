"""Signal parsing: every payload is accepted or refused with a named error, and final statuses are final."""

from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import KINDS, OPEN, TRANSITIONS, Limits, Sent, input_hash, may_follow, read, shown

LIMITS = Limits(message_bytes=200, chunk_bytes=300)
REFUSALS = {"bad_signal", "message_too_large"}

# What a JSON parser may give: Python's own lets halves of surrogate pairs through, and numbers that JSON hasn't.
text = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud800", "a\udfff", "\0", "m_1", "x" * 300])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
parts = st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "file"]) | anything}, optional={"text": text}))
nearly_right = st.fixed_dictionaries(
    {},
    optional={
        "parts": parts | anything,
        "message": text | anything,
        "approval": text | anything,
        "input_hash": text | anything,
        "input": st.dictionaries(text, anything, max_size=3) | anything,
        "reason": st.text(max_size=1100) | anything,
        "call": text | anything,
        "output": anything,
        "error": text | anything,
        "mode": st.sampled_from(["continue", "regenerate", ""]) | anything,
    },
)


def sent(kind: str, payload: Any) -> Sent | None:
    try:
        return read("signal-1", kind, payload, actor="guest:1", limits=LIMITS)
    except HoldfastError as problem:
        assert problem.code in REFUSALS
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(payload=nearly_right)
def test_every_payload_is_accepted_or_refused_with_a_named_error(kind: str, payload: Any) -> None:
    taken = sent(kind, payload)
    if taken:
        stored = orjson.loads(orjson.dumps(taken.payload))
        assert sent(kind, stored) == taken  # what is stored is what was taken
        assert set(shown(kind, stored)) <= {*payload, "edited"}


@given(st.text(max_size=20).filter(lambda kind: kind not in KINDS))
def test_unknown_kinds_are_refused(kind: str) -> None:
    with pytest.raises(HoldfastError, match="unknown_kind"):
        read("signal-1", kind, {}, actor="guest:1", limits=LIMITS)


def test_excessive_nesting_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert sent("tool-result", {"message": "m_1", "call": "call_1", "output": deep}) is None
    assert sent("approve", {"approval": "a", "input_hash": "h", "input": {"deep": deep}}) is None


@given(st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5), max_size=4), st.randoms())
def test_arguments_have_one_hash_in_any_order(arguments: dict[str, Any], random: Any) -> None:
    order = list(arguments)
    random.shuffle(order)
    assert input_hash({key: arguments[key] for key in order}) == input_hash(arguments)
    assert input_hash({**arguments, "more": 1}) != input_hash(arguments | {"more": 2})


def test_a_final_status_never_changes() -> None:
    for status, next in product(TRANSITIONS, TRANSITIONS):
        if status not in OPEN:
            assert not may_follow(status, next)
        assert not (may_follow(status, next) and may_follow(next, status))
    assert set(signals._SHOWN) == set(KINDS)
