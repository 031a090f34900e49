"""Branches: alternatives and continuations, for every client and for a model."""

import copy
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.branches import joined, path, subtree
from sessions_app.core.fold import MessageState, fold, to_wire
from sessions_app.core.snapshot import apply_attached
from tests.core.conversations import attached, conversation, folded, is_chain


def over_the_wire(value: Any) -> Any:
    return json.loads(json.dumps(value))


def wire(messages: dict[str, MessageState]) -> dict[str, Any]:
    return {id: to_wire(message) for id, message in messages.items()}


@pytest.mark.parametrize("keep_replaced", [False, True])
@given(seed=st.integers(0, 10**6))
def test_catching_up_equals_live_at_every_cut_point(keep_replaced: bool, seed: int) -> None:
    log, random = conversation(seed), Random(seed)
    whole = wire(folded(log, keep_replaced=keep_replaced))
    live: dict[str, MessageState] = {}
    for cut in range(len(log) + 1):
        upto = random.randint(cut, len(log))
        client = copy.deepcopy(live)
        answer = over_the_wire(attached(log, cut=cut, upto=upto, keep_replaced=keep_replaced))
        apply_attached(client, answer, after=cut)
        for event in copy.deepcopy(log[upto:]):
            fold(client, event, keep_replaced=keep_replaced)  # type: ignore[arg-type]
        assert wire(client) == whole, f"from {cut} at {upto}"
        if cut < len(log):
            fold(live, copy.deepcopy(log[cut]), keep_replaced=keep_replaced)  # type: ignore[arg-type]


@given(seed=st.integers(0, 10**6))
def test_the_messages_on_show_are_one_chain_for_every_client(seed: int) -> None:
    log = conversation(seed, turns=10)
    for end in range(len(log) + 1):
        everything = folded(log[:end], keep_replaced=True)
        assert is_chain(everything)
        shown = {id: message for id, message in everything.items() if message.replaced_by is None}
        assert shown == folded(log[:end], keep_replaced=False)


def test_the_random_conversations_have_both_kinds_of_retries() -> None:
    events = [event for seed in range(20) for event in conversation(seed)]
    assert any("continues" in event for event in events)
    assert any(len(event.get("replaces", [])) > 2 for event in events)


def test_a_client_skips_replaced_messages_that_are_older_than_its_own() -> None:
    log = next(log for log in map(conversation, range(99)) if any(len(e.get("replaces", [])) > 2 for e in log))
    at = next(event["serial"] for event in log if len(event.get("replaces", [])) > 2)
    client = folded(log[: at - 1], keep_replaced=True)
    oldest = log[at - 1]["replaces"][0]
    del client[oldest]  # it rewound to less
    apply_attached(client, attached(log, cut=at - 1, upto=at, keep_replaced=True), after=at - 1)  # type: ignore[arg-type]
    assert oldest not in client
    assert all(client[id].replaced_by for id in log[at - 1]["replaces"][1:])


def message(id: str, *parts: Any, serial: int = 1, **fields: Any) -> MessageState:
    return MessageState(id, "assistant", fields.pop("status", "complete"), serial, serial, 0, parts=[*parts], **fields)


def text(written: str, state: str = "done") -> Any:
    return {"type": "text", "text": written, "state": state}


STEP: Any = {"type": "step-start"}
THOUGHT: Any = {"type": "reasoning", "id": "r", "text": "hm", "state": "done"}
TOOL: Any = {"type": "tool-look", "toolCallId": "c", "state": "output-available"}


def test_a_chain_of_continuations_is_one_answer() -> None:
    chain = [
        message("m_1", STEP, text("Hello w", "streaming"), status="failed", reason="gone", metadata={"a": {"b": 1}}),
        message("m_2", STEP, text("or", "streaming"), status="interrupted", continues="m_1", parent="m_1"),
        message("m_3", STEP, text("ld"), continues="m_2", parent="m_2", metadata={"a": {"c": 2}}),
    ]
    before = copy.deepcopy(chain)
    [answer] = joined(chain)
    assert answer.parts == [STEP, text("Hello world")]
    assert (answer.id, answer.status, answer.reason, answer.parent) == ("m_1", "complete", None, None)
    assert answer.metadata == {"a": {"b": 1, "c": 2}}
    assert chain == before


@pytest.mark.parametrize(
    ("earlier", "later", "parts"),
    [
        ([text("a")], [STEP, THOUGHT, text("b")], [THOUGHT, text("ab")]),
        ([text("a"), STEP], [STEP, text("b")], [text("a"), STEP, STEP, text("b")]),
        ([THOUGHT], [text("b")], [THOUGHT, text("b")]),
        ([text("a")], [STEP, TOOL, text("b")], [text("a"), STEP, TOOL, text("b")]),
        ([text("a"), TOOL], [text("b")], [text("a"), TOOL, text("b")]),
        ([], [text("b")], [text("b")]),
        ([text("a")], [STEP], [text("a"), STEP]),
    ],
)
def test_only_texts_that_meet_are_joined(earlier: list[Any], later: list[Any], parts: list[Any]) -> None:
    assert joined([message("m_1", *earlier), message("m_2", *later, continues="m_1")])[0].parts == parts


def test_a_continuation_stands_alone_without_its_beginning() -> None:
    messages = [message("m_2", text("b"), continues="m_1"), message("m_3", text("c"))]
    assert joined(messages) == messages


def test_a_path_is_in_the_order_of_parents() -> None:
    queued = [
        message("u_1"), message("u_2", serial=2, parent="m_1"), message("m_1", serial=3, parent="u_1"),
        message("m_2", serial=4, parent="u_2"),
    ]  # fmt: skip
    assert [each.id for each in path(queued, "m_2")] == ["u_1", "m_1", "u_2", "m_2"]
    assert [each.id for each in path(queued, "m_1")] == ["u_1", "m_1"]
    assert path(queued, "m_none") == queued


def test_a_path_goes_on_where_a_parent_is_missing() -> None:
    left = [message("u_1"), message("u_2", serial=5, parent="m_purged"), message("m_2", serial=6, parent="u_2")]
    assert path(left, "m_2") == left


def test_a_path_ends_even_if_parents_form_a_circle() -> None:
    circle = [message("a", parent="b"), message("b", serial=2, parent="a")]
    assert [each.id for each in path(circle, "a")] == ["b", "a"]


def test_a_subtree_has_all_that_follow() -> None:
    parents = [("u_1", None), ("m_1", "u_1"), ("u_2", "m_1"), ("m_2", "u_2"), ("m_3", "u_1")]
    assert subtree("m_1", parents) == ["m_1", "u_2", "m_2"]
    assert subtree("m_9", parents) == ["m_9"]
