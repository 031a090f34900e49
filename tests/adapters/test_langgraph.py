"""LangGraph: interrupts of either kind and of a graph's own, checkpoints, steers outside of a session."""

import asyncio
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from agents_app.adapters.langgraph.agent import Steering, answer
from agents_app.testing import _Script, _Stage, approve, deny, person, rehearse, response
from agents_app.turn import Turn
from sessions_app.core.tools import UNKNOWN_OUTCOME
from tests.adapters.kits import langgraph_kit as kit
from tests.adapters.kits.script import Call, Desk, Hold, Step, Told, look, send


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("decision", "sent", "state"),
    [(approve(), ["Ann"], "output-available"), (approve({"to": "Bob"}), ["Bob"], "output-available"),
     (deny("No."), [], "output-denied")],
)  # fmt: skip
async def test_interrupts_of_each_call(desk: Desk, decision: Any, sent: list[str], state: str) -> None:
    script: list[Step] = [[send("Ann", "call_A"), Call('{"where": "x"}', "look", "call_B", 1)], ["Done."]]
    made = kit.make(script, desk, mode="per_call")
    told = await rehearse(made.agent, "Go", decisions=[decision])
    assert (told.text, desk.sent, desk.looked) == ("Done.", sent, ["x"])
    assert (told.tool("send")["state"], told.tool("look")["output"]) == (state, "x: found")


async def test_two_interrupts_at_the_same_time(desk: Desk) -> None:
    script: list[Step] = [[send("Ann", "call_A"), send("Bob", "call_B", 1)], ["Done."]]
    told = await rehearse(kit.make(script, desk, mode="per_call").agent, "Go", decisions=[approve(), deny("No.")])
    states = {part["toolCallId"]: part["state"] for part in told.message.parts if part["type"] == "tool-send"}
    assert (states, desk.sent) == ({"call_A": "output-available", "call_B": "output-denied"}, ["Ann"])


class Trip(TypedDict, total=False):
    messages: list[Any]


@pytest.mark.parametrize(
    ("decision", "text"),
    [(approve(), "True"), (deny("No."), "False"), (approve({"value": {"city": "Pisa"}}), "{'city': 'Pisa'}")],
)
async def test_a_graphs_own_interrupt_is_a_question(decision: Any, text: str) -> None:
    def ask(state: Trip) -> Trip:
        return {"messages": [AIMessage(str(interrupt({"city": "Rome"})))]}

    graph = StateGraph(Trip).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END).compile()
    told = await rehearse(lambda turn: answer(turn, graph), "Where to?", decisions=[decision])
    assert (told.status, told.text) == ("complete", text)
    assert told.tool("question")["approval"]["descriptor"]["editable"] is True


async def test_a_message_that_a_node_makes_is_shown_once() -> None:
    def speak(state: MessagesState) -> Any:
        get_stream_writer()("progress of the application's own")
        return {"messages": [HumanMessage("aside"), AIMessage("Hello."), ToolMessage("x", tool_call_id="unknown")]}

    graph = StateGraph(MessagesState).add_node("speak", speak).add_edge(START, "speak").compile()
    told = await rehearse(lambda turn: answer(turn, graph), "Go")
    assert [part["type"] for part in told.message.parts] == ["step-start", "text"] and told.text == "Hello."


async def test_an_endless_graph_is_stopped(desk: Desk) -> None:
    script: list[Step] = [[look("here", f"call_{number}")] for number in range(20)]
    graph = kit.scripted_graph(script, desk, []).with_config(recursion_limit=10)
    told = await rehearse(lambda turn: answer(turn, graph), "Go")
    assert told.status == "failed" and "limit" in (told.message.reason or "")


async def test_arguments_that_are_not_json_end_the_call(desk: Desk) -> None:
    told = await rehearse(kit.make([[Call('{"where": ', "look", "call_1")], ["Oh."]], desk).agent, "Go")
    assert (told.tool("look")["state"], desk.looked) == ("output-error", [])


# A graph outside of a session, or within a tool


async def test_steering_does_nothing_outside_of_a_session(desk: Desk) -> None:
    requests: list[Told] = []
    graph = kit.scripted_graph([["Hello."]], desk, requests)
    state = await asyncio.wait_for(graph.ainvoke({"messages": [HumanMessage("Hi")]}), 5)
    assert state["messages"][-1].text == "Hello."


async def test_an_agent_within_a_tool_leaves_the_steers_to_the_outer_one(desk: Desk) -> None:
    inner_requests: list[Told] = []
    inner = kit.scripted_graph([[look("inside", "call_I")], ["Inner."]], desk, inner_requests)
    outer_requests: list[Told] = []

    async def delegate(task: str) -> str:
        """Delegate."""
        state = await inner.ainvoke({"messages": [HumanMessage(task)]})
        return str(state["messages"][-1].text)

    model = kit.ScriptedModel(
        script=[[Call('{"task": "t"}', "delegate", "call_D")], ["Outer."]], desk=desk, requests=outer_requests
    )
    graph = create_agent(model, tools=[delegate], middleware=[Steering()])
    agent = lambda turn: answer(turn, graph)  # noqa: E731
    told = await asyncio.wait_for(rehearse(agent, "Go", steers={1: "hurry"}), 10)
    assert ("user", "hurry") in outer_requests[1] and "hurry" not in str(inner_requests)
    assert told.text.endswith("Outer.") and told.tool("delegate")["output"] == "Inner."


# Checkpoints


class Memory:
    """A graph with a checkpointer, over several turns of one session."""

    def __init__(self, script: list[Step], desk: Desk) -> None:
        self.requests: list[Told] = []
        self.saver = InMemorySaver()
        self.graph = kit.scripted_graph(script, desk, self.requests, checkpointer=self.saver)
        self.history: list[Any] = []

    async def turn(
        self, *, prompt: str = "", mode: Any = "answer", decisions: Any = (), stop_at: str = "", stop: Any = None
    ) -> Any:
        """Have it answer; with `stop_at`, until a chunk of this type is written, or until `stop` returns."""
        if prompt:
            self.history.append(person(prompt))
        stage = Cut(_Script({}, list(decisions), []), stop_at)
        stage.session = "session"
        turn = Turn(stage, list(self.history), mode=mode)
        await turn.begin()
        work = asyncio.create_task(answer(turn, self.graph))
        cut = asyncio.create_task(stop or stage.cut.wait())
        await asyncio.wait({work, cut}, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        work.cancel()
        result = (await asyncio.gather(work, return_exceptions=True))[0]
        assert result is None or stop_at or stop, result
        self.history.append(stage.message)
        return stage


class Cut(_Stage):
    """A stage that notes when a chunk of this type has been written."""

    def __init__(self, script: _Script, type: str) -> None:
        super().__init__(script, 65_536)
        self.cut = asyncio.Event()
        self._type = type

    async def write(self, chunk: Any, *, settles: Any = None) -> None:
        await super().write(chunk, settles=settles)
        if chunk["type"] == self._type:
            self.cut.set()

    async def wait_for(self, target: str, timeout_s: float | None) -> Any:
        if self._type == "tool-approval-request":
            await asyncio.Event().wait()
        return await super().wait_for(target, timeout_s)


async def begun(calls: list[str]) -> None:
    while not calls:
        await asyncio.sleep(0.001)


def texts(stage: Any) -> str:
    return "".join(part["text"] for part in stage.message.parts if part["type"] == "text")


async def test_a_graph_with_a_checkpointer_has_its_own_memory(desk: Desk) -> None:
    memory = Memory([["One."], ["Two."]], desk)
    await memory.turn(prompt="First")
    memory.history.clear()  # what the session's history says doesn't matter
    await memory.turn(prompt="Second")
    assert memory.requests[1] == [("user", "First"), ("assistant", "One."), ("user", "Second")]


async def test_regenerating_goes_back_to_the_checkpoint_before_the_prompt(desk: Desk) -> None:
    memory = Memory([["One."], [look("a")], ["Two."], [send("Ann", "call_2")], ["Another."], ["Third."]], desk)
    await memory.turn(prompt="First")
    await memory.turn(prompt="Second")
    memory.history.pop()
    stage = await memory.turn(mode="regenerate", decisions=[approve()])
    assert texts(stage) == "Another." and desk.sent == ["Ann"]
    assert memory.requests[3] == [("user", "First"), ("assistant", "One."), ("user", "Second")]
    await memory.turn(prompt="Third")
    assert ("assistant", "Another.") in memory.requests[5] and ("assistant", "Two.") not in memory.requests[5]


async def test_regenerating_the_first_answer_begins_anew(desk: Desk) -> None:
    memory = Memory([["One."], ["Two."]], desk)
    await memory.turn(prompt="First")
    memory.history.pop()
    assert texts(await memory.turn(mode="regenerate")) == "Two."
    assert memory.requests[1] == [("user", "First")]


async def test_a_continued_answer_whose_graph_never_got_the_prompt_begins_with_it(desk: Desk) -> None:
    memory = Memory([["One."], ["Two."]], desk)
    await memory.turn(prompt="First")
    memory.history += [person("Second"), response("", status="interrupted")]
    assert texts(await memory.turn(mode="continue")) == "Two."
    assert memory.requests[1] == [("user", "First"), ("assistant", "One."), ("user", "Second")]


async def test_a_continued_answer_asks_again_from_its_checkpoint(desk: Desk) -> None:
    memory = Memory([["Let me write. ", send("Ann")], ["Sent."]], desk)
    await memory.turn(prompt="Write to Ann", stop_at="tool-approval-request")
    stage = await memory.turn(mode="continue", decisions=[approve({"to": "Bob"})])
    assert (texts(stage), desk.sent, len(memory.requests)) == ("Sent.", ["Bob"], 2)
    [part] = [part for part in stage.message.parts if part["type"] == "tool-send"]
    assert (part["state"], part["input"]) == ("output-available", {"to": "Bob"})


async def test_a_continued_answer_runs_a_call_that_nobody_was_asked_about(desk: Desk) -> None:
    desk.holds = True
    memory = Memory([[look("here")], ["Found."]], desk)
    await memory.turn(prompt="Look", stop=begun(desk.looked))
    desk.holds = False
    stage = await memory.turn(mode="continue")
    assert (texts(stage), desk.looked) == ("Found.", ["here", "here"])
    assert next(part for part in stage.message.parts if part["type"] == "tool-look")["output"] == "here: found"


@pytest.mark.parametrize(("mode", "prompt"), [("continue", ""), ("answer", "Did you send it?")])
async def test_an_approved_call_that_was_cut_off_is_not_run_again(desk: Desk, mode: str, prompt: str) -> None:
    desk.holds = True
    memory = Memory([[send("Ann")], ["It may have been sent."]], desk)
    lost = await memory.turn(prompt="Write to Ann", decisions=[approve()], stop=begun(desk.sent))
    [part] = [part for part in lost.message.parts if part["type"] == "tool-send"]
    assert part["errorText"] == UNKNOWN_OUTCOME
    desk.holds = False
    stage = await memory.turn(prompt=prompt, mode=mode)
    assert (texts(stage), desk.sent) == ("It may have been sent.", ["Ann"])
    assert ("tool", UNKNOWN_OUTCOME) in memory.requests[1]


async def test_a_stop_ends_the_graphs_tasks(desk: Desk) -> None:
    memory = Memory([["So far", Hold()]], desk)
    await memory.turn(prompt="Go", stop_at="text-delta")
    assert desk.stopped == ["model"]
