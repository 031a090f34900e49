"""The OpenAI Agents SDK: handoffs, agents within tools, guardrails, limits, responses that are cut off."""

from typing import Any

import pytest
from agents import Agent, GuardrailFunctionOutput, RunConfig, function_tool, input_guardrail
from agents.run import CallModelData, ModelInputData
from openai.types.responses.response import IncompleteDetails

from agents_app.adapters import failures
from agents_app.adapters.openai_agents.agent import REFUSED, answer
from agents_app.adapters.values import UNSHOWABLE
from agents_app.testing import approve, rehearse
from tests.adapters.kits import openai_agents_kit as kit
from tests.adapters.kits.script import Call, Desk, Step, Told, look, send


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def play(agent: Any, **people: Any) -> Any:
    return await rehearse(lambda turn: answer(turn, agent), "Go", **people)


async def test_a_handoff_is_a_call_and_names_the_next_agent(desk: Desk) -> None:
    requests: list[Told] = []
    other = Agent(name="Expert", model=kit.ScriptedModel([[send("Ann", "call_2")], ["Expertly."]], desk, requests),
                  tools=[function_tool(needs_approval=True)(desk.send)])  # fmt: skip
    script: list[Step] = [["One moment. ", Call("{}", "transfer_to_expert", "call_1")]]
    agent = kit.scripted_agent(script, desk, [], handoffs=[other])
    told = await play(agent, decisions=[approve({"to": "Bob"})])
    assert (told.status, told.text, desk.sent) == ("complete", "One moment. Expertly.", ["Bob"])
    assert told.tool("transfer_to_expert")["output"] == {"assistant": "Expert"}
    assert [part["data"] for part in told.message.parts if part["type"] == "data-agent"] == [{"name": "Expert"}]


async def test_an_agent_within_a_tool_leaves_the_steers_to_the_outer_one(desk: Desk) -> None:
    inner_requests: list[Told] = []
    outer_requests: list[Told] = []
    inner = Agent(name="Inner", model=kit.ScriptedModel([[look("inside", "call_I")], ["Inner."]], desk, inner_requests),
                  tools=[function_tool(desk.look)])  # fmt: skip
    delegate = inner.as_tool(tool_name="delegate", tool_description="Delegate.")
    script: list[Step] = [[Call('{"input": "t"}', "delegate", "call_1")], ["Outer."]]
    agent = Agent(name="Outer", model=kit.ScriptedModel(script, desk, outer_requests), tools=[delegate])
    told = await play(agent, steers={1: "hurry"})
    assert (told.text, told.unread) == ("Outer.", [])
    assert ("user", "hurry") in outer_requests[1] and "hurry" not in str(inner_requests)
    assert told.tool("delegate")["output"] == "Inner."


async def test_the_configurations_own_filter_still_counts(desk: Desk) -> None:
    def shorten(data: CallModelData[Any]) -> ModelInputData:
        return ModelInputData(input=data.model_data.input[-1:], instructions=None)

    requests: list[Told] = []
    agent = kit.scripted_agent([[look("here")], ["Done."]], desk, requests)
    config = RunConfig(call_model_input_filter=shorten)
    told = await rehearse(lambda turn: answer(turn, agent, run_config=config), "Go", steers={1: "hurry"})
    assert (told.text, requests[1]) == ("Done.", [("user", "hurry")])


async def test_an_endless_agent_is_stopped(desk: Desk) -> None:
    told = await play(kit.scripted_agent([[look("x", f"call_{number}")] for number in range(20)], desk, []))
    assert (told.status, told.message.reason) == ("failed", failures.LIMIT)


async def test_a_guardrail_refuses_with_words(desk: Desk) -> None:
    @input_guardrail
    def never(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="private", tripwire_triggered=True)

    told = await play(kit.scripted_agent([["Never."]], desk, [], input_guardrails=[never]))
    assert (told.status, told.message.reason) == ("failed", REFUSED) and "private" not in str(told.chunks)


async def test_a_response_that_is_cut_off_is_no_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.ScriptedResponse, "end", lambda self: [])
    told = await play(kit.scripted_agent([["So far", look("here")]], desk, []))
    assert (told.status, told.text, desk.looked) == ("failed", "So far", [])


async def test_a_response_that_reached_its_limit_runs_no_tool(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kit.ScriptedResponse.end

    def incomplete(self: Any) -> Any:
        *before, last = whole(self)
        last.response.incomplete_details = IncompleteDetails(reason="max_output_tokens")
        yield from [*before, last]

    monkeypatch.setattr(kit.ScriptedResponse, "end", incomplete)
    told = await play(kit.scripted_agent([["So far"]], desk, []))
    assert (told.status, told.message.reason, told.text) == ("failed", failures.TOO_LONG, "So far")


async def test_arguments_that_cannot_be_shown_are_denied(desk: Desk) -> None:
    told = await play(kit.scripted_agent([[send("x" * 70_000)], ["As you like."]], desk, []))
    assert (told.text, desk.sent, told.tool("send")["errorText"]) == ("As you like.", [], UNSHOWABLE)
