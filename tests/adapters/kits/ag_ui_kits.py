"""The AG-UI kits: the other kits' agents behind AG-UI adapters that their frameworks' makers wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ag_ui.core import RunAgentInput
from ag_ui_langgraph import LangGraphAgent
from langgraph.checkpoint.memory import InMemorySaver
from pydantic_ai.ui.ag_ui import AGUIAdapter

from agents_app.adapters.ag_ui.agent import Run, answer
from tests.adapters.kits import langgraph_kit, pydantic_ai_kit
from tests.adapters.kits.script import Desk, Made, Step, Told


class Kit:
    """What both lack, AG-UI lacks: it can't tell an error from an output, or structured output from a tool call."""

    lacks = frozenset({"steers", "repeated ids", "sources", "tool errors", "structured output"})

    def make(self, script: list[Step], desk: Desk, *, structured: bool = False) -> Made:
        requests: list[Told] = []
        run = self.run(script, desk, requests, structured=structured)
        return Made(lambda turn: answer(turn, run), requests)


class PydanticAi(Kit):
    name = "ag-ui of pydantic-ai"
    lacks = Kit.lacks | {"usage"}
    problem = pydantic_ai_kit.problem
    structured = staticmethod(pydantic_ai_kit.structured)

    def run(self, script: list[Step], desk: Desk, requests: list[Told], *, structured: bool = False) -> Run:
        agent = pydantic_ai_kit.scripted_agent(script, desk, requests, structured=structured, deferred=True)
        return lambda given: AGUIAdapter(agent, given).run_stream()


class LangGraph(Kit):
    name = "ag-ui of langgraph"
    lacks = Kit.lacks | {"interleaved arguments"}
    problem = langgraph_kit.problem
    structured = staticmethod(langgraph_kit.structured)

    def run(self, script: list[Step], desk: Desk, requests: list[Told], *, structured: bool = False) -> Run:
        graph = langgraph_kit.scripted_graph(
            script, desk, requests, structured=structured, checkpointer=InMemorySaver()
        )
        agent = LangGraphAgent(name="clerk", graph=graph, emit_interrupt_outcome=True)

        async def run(given: RunAgentInput) -> AsyncIterator[Any]:
            async for event in agent.clone().run(given):
                yield event

        return run
