"""Snapshots: catching up equals live delivery, at every cut point and across conflation."""

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import apply, begin, from_wire, to_wire
from sessions_app.core.snapshot import apply_patch, held, patch, utf16_length
from tests.core.sequences import events, folded, response
from tests.core.test_fold import fixtures


def over_the_wire(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("case", fixtures("patches.json"))
def test_a_patch_contains_the_changes(case: dict[str, Any]) -> None:
    message = folded(case["chunks"])
    update = patch(message, after=case["after"], held=case["held"])
    assert {name: update[name] for name in case["patch"]} == case["patch"]
    if case["after"]:
        have = folded(case["chunks"][: case["after"]])
        assert to_wire(apply_patch(have, update)) == to_wire(message)


@given(seed=st.integers(0, 10**6), length=st.integers(0, 40))
def test_catching_up_equals_live_at_every_cut_point(seed: int, length: int) -> None:
    """The client leaves after serial k; the server has folded up to m when it returns, and the rest comes live."""
    log = events(response(seed, length))
    server = begin(log[0])
    states = [copy.deepcopy(server)]
    for event in log[1:]:
        apply(server, event["serial"], event["chunk"])
        states.append(copy.deepcopy(server))
    for k, left in enumerate(states, 1):
        client = from_wire(over_the_wire(to_wire(left)))
        for at_return in states[k - 1 :]:
            update = over_the_wire(patch(at_return, after=k, held=held(client)))
            assert to_wire(apply_patch(client, update)) == to_wire(at_return)
        resumed_at = Random(seed + k).randint(k, len(log))
        update = over_the_wire(patch(states[resumed_at - 1], after=k, held=held(client)))
        resumed = apply_patch(client, update)
        for event in log[resumed_at:]:
            apply(resumed, event["serial"], event["chunk"])
        assert to_wire(resumed) == to_wire(server)


@given(
    seed=st.integers(0, 10**6),
    lengths=st.none() | st.lists(st.integers(-1, 300), max_size=6),
    after=st.integers(0, 50),
)
def test_a_catch_up_is_valid_for_any_claimed_client_state(seed: int, lengths: list[int] | None, after: int) -> None:
    message = folded(response(seed))
    update = over_the_wire(patch(message, after=after, held=lengths))
    if update["at"]:
        assert lengths is not None and update["at"] == lengths[update["from"]]
        whole = message.parts[update["from"]]["text"]
        assert whole.endswith(update["parts"][0]["text"])
        assert update["at"] + utf16_length(update["parts"][0]["text"]) == utf16_length(whole)
    assert update["from"] + len(update["parts"]) == len(message.parts)


def test_a_patch_is_as_large_as_the_missed_content() -> None:
    long = {"type": "text-delta", "id": "t", "delta": "x" * 100_000}
    chunks = [{"type": "start"}, {"type": "text-start", "id": "t"}, long, long, {**long, "delta": "the end"}]
    update = patch(folded(chunks), after=4, held=[200_000])
    assert len(json.dumps(update)) < 500


def test_patching_does_not_change_the_original_message() -> None:
    message = folded(
        [{"type": "start"}, {"type": "text-start", "id": "t"}, {"type": "text-delta", "id": "t", "delta": "abc"}]
    )
    before = copy.deepcopy(message)
    patch(message, after=2, held=[1])
    assert message == before


@pytest.mark.parametrize(("first", "at"), [(1, 0), (2, 0), (0, 3), (0, 1)])
def test_a_patch_of_another_state_is_a_reset(first: int, at: int) -> None:
    have = None if at == 1 or first == 1 else folded([{"type": "start"}, {"type": "text-start", "id": "t"}])
    update = {**to_wire(folded([{"type": "start"}])), "from": first, "at": at}
    with pytest.raises(HoldfastError) as refusal:
        apply_patch(have, update)
    assert refusal.value.code == "reset"


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("é日", 2), ("🙂", 2), ("a👩‍👩‍👧", 9)])
def test_lengths_are_in_utf_16_units(text: str, length: int) -> None:
    assert utf16_length(text) == length
