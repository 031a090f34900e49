"""A pydantic-ai agent's reasoning, text and tool calls, as people see them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, PromptedOutput, RunContext
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ModelMessage,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartEndEvent,
    PartStartEvent,
)
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from agents_app.adapters.pydantic_ai.stream import EventWriter
from agents_app.adapters.values import storable
from agents_app.testing import CHUNK_BYTES, rehearse
from agents_app.turn import Turn
from sessions_app.core.fold import MessageState
from tests.models.scripted import call, request_parts, scripted, tool
from tests.support.person import text_of

pytestmark = pytest.mark.django_db(transaction=True)


def kinds(message: MessageState) -> list[str]:
    return [part["type"] for part in message.parts]


async def test_a_model_answers(talk: Any) -> None:
    conversation = await talk(Agent(TestModel(custom_output_text="Good day to you.")))
    answer = await conversation.ask("Hello")
    assert (answer.status, answer.reason, text_of(answer)) == ("complete", "stop", "Good day to you.")
    assert kinds(answer) == ["step-start", "text"]


async def test_reasoning_streams_before_text(talk: Any) -> None:
    model, _ = scripted([
        {0: DeltaThinkingPart(content="First ")}, {0: DeltaThinkingPart(content="one.")},
        {1: DeltaThinkingPart(content="Then two.")}, "It is ", "two.",
    ])  # fmt: skip
    answer = await (await talk(Agent(model))).ask("Count")
    assert [(part["type"], part.get("text")) for part in answer.parts] == [
        ("step-start", None), ("reasoning", "First one.\n\nThen two."), ("text", "It is two."),
    ]  # fmt: skip


async def test_text_is_seen_before_the_model_has_finished(talk: Any) -> None:
    go_on = asyncio.Event()

    async def stream(messages: list[ModelMessage], info: object) -> AsyncIterator[str]:
        yield "One, "
        await go_on.wait()
        yield "two."

    conversation = await talk(Agent(FunctionModel(stream_function=stream)))
    await conversation.begin("Count")
    await conversation.wait_until(lambda: conversation.answer and text_of(conversation.answer) == "One, ")
    go_on.set()
    assert text_of(await conversation.ended()) == "One, two."


async def test_a_tools_arguments_stream_and_its_result_follows(talk: Any) -> None:
    go_on = asyncio.Event()

    async def stream(messages: list[ModelMessage], info: object) -> AsyncIterator[Any]:
        if len(messages) > 1:
            yield "It is there."
            return
        yield "Let me look. "
        yield call("look", '{"where": ')
        await go_on.wait()
        yield {1: DeltaToolCall(json_args='"the shelf"}')}

    agent = Agent(FunctionModel(stream_function=stream))

    @agent.tool_plain
    def look(where: str) -> dict[str, str]:
        return {"on": where}

    conversation = await talk(agent)
    await conversation.begin("Where is it?")
    await conversation.wait_until(lambda: conversation.answer and conversation.answer.open["tools"])
    assert conversation.answer.open["tools"]["call_1"]["text"] == '{"where": '
    go_on.set()
    answer = await conversation.ended()
    assert kinds(answer) == ["step-start", "text", "tool-look", "step-start", "text"]
    assert tool(answer) == {
        "type": "tool-look", "toolCallId": "call_1", "state": "output-available",
        "input": {"where": "the shelf"}, "output": {"on": "the shelf"},
    }  # fmt: skip


async def test_a_calls_id_may_arrive_after_its_name(talk: Any) -> None:
    late = [{0: DeltaToolCall("look", '{"where"')}, {0: DeltaToolCall(json_args=': "here"}', tool_call_id="late")}]
    model, given = scripted(late, late, ["Twice."])
    agent = Agent(model)

    @agent.tool_plain
    def look(where: str) -> str:
        return where

    answer = await (await talk(agent)).ask("Where?")
    outputs = [part["output"] for part in answer.parts if part["type"] == "tool-look"]
    assert (answer.status, outputs) == ("complete", ["here", "here"])


async def test_invalid_arguments_are_shown_and_retried(talk: Any) -> None:
    model, _ = scripted([call("look", '{"where": 7}')], [call("look", '{"where": "here"}')], ["Found."])
    agent = Agent(model)

    @agent.tool_plain
    def look(where: str) -> str:
        return where

    answer = await (await talk(agent)).ask("Where?")
    first, second = (part for part in answer.parts if part["type"] == "tool-look")
    assert (first["state"], first["input"]) == ("output-error", {"where": 7})
    assert "valid string" in first["errorText"]
    assert (second["state"], second["output"]) == ("output-available", "here")
    assert first["toolCallId"] != second["toolCallId"]  # though the model called both call_1
    assert answer.status == "complete"


@pytest.mark.parametrize("problem", [ModelRetry("Look elsewhere."), ToolFailed("Look elsewhere.")])
async def test_a_failing_tool_tells_the_model_and_the_people(talk: Any, problem: Exception) -> None:
    model, given = scripted([call("look", '{"where": "here"}')], ["It isn't there."])
    agent = Agent(model)

    @agent.tool_plain
    def look(where: str) -> str:
        raise problem

    answer = await (await talk(agent)).ask("Where?")
    assert (tool(answer)["state"], tool(answer)["errorText"]) == ("output-error", "Look elsewhere.")
    assert "Look elsewhere." in str(given[1][-1].parts)
    assert (answer.status, text_of(answer)) == ("complete", "It isn't there.")


async def test_a_broken_tool_fails_the_answer_without_internal_details(talk: Any) -> None:
    model, _ = scripted(["So far. ", call("look", "{}")])
    agent = Agent(model)

    @agent.tool_plain
    def look() -> str:
        raise ValueError("a secret of the inside")

    answer = await (await talk(agent)).ask("Where?")
    assert (answer.status, text_of(answer)) == ("failed", "So far. ")
    assert "secret" not in (answer.reason or "")


async def test_parallel_tools_each_get_their_result(talk: Any) -> None:
    calls = {**call("look", '{"where": "a"}', "call_1", index=0), **call("look", '{"where": "b"}', "call_2", index=1)}
    model, _ = scripted([calls], ["Both."])
    agent = Agent(model)

    @agent.tool_plain
    async def look(where: str) -> str:
        return where.upper()

    answer = await (await talk(agent)).ask("Where?")
    results = [(part["input"]["where"], part["output"]) for part in answer.parts if part["type"] == "tool-look"]
    assert results == [("a", "A"), ("b", "B")]


async def test_tools_get_the_dependencies_of_their_turn(talk: Any) -> None:
    agent: Agent[str, str] = Agent(TestModel(), deps_type=str)

    @agent.tool
    def look(ctx: RunContext[str]) -> str:
        return ctx.deps

    def asked(turn: Turn) -> str:
        return f"asked: {turn.prompt}"

    answer = await (await talk(agent, deps=asked)).ask("Where?")
    assert tool(answer)["output"] == "asked: Where?"


class Place(BaseModel):
    shelf: int


async def test_structured_output_is_data_and_part_of_the_history(talk: Any) -> None:
    model, given = scripted(
        [call("final_result", '{"shelf": "none"}')], [call("final_result", '{"shelf": 4}', "call_2")], ["Yes."]
    )
    conversation = await talk(Agent(model, output_type=[Place, str]))
    answer = await conversation.ask("Where?")
    assert answer.status == "complete"
    assert [part for part in answer.parts if part["type"] != "step-start"] == [
        {"type": "data-output", "data": {"shelf": 4}}
    ]
    await conversation.ask("Are you sure?")
    assert request_parts(given[2])[:2] == [("user-prompt", "Where?"), ("text", '{"shelf": 4}')]


@pytest.mark.parametrize("kind", [NativeOutput, PromptedOutput])
async def test_structured_output_that_comes_as_text_is_data(talk: Any, kind: Any) -> None:
    model, _ = scripted(['{"shelf":', " 4}"])
    model.profile["supports_json_schema_output"] = True
    answer = await (await talk(Agent(model, output_type=kind(Place)))).ask("Where?")
    assert answer.status == "complete"
    assert [part for part in answer.parts if part["type"] != "step-start"] == [
        {"type": "data-output", "data": {"shelf": 4}}
    ]


async def test_the_model_gets_the_history(talk: Any) -> None:
    model, given = scripted([call("look", '{"where": "here"}')], ["It is here."], ["Yes."])
    agent = Agent(model, instructions="Be brief.")

    @agent.tool_plain
    def look(where: str) -> dict[str, bool]:
        return {"found": True}

    conversation = await talk(agent)
    await conversation.ask("Where is it?")
    await conversation.ask("Are you sure?")
    assert request_parts(given[2]) == [
        ("user-prompt", "Where is it?"), ("tool-call", None), ("tool-return", {"found": True}),
        ("text", "It is here."), ("user-prompt", "Are you sure?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [float("nan"), 2**70, "half of \ud83d", b"\xff", {"deep": [[[[[{}]]]]]}, "x" * 300_000],
    ids=["nan", "large number", "half a character", "bytes", "nested", "long"],
)  # fmt: skip
async def test_any_tool_result_can_be_shown(talk: Any, value: Any) -> None:
    model, _ = scripted([call("look", "{}")], ["Seen."])
    agent = Agent(model)

    @agent.tool_plain
    def look() -> Any:
        return value

    answer = await (await talk(agent)).ask("Look")
    assert (answer.status, tool(answer)["state"], text_of(answer)) == ("complete", "output-available", "Seen.")


def test_a_value_that_is_too_long_is_cut_and_says_so(settings: Any) -> None:
    shown = storable({"text": "ä" * 1000}, 1000)
    assert len(shown.encode()) < 1000 + 100
    assert shown.startswith('{"text": "ä') and "cut here" in shown


async def test_a_model_that_sends_everything_at_once_is_stored(talk: Any) -> None:
    long = "ä€😀" * 30_000
    model, _ = scripted([{0: DeltaThinkingPart(content=long)}, long])
    answer = await (await talk(Agent(model))).ask("Speak")
    assert (answer.status, answer.parts[1]["text"] == long, text_of(answer) == long) == ("complete", True, True)


async def test_provider_tools_and_files_are_shown() -> None:
    search = NativeToolCallPart("web_search", {"query": "weather"}, tool_call_id="search_1")

    async def agent(turn: Turn) -> None:
        writer = EventWriter(turn)
        for part in (
            search,
            NativeToolReturnPart("web_search", ["sunny"], tool_call_id="search_1"),
            FilePart(BinaryContent(b"small", media_type="image/png")),
            FilePart(BinaryContent(b"large" * CHUNK_BYTES, media_type="image/png")),
        ):
            await writer.write(PartStartEvent(index=0, part=part))
            if part is search:
                await writer.write(PartEndEvent(index=0, part=search))

    _, found, small, large = (await rehearse(agent, "What is the weather?")).message.parts
    assert (found["state"], found["input"], found["output"]) == ("output-available", {"query": "weather"}, ["sunny"])
    assert found["providerExecuted"] is True
    assert (small["type"], small["url"]) == ("file", "data:image/png;base64,c21hbGw=")
    assert "too large" in large["text"]
