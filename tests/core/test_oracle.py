"""Two independent folds of the same random responses, the AI SDK's and the browser's: all must agree."""

import json
import subprocess
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings

from sessions_app.core.advance import advance
from sessions_app.core.ai_sdk import for_ai_sdk
from sessions_app.core.fold import to_wire
from sessions_app.core.snapshot import held, patch
from sessions_app.core.unfold import unfold
from sessions_app.core.vocabulary import CHUNKS, check
from tests.core import conversations
from tests.core.conversations import attached, conversation
from tests.core.sequences import events, folded, response
from tests.services import require, require_package

pytestmark = pytest.mark.hypothesis  # its profile says how many responses

# Of the responses that are joined from two states: one in thousands has a field that no later chunk could set.
MOST = 1000

JS = Path(__file__).parents[1] / "js"


@cache
def responses() -> list[list[dict[str, Any]]]:
    """Return as many random responses as the profile says: 3,000 in a long run."""
    return [response(seed, length=seed % 50) for seed in range(15 * settings().max_examples)]


def run_node(script: str, lines: list[dict[str, Any]]) -> list[Any]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([require("node"), JS / script], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def test_the_random_responses_are_valid_and_use_every_chunk_type() -> None:
    used = set()
    for chunks in responses():
        for chunk in chunks:
            check(chunk, max_bytes=10_000)
            used.add("data-*" if chunk["type"].startswith("data-") else chunk["type"])
    assert used == set(CHUNKS) - {"message", "interrupt"}


def test_our_fold_equals_the_ai_sdks() -> None:
    require("node")
    require_package("ai")
    lines: list[dict[str, Any]] = []
    for seed, chunks in enumerate(responses()):
        within = [Random(seed).randint(1, len(chunks))] if seed % 3 == 0 else []
        lines.append({"chunks": chunks, "cuts": [*within, len(chunks)]})
    for line, results in zip(lines, run_node("oracle.mjs", lines), strict=True):
        for cut, result in zip(line["cuts"], results, strict=True):
            chunks = line["chunks"][:cut]
            assert result["errors"] == [], chunks
            assert ours(chunks) == theirs(result["message"]), chunks


def test_the_ai_sdk_makes_the_same_message_of_an_unfolded_one() -> None:
    """It takes each chunk that it is sent, and has the message after the replay, and after what follows live."""
    require("node")
    lines: list[dict[str, Any]] = []
    for seed, chunks in enumerate(responses()):
        cut = Random(seed).randint(1, len(chunks))
        told = [chunk for each in unfold(folded(chunks[:cut])) for chunk in for_ai_sdk(each)]
        live = [chunk for each in chunks[cut:] for chunk in for_ai_sdk(each)]
        lines.append({"chunks": told + live, "cuts": [len(told), len(told + live)], "strict": True, "cut": cut})
    for line, results, chunks in zip(lines, run_node("oracle.mjs", lines), responses(), strict=True):
        *states, refused = results
        assert refused == []
        for state, cut in zip(states, (line["cut"], len(chunks)), strict=True):
            assert state["errors"] == []
            assert without_nulls(theirs(state["message"])) == without_nulls(ours(chunks[:cut])), line


def test_the_ai_sdk_is_brought_from_one_state_to_a_later_one() -> None:
    require("node")
    lines: list[dict[str, Any]] = []
    for seed, chunks in enumerate(responses()[:MOST]):
        cut = Random(seed).randint(1, len(chunks))
        later = Random(-seed).randint(cut, len(chunks))
        between = advance(folded(chunks[:cut]), folded(chunks[:later]))
        told = [
            [chunk for each in part for chunk in for_ai_sdk(each)] for part in (chunks[:cut], between, chunks[later:])
        ]
        sent = sum(told, [])
        lines.append({"chunks": sent, "cuts": [len(sent) - len(told[2]), len(sent)], "strict": True, "later": later})
    for line, results, chunks in zip(lines, run_node("oracle.mjs", lines), responses()[:MOST], strict=True):
        *states, refused = results
        assert refused == []
        for state, cut in zip(states, (line["later"], len(chunks)), strict=True):
            assert state["errors"] == []
            assert without_nulls(theirs(state["message"])) == without_nulls(ours(chunks[:cut])), line


def without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    """The message without fields that JSON leaves out, and for which the AI SDK's transport requires a value."""
    names = ("input", "output", "data")
    parts = [
        {name: value for name, value in part.items() if value is not None or name not in names}
        for part in message["parts"]
    ]
    return {**message, "parts": parts}


def ours(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Our message as a UIMessage, with the raw input of open tool calls where the AI SDK keeps it."""
    message = json.loads(json.dumps(to_wire(folded(chunks))))
    for opened in message["open"]["tools"].values():
        if opened["text"]:
            message["parts"][opened["part"]]["rawInput"] = opened["text"]
    metadata = {} if message["metadata"] is None else {"metadata": message["metadata"]}
    return {"id": message["id"], "role": message["role"], "parts": message["parts"], **metadata}


def theirs(message: dict[str, Any]) -> dict[str, Any]:
    """The AI SDK's message without its guesses at inputs that aren't complete."""
    for part in message["parts"]:
        if part.get("state") == "input-streaming":
            part.pop("input", None)
    return message


def test_the_browsers_fold_makes_the_same_messages_and_applies_the_same_patches() -> None:
    """And its unfolded messages fold to the same."""
    lines, expected = [], []
    for seed, chunks in enumerate(responses()):
        cut = Random(seed).randint(1, len(chunks))
        read = Random(-seed).randint(cut, len(chunks))
        at_cut = folded(chunks[:cut])
        update = patch(folded(chunks[:read]), after=cut, held=held(at_cut))
        lines.append({"events": events(chunks), "cut": cut, "patch": update})
        end = to_wire(folded(chunks))
        expected.append(
            {"atCut": {"message": to_wire(at_cut), "held": held(at_cut)}, "end": end, "resumed": end, "unfolded": end}
        )
    for line, result, wanted in zip(lines, run_node("oracle-fold.mjs", lines), expected, strict=True):
        assert result == json.loads(json.dumps(wanted)), line


def test_the_browsers_session_ends_with_the_same_messages() -> None:
    lines, expected = [], []
    for seed in range(4 * settings().max_examples):
        log, random, keep = conversation(seed), Random(seed), seed % 2 == 0
        cut = random.randint(1, len(log))
        upto = random.randint(cut, len(log))
        first = attached(log, cut=0, upto=0, keep_replaced=keep) | {"resumed": False}
        back = attached(log, cut=cut, upto=upto, keep_replaced=keep)
        frames = [first, events_frame(log[:cut]), back, events_frame(log[upto - 1 :])]
        lines.append({"frames": frames, "keep": keep})
        messages = [to_wire(message) for message in conversations.folded(log, keep_replaced=keep).values()]
        expected.append({"messages": messages, "cursor": f"e-{len(log)}", "attaching": False})
    for line, result, wanted in zip(lines, run_node("oracle-session.mjs", lines), expected, strict=True):
        assert result == json.loads(json.dumps(wanted)), line


def events_frame(log: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "events", "session": "session", "cursor": f"e-{log[-1]['serial']}", "events": log}
