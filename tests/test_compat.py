"""The comparison of what a client shows with what is stored finds every difference, and allows only what it names."""

from copy import deepcopy
from typing import Any

import pytest

from tests.compat.compare import difference
from tests.compat.scenario import is_at_rest

CALL = {
    "type": "tool-refund",
    "toolCallId": "c-1",
    "state": "output-available",
    "input": {"n": 1},
    "output": {"paid": 2},
}
STORED = [
    {
        "id": "m_1",
        "role": "assistant",
        "status": "complete",
        "reason": "stop",
        "metadata": {"spent": 3},
        "created_at": 1796086937087,
        "parts": [
            {"type": "step-start"},
            {"type": "reasoning", "id": "r", "text": "hm", "state": "done"},
            {"type": "text", "text": "潮汐", "state": "done"},
            {"type": "source-url", "sourceId": "s", "url": "https://tides.example/"},
            {"type": "data-chart", "data": [1, None]},
            CALL | {"approval": {"id": "a", "approved": True}, "callProviderMetadata": {"holdfast": {"edited": False}}},
        ],
    }
]
PLACES = [
    ("id",), ("metadata", "spent"), ("parts", 1, "text"), ("parts", 2, "text"), ("parts", 2, "state"),
    ("parts", 3, "url"), ("parts", 4, "data"), ("parts", 5, "output", "paid"),
    ("parts", 5, "input"), ("parts", 5, "output"), ("parts", 5, "approval", "approved"),
]  # fmt: skip


def changed(place: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the stored messages with another value at one place."""
    messages = deepcopy(STORED)
    holder: Any = messages[0]
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = "other"
    return messages


def test_what_is_stored_is_no_difference() -> None:
    assert not difference("ai-sdk-http", deepcopy(STORED), STORED, decides=False)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_changed_value_is_a_difference(place: tuple[Any, ...]) -> None:
    assert difference("ai-sdk-http", changed(place), STORED, decides=True)


@pytest.mark.parametrize("index", range(6))
def test_a_lost_or_doubled_part_is_a_difference(index: int) -> None:
    lost, doubled = deepcopy(STORED), deepcopy(STORED)
    del lost[0]["parts"][index]
    doubled[0]["parts"].insert(index, doubled[0]["parts"][index])
    for shown in (lost, doubled):
        assert difference("ai-sdk-http", shown, STORED, decides=False)


def test_only_the_client_that_decided_may_lack_who_did() -> None:
    shown = deepcopy(STORED)
    del shown[0]["parts"][5]["callProviderMetadata"]
    assert not difference("ai-sdk-http", shown, STORED, decides=True)
    assert difference("ai-sdk-http", shown, STORED, decides=False)


def test_a_session_rests_only_with_just_what_it_is_to_wait_for() -> None:
    asking = {"type": "tool-refund", "toolCallId": "c-2", "state": "approval-requested", "approval": {"id": "b"}}
    preliminary = CALL | {"preliminary": True}
    streaming = STORED[0] | {"status": "streaming"}
    assert is_at_rest([STORED[0]], 0, 0, True)
    assert is_at_rest([streaming | {"parts": [CALL, asking]}], 1, 0, False)
    for parts, ended in (([CALL], False), ([asking, asking], False), ([asking, preliminary], False), ([asking], True)):
        assert not is_at_rest([streaming | {"parts": parts}], 1, 0, ended)
