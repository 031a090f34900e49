"""A model's stream in any pieces: parts in turn, halves of characters, ids that come late or twice."""

from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import infer_model
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall

from agents_app.adapters.pydantic_ai.agent import answer
from agents_app.adapters.pydantic_ai.stream import EventWriter
from agents_app.testing import Rehearsal, approve, deny, rehearse
from agents_app.turn import Turn
from tests.models.scripted import scripted
from tests.support.model_server import ModelServer, chat


async def ask(agent: Agent[Any, Any], **script: Any) -> Rehearsal:
    return await rehearse(lambda turn: answer(turn, agent), "Go", **script)


def adder(*steps: Any, **tool: Any) -> Agent[None, str]:
    model, _ = scripted(*steps)
    agent = Agent(model)
    agent.tool_plain(**tool)(add)
    return agent


def add(a: int, b: int) -> int:
    return a + b


def calls(told: Rehearsal) -> list[tuple[str, Any, Any]]:
    tools = [part for part in told.message.parts if part["type"].startswith("tool-")]
    return [(part["toolCallId"], part.get("input"), part.get("output", part["state"])) for part in tools]


INTERLEAVED = [
    {0: DeltaToolCall("add", '{"a": 1, ', tool_call_id="call_A")},
    {1: DeltaToolCall("add", '{"a": 10, ', tool_call_id="call_B")},
    {0: DeltaToolCall(json_args='"b": 2}')},
    {1: DeltaToolCall(json_args='"b": 20}')},
]
BOTH = [("call_A", {"a": 1, "b": 2}, 3), ("call_B", {"a": 10, "b": 20}, 30)]


async def test_arguments_that_come_in_turn_go_to_their_own_calls() -> None:
    assert calls(await ask(adder(INTERLEAVED, ["Done."]))) == BOTH


async def test_each_of_two_approvals_shows_its_own_call() -> None:
    told = await ask(adder(INTERLEAVED, ["Done."], requires_approval=True), decisions=[approve(), deny("No.")])
    assert calls(told) == [BOTH[0], ("call_B", {"a": 10, "b": 20}, "output-denied")]


async def test_arguments_in_turn_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenAI's format allows: by index, with the id and the name in the first delta only."""

    def piece(index: int, arguments: str, **first: Any) -> dict[str, Any]:
        name = {"name": "add"} if first else {}
        return {"tool_calls": [{"index": index, **first, "function": {**name, "arguments": arguments}}]}

    pieces = [
        "Both: ", piece(0, "", id="call_A", type="function"), piece(1, '{"a": 10', id="call_B", type="function"),
        piece(0, '{"a": 1'), "and text between them. ", piece(1, ', "b": 20'), piece(0, ', "b": 2}'), piece(1, "}"),
    ]  # fmt: skip
    async with ModelServer(chat(*pieces, finish="tool_calls"), chat("Done.")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        agent = Agent(infer_model("openai-chat:stub"))
        agent.tool_plain(add)
        told = await ask(agent)
    assert calls(told) == BOTH
    assert told.text == "Both: and text between them. Done."


async def test_an_id_that_comes_late_while_another_call_streams() -> None:
    late = [
        {0: DeltaToolCall("add", '{"a": 1, ')},
        {1: DeltaToolCall("add", '{"a": 10, ')},
        {0: DeltaToolCall(json_args='"b": 2}', tool_call_id="late_A")},
        {1: DeltaToolCall(json_args='"b": 20}', tool_call_id="late_B")},
    ]
    outcomes = [each[1:] for each in calls(await ask(adder(late, ["Done."])))]
    assert outcomes == [each[1:] for each in BOTH]


async def test_two_calls_with_one_id_are_two_calls() -> None:
    same = [{0: DeltaToolCall("add", '{"a": 1, "b": 2}', tool_call_id="x"),
             1: DeltaToolCall("add", '{"a": 10, "b": 20}', tool_call_id="x")}]  # fmt: skip
    agent = adder(same, ["Done."], requires_approval=True)
    told = await ask(agent, decisions=[approve(), approve()])
    assert calls(told) == [("x", {"a": 1, "b": 2}, 3), ("x_2", {"a": 10, "b": 20}, 30)]


async def test_text_goes_on_after_a_call_has_begun() -> None:
    step = ["Let me ", {1: DeltaToolCall("add", '{"a": 1, "b": 2}', tool_call_id="c")}, "add. "]
    told = await ask(adder(step, ["3."]))
    assert [part["type"] for part in told.message.parts] == ["step-start", "text", "tool-add", "step-start", "text"]
    assert told.text == "Let me add. 3."
    assert [part["state"] for part in told.message.parts if part["type"] == "text"] == ["done", "done"]


async def test_two_texts_in_turn_stay_apart() -> None:
    async def agent(turn: Turn) -> None:
        writer = EventWriter(turn)
        for index, text in ((0, "a"), (2, "x")):
            await writer.write(PartStartEvent(index=index, part=TextPart(text)))
        for index, text in ((0, "b"), (2, "y"), (0, "c")):
            await writer.write(PartDeltaEvent(index=index, delta=TextPartDelta(text)))
        await writer.end_stream()

    told = await rehearse(agent, "Go")
    assert [part["text"] for part in told.message.parts[1:]] == ["abc", "xy"]


async def test_characters_in_two_halves_are_whole_everywhere() -> None:
    model, requests = scripted(
        [{0: DeltaThinkingPart(content="\ud83e")}, {0: DeltaThinkingPart(content="\udd14")}, "Hi \ud83d",
         {2: DeltaToolCall("note", '{"text": "\ud83d', tool_call_id="c")}, "\ude00 there",
         {2: DeltaToolCall(json_args='\ude00"}')}],
        ["Done."],
    )  # fmt: skip
    agent = Agent(model)
    agent.tool_plain(lambda text: text, name="note")
    told = await ask(agent)
    assert (told.reasoning, told.text) == ("🤔", "Hi 😀 thereDone.")
    assert calls(told) == [("c", {"text": "😀"}, "😀")]
    assert str(requests[1]).isprintable()  # no half is left in what the model is told next


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"text": "a\ud83d"}', "a\ufffd"), ('{"text": "a\\ud83d"}', "a\ufffd"), ('{"text": "\\ud83d\\ude00"}', "😀")],
    ids=["a lone half", "an escaped one", "an escaped pair"],
)
async def test_a_half_that_stays_alone_is_replaced_once(arguments: str, text: str) -> None:
    model, requests = scripted([{0: DeltaToolCall("note", arguments, tool_call_id="c")}], ["A smile: \ud83d"])
    agent = Agent(model)
    agent.tool_plain(lambda text: text, name="note")
    told = await ask(agent)
    assert calls(told) == [("c", {"text": text}, text)]
    assert told.text == "A smile: \ufffd"
