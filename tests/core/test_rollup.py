"""Roll-up: fewer chunks, the same message."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.fold import MessageState, fold, to_wire
from sessions_app.core.rollup import Rollup, rollup, rollup_events
from sessions_app.core.vocabulary import check
from tests.core.sequences import events, folded, response


def text(delta: str, id_: str = "t", **fields: Any) -> dict[str, Any]:
    return {"type": "text-delta", "id": id_, "delta": delta, **fields}


def test_adjacent_appends_to_a_part_become_one() -> None:
    assert rollup([text("a"), text("b"), text("🙂")]) == [text("ab🙂")]
    inputs = [{"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": piece} for piece in ("{", "}")]
    assert rollup(inputs) == [{"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{}"}]


def test_appends_to_different_parts_stay_apart_and_in_order() -> None:
    reasoning = {"type": "reasoning-delta", "id": "t", "delta": "hm"}
    chunks = [text("a"), text("b", "u"), text("c"), reasoning, text("d")]
    assert rollup(chunks) == chunks


def test_a_chunk_between_two_appends_keeps_them_apart() -> None:
    chunks = [text("a"), {"type": "start-step"}, text("b")]
    assert rollup(chunks) == chunks


def test_the_newest_provider_metadata_wins() -> None:
    chunks = [text("a", providerMetadata={"p": {"n": 1}}), text("b"), text("c", providerMetadata={"p": {"n": 2}})]
    assert rollup(chunks) == [text("abc", providerMetadata={"p": {"n": 2}})]


def test_the_rollup_is_empty_after_it_is_drained() -> None:
    waiting = Rollup()
    waiting.add(text("a"))
    assert waiting.take() == [text("a")]
    waiting.add(text("b"))
    assert waiting.take() == [text("b")]
    assert waiting.take() == []


def test_the_publishers_chunks_are_not_changed() -> None:
    chunks = [text("a"), text("b")]
    rollup(chunks)
    assert chunks == [text("a"), text("b")]


def test_the_size_is_in_bytes_and_0_only_when_empty() -> None:
    waiting = Rollup()
    assert (waiting.size, len(waiting)) == (0, 0)
    waiting.add(text(""))
    empty = waiting.size
    assert empty > 0
    waiting.add(text("é🙂"))
    assert waiting.size == empty + 6
    waiting.add({"type": "start-step"})
    assert (waiting.size > empty + 6, len(waiting)) == (True, 2)
    waiting.take()
    assert (waiting.size, len(waiting)) == (0, 0)


@given(seed=st.integers(0, 10**6), length=st.integers(0, 60), window=st.integers(1, 10))
def test_a_rollup_folds_to_the_same_message(seed: int, length: int, window: int) -> None:
    chunks = response(seed, length)
    windows = [rollup(chunks[index : index + window]) for index in range(0, len(chunks), window)]
    rolled = [chunk for chunks in windows for chunk in chunks]
    for chunk in rolled:
        check(chunk, max_bytes=100_000)
    plain, joined = to_wire(folded(chunks)), to_wire(folded(rolled))
    assert joined.pop("last_serial") <= plain.pop("last_serial")
    assert joined == plain


@given(seed=st.integers(0, 10**6), length=st.integers(0, 60))
def test_rolled_up_events_fold_to_the_same_message_and_serials(seed: int, length: int) -> None:
    whole: dict[str, MessageState] = {}
    rolled: dict[str, MessageState] = {}
    for event in events(response(seed, length)):
        fold(whole, event)
    for event in rollup_events(events(response(seed, length))):
        fold(rolled, event)
    assert rolled == whole
