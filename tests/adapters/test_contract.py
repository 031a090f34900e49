"""The contract of all adapters: the same script through each framework gives the same answer."""

import json
from typing import Any

import pytest

from agents_app.testing import Rehearsal, approve, deny, expire, person, rehearse, response
from sessions_app.core.fold import MessageState
from sessions_app.core.tools import UNKNOWN_OUTCOME
from tests.adapters.kits import KITS
from tests.adapters.kits.script import Call, Cite, Desk, Fail, Made, Step, Think, Used, look, send

CITY = '{"name": "Rome", "people": 3}'
SECRET = "sk-secret-of-the-provider"


@pytest.fixture(params=KITS, ids=lambda kit: kit.name)
def kit(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def desk() -> Desk:
    return Desk()


def needs(kit: Any, ability: str) -> None:
    if ability in kit.lacks:
        pytest.skip(f"the framework has no {ability}")


async def play(kit: Any, script: list[Step], desk: Desk, *, structured: bool = False, **people: Any) -> Rehearsal:
    made: Made = kit.make(script, desk, structured=structured)
    return await rehearse(made.agent, "Go", **people)


def calls(told: Rehearsal) -> list[tuple[str, Any, str]]:
    tools = [part for part in told.message.parts if part["type"].startswith("tool-")]
    return [(part["type"].removeprefix("tool-"), part.get("input"), part["state"]) for part in tools]


async def test_text_is_exact(kit: Any, desk: Desk) -> None:
    told = await play(kit, [["One, ", "two", "\n\n  three ", "😀."]], desk)
    assert (told.status, told.text) == ("complete", "One, two\n\n  three 😀.")
    assert [part["type"] for part in told.message.parts] == ["step-start", "text"]


async def test_reasoning_comes_before_the_text(kit: Any, desk: Desk) -> None:
    told = await play(kit, [[Think("Let me "), Think("think."), "Yes."]], desk)
    assert (told.reasoning, told.text) == ("Let me think.", "Yes.")
    assert [part["type"] for part in told.message.parts] == ["step-start", "reasoning", "text"]


async def test_a_tool_is_called_and_its_output_goes_to_the_model(kit: Any, desk: Desk) -> None:
    made = kit.make([["Let me look. ", look("here")], ["There."]], desk)
    told = await rehearse(made.agent, "Go")
    assert (told.text, desk.looked) == ("Let me look. There.", ["here"])
    assert calls(told) == [("look", {"where": "here"}, "output-available")]
    assert told.tool("look")["output"] == "here: found"
    assert ("tool", "here: found") in made.requests[1]
    assert [chunk["type"] for chunk in told.chunks].count("start-step") == 2


async def test_interleaved_arguments_go_to_their_own_calls(kit: Any, desk: Desk) -> None:
    pieces = [
        Call("", "look", "call_A", 0), Call("", "look", "call_B", 1), Call('{"whe', index=0),
        Call('{"where": ', index=1), Call('re": "left"}', index=0), Call('"right"}', index=1),
    ]  # fmt: skip
    needs(kit, "interleaved arguments")
    told = await play(kit, [["Both. ", *pieces], ["Done."]], desk)
    outputs = {part["input"]["where"]: part["output"] for part in told.message.parts if part["type"] == "tool-look"}
    assert outputs == {"left": "left: found", "right": "right: found"}
    assert sorted(desk.looked) == ["left", "right"]
    streamed = [chunk for chunk in told.chunks if chunk["type"] == "tool-input-delta"]
    assert {chunk["toolCallId"] for chunk in streamed} == {"call_A", "call_B"}


async def test_ids_that_come_again_in_another_step_are_other_calls(kit: Any, desk: Desk) -> None:
    needs(kit, "repeated ids")
    told = await play(kit, [[look("a")], [look("b")], ["Done."]], desk)
    assert [part["output"] for part in told.message.parts if part["type"] == "tool-look"] == ["a: found", "b: found"]


async def test_a_tools_error_goes_to_the_model(kit: Any, desk: Desk) -> None:
    desk.problem = kit.problem("No such place.")
    made = kit.make([[look("nowhere")], ["A pity."]], desk)
    told = await rehearse(made.agent, "Go")
    assert (told.status, told.text) == ("complete", "A pity.")
    assert "No such place." in next(text for role, text in made.requests[1] if role == "tool")
    part = told.tool("look")
    told_apart = "tool errors" not in kit.lacks
    assert part["state"] == ("output-error" if told_apart else "output-available")
    assert "No such place." in part["errorText" if told_apart else "output"]


async def test_a_failing_model_fails_the_answer_and_keeps_its_text(kit: Any, desk: Desk) -> None:
    told = await play(kit, [["So far", Fail(f"refused {SECRET}")]], desk)
    assert (told.status, told.text) == ("failed", "So far")
    assert told.message.reason and "model" in told.message.reason
    assert SECRET not in str(told.chunks)


async def test_usage_is_counted(kit: Any, desk: Desk) -> None:
    needs(kit, "usage")
    told = await play(kit, [[look("here"), Used(10, 3)], ["There.", Used(20, 4)]], desk)
    assert (told.input_tokens, told.output_tokens) == (30, 7)


async def test_sources_are_parts(kit: Any, desk: Desk) -> None:
    needs(kit, "sources")
    told = await play(kit, [["It says so.", Cite("https://example.com/a", "A")]], desk)
    [source] = [part for part in told.message.parts if part["type"] == "source-url"]
    assert (source["url"], source["title"], told.text) == ("https://example.com/a", "A", "It says so.")


async def test_structured_output_is_data(kit: Any, desk: Desk) -> None:
    needs(kit, "structured output")
    told = await play(kit, [[look("here", "call_0")], kit.structured(CITY)], desk, structured=True)
    assert told.status == "complete"
    assert [part["data"] for part in told.message.parts if part["type"] == "data-output"] == [json.loads(CITY)]
    assert [name for name, *_ in calls(told)] == ["look"] and told.text == ""
    assert "final_result" not in str(told.chunks)


async def test_the_model_gets_the_history(kit: Any, desk: Desk) -> None:
    looked: MessageState = response("It is here.")
    call = {"type": "tool-look", "toolCallId": "c", "state": "output-available", "input": {"where": "x"}}
    looked.parts = [{**call, "output": "x: found"}, *looked.parts]  # type: ignore[typeddict-item,list-item]
    made = kit.make([["Yes."]], desk)
    told = await rehearse(made.agent, "Sure?", history=[person("Where?"), looked])
    assert told.text == "Yes."
    assert made.requests[0] == [
        ("user", "Where?"), ("tool", "x: found"), ("assistant", "It is here."), ("user", "Sure?")
    ]  # fmt: skip


async def test_a_broken_off_answer_is_continued(kit: Any, desk: Desk) -> None:
    made = kit.make([["two."]], desk)
    earlier = response("One, ", status="interrupted")
    told = await rehearse(made.agent, "Count", mode="continue", earlier=earlier)
    assert told.text == "two."
    assert [role for role, _ in made.requests[0]] == ["user", "assistant", "user"]
    assert made.requests[0][:2] == [("user", "Count"), ("assistant", "One, ")]


async def test_an_answer_that_was_broken_off_before_its_first_word_is_begun_again(kit: Any, desk: Desk) -> None:
    made = kit.make([["One."]], desk)
    earlier = response("", status="interrupted")
    earlier.parts = [{"type": "step-start"}]
    told = await rehearse(made.agent, "Count", mode="continue", earlier=earlier)
    assert (told.text, made.requests[0]) == ("One.", [("user", "Count")])


async def test_a_steer_reaches_the_model_before_its_next_request(kit: Any, desk: Desk) -> None:
    made = kit.make([[look("here")], [look("there", "call_2")], ["Done."]], desk)
    told = await rehearse(made.agent, "Go", steers={1: "and hurry"})
    if "steers" in kit.lacks:
        assert (told.status, told.unread) == ("complete", ["and hurry"])  # it is the next question
        return
    assert told.unread == [] and ("user", "and hurry") in made.requests[1] and ("user", "and hurry") in made.requests[2]
    assert [part["type"] for part in told.message.parts].count("steering-message") == 1
    kinds = [role for role, _ in made.requests[1]]
    assert kinds == ["user", "tool", "user"]


# Approvals


async def test_an_approved_call_runs(kit: Any, desk: Desk) -> None:
    made = kit.make([[send("Ann")], ["Sent."]], desk)
    told = await rehearse(made.agent, "Go", decisions=[approve()])
    assert (told.status, told.text, desk.sent) == ("complete", "Sent.", ["Ann"])
    assert calls(told) == [("send", {"to": "Ann"}, "output-available")]
    assert told.tool("send")["output"] == "sent to Ann"
    assert ("tool", "sent to Ann") in made.requests[1]


async def test_an_approved_call_runs_with_edited_arguments(kit: Any, desk: Desk) -> None:
    made = kit.make([[send("Ann")], ["Sent."]], desk)
    told = await rehearse(made.agent, "Go", decisions=[approve({"to": "Bob"})])
    assert (told.text, desk.sent) == ("Sent.", ["Bob"])
    assert calls(told) == [("send", {"to": "Bob"}, "output-available")]
    assert told.tool("send")["output"].endswith("sent to Bob")
    assert any("sent to Bob" in text for role, text in made.requests[1] if role == "tool")


@pytest.mark.parametrize("decision", [deny("Not today."), expire()], ids=["denied", "expired"])
async def test_a_denied_call_does_not_run(kit: Any, desk: Desk, decision: Any) -> None:
    made = kit.make([[send("Ann")], ["As you like."]], desk)
    told = await rehearse(made.agent, "Go", decisions=[decision])
    assert (told.status, told.text, desk.sent) == ("complete", "As you like.", [])
    assert calls(told) == [("send", {"to": "Ann"}, "output-denied")]
    [said] = [text for role, text in made.requests[1] if role == "tool"]
    assert "No decision arrived in time" in said or "Not today." in said


async def test_parallel_calls_are_decided_one_by_one(kit: Any, desk: Desk) -> None:
    calls_ = [send("Ann", "call_A", 0), send("Bob", "call_B", 1), Call('{"where": "here"}', "look", "call_C", 2)]
    told = await play(kit, [calls_, ["Done."]], desk, decisions=[deny("No."), approve()])
    states = {part["toolCallId"]: part["state"] for part in told.message.parts if part["type"].startswith("tool-")}
    assert states == {"call_A": "output-denied", "call_B": "output-available", "call_C": "output-available"}
    assert (desk.sent, desk.looked, told.text) == (["Bob"], ["here"], "Done.")


async def test_two_approvals_one_after_the_other(kit: Any, desk: Desk) -> None:
    script: list[Step] = [[send("Ann", "call_A")], ["One. ", send("Bob", "call_B")], ["Two."]]
    told = await play(kit, script, desk, decisions=[approve(), approve({"to": "Eve"})])
    assert (desk.sent, told.text) == (["Ann", "Eve"], "One. Two.")


async def test_a_call_whose_outcome_is_not_known_is_told_and_not_repeated(kit: Any, desk: Desk) -> None:
    earlier = response("Sending. ", status="interrupted")
    call = {"type": "tool-send", "toolCallId": "call_1", "state": "output-error", "input": {"to": "Ann"}}
    earlier.parts.append({**call, "errorText": UNKNOWN_OUTCOME})  # type: ignore[typeddict-item]
    made = kit.make([["It may have been sent."]], desk)
    told = await rehearse(made.agent, "Write to Ann", mode="continue", earlier=earlier)
    assert (told.text, desk.sent) == ("It may have been sent.", [])
    assert UNKNOWN_OUTCOME in [text for role, text in made.requests[0] if role == "tool"][0]
