"""Unfold: its chunks fold to the same message, and whatever follows folds on it as on the original."""

import copy
import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import MessageState, apply, begin, to_wire
from sessions_app.core.unfold import unfold
from sessions_app.core.vocabulary import check
from tests.core.sequences import MESSAGE, events, folded, response

SERIALS = ("first_serial", "last_serial", "created_at")

CALLS = [
    {"toolCallId": id, "toolName": name, **kind} for id in "ab" for name in "xy" for kind in ({}, {"dynamic": True})
]
PROVIDER: list[dict[str, Any]] = [{}, {"providerMetadata": {"p": {"n": 1}}}, {"providerMetadata": {"p": {"n": 2}}}]
LASTING = [*PROVIDER, {"toolMetadata": {"t": 1}}, {"providerExecuted": True}]


def any_chunk(random: Random) -> dict[str, Any]:
    """A chunk about few ids, so that many of them meet. The fold may refuse it."""
    id, call, approval = random.choice("12"), random.choice(CALLS), random.choice("AB")
    named = {"toolCallId": call["toolCallId"]}
    return random.choice([
        {"type": "start-step"}, {"type": "start-step"}, {"type": "finish-step"},
        {"type": "reset-step"} if random.random() < 0.5 else {"type": "start-step"},
        {"type": "text-start", "id": id, **random.choice(PROVIDER)},
        {"type": "text-delta", "id": id, "delta": random.choice("xyz")},
        {"type": "text-end", "id": id, **random.choice(PROVIDER)},
        {"type": "reasoning-start", "id": id}, {"type": "reasoning-delta", "id": id, "delta": "r"},
        {"type": "reasoning-end", "id": id, **random.choice(PROVIDER)},
        {"type": "tool-input-start", **call, **random.choice([{"inputEncoding": "text"}, {"title": "T"}, {}])},
        {"type": "tool-input-start", **call}, {"type": "tool-input-delta", **named, "inputTextDelta": "i"},
        {"type": "tool-input-available", **call, **random.choice(LASTING), **random.choice([{"input": id}, {}])},
        {"type": "tool-input-error", **call, **random.choice([{"input": 0}, {}]), "errorText": "wrong"},
        {"type": "tool-approval-request", "approvalId": approval, **named, **random.choice([{"reason": "r"}, {}])},
        {"type": "tool-approval-response", "approvalId": approval, "approved": random.random() < 0.6},
        {"type": "tool-output-available", **named, "output": id, **random.choice([{"preliminary": True}, *LASTING])},
        {"type": "tool-output-error", **named, "errorText": "failed", **random.choice(LASTING)},
        {"type": "tool-output-denied", **named},
        {"type": "data-d", "data": id, **random.choice([{"id": "1"}, {}])},
        {"type": "message-metadata", "messageMetadata": {id: id}},
    ])  # fmt: skip


def taken(random: Random, length: int) -> MessageState:
    """The message of random chunks, of which the fold has refused those that don't fit."""
    message = begin({"serial": 1, "message": MESSAGE, "at": 1000, "chunk": {"type": "start"}})
    go_on(message, random, length)
    return message


def go_on(message: MessageState, random: Random, length: int) -> None:
    for serial in range(message.last_serial + 1, message.last_serial + 1 + length):
        try:
            apply(message, serial, any_chunk(random))  # type: ignore[arg-type]
        except HoldfastError:
            continue


def refolded(message: MessageState) -> MessageState:
    chunks = json.loads(json.dumps(unfold(message)))
    for chunk in chunks:
        check(chunk, max_bytes=10**6)
    assert ("message" if message.role != "assistant" else "start") == chunks[0]["type"]
    return folded(chunks)


def content(message: MessageState) -> dict[str, Any]:
    return {name: value for name, value in to_wire(message).items() if name not in SERIALS}


@given(seed=st.integers(0, 10**6), length=st.integers(0, 60))
def test_a_random_responses_chunks_fold_to_it_at_every_cut(seed: int, length: int) -> None:
    log = events(response(seed, length))
    message = begin(log[0])  # type: ignore[arg-type]
    assert content(refolded(message)) == content(message)
    for event in log[1:]:
        apply(message, event["serial"], event["chunk"])
        assert content(refolded(message)) == content(message)


@given(seed=st.integers(0, 10**6), cut=st.integers(0, 60))
def test_later_chunks_fold_on_an_unfolded_message_as_on_the_original(seed: int, cut: int) -> None:
    log = events(response(seed, 60))
    message = folded([event["chunk"] for event in log[: cut + 1]])
    again = refolded(message)
    for event in log[cut + 1 :]:
        apply(message, event["serial"], copy.deepcopy(event["chunk"]))
        apply(again, event["serial"] + 1000, event["chunk"])
    assert content(again) == content(message)


@given(seed=st.integers(0, 10**9), length=st.integers(0, 80))
def test_whatever_the_fold_takes_unfolds(seed: int, length: int) -> None:
    """Ids meet here: texts begun again, calls of two kinds with one id, inputs and texts cut off by reset steps."""
    message = taken(Random(seed), length)
    again = refolded(message)
    assert content(again) == content(message)
    go_on(message, Random(-seed), 20)
    again.last_serial = message.last_serial - 20
    go_on(again, Random(-seed), 20)
    assert content(again) == content(message)
