"""The LangGraph adapter: any compiled graph or LangChain agent, streamed into a session.

A graph without a checkpointer gets the session's history at each turn, and an in-memory one for its interrupts. A graph
with a checkpointer has its own memory, by session: it gets the new prompt, and goes on from its checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.errors import GraphRecursionError
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.types import Command, StateSnapshot, StreamMode

from agents_app import registry
from agents_app.adapters import failures
from agents_app.adapters.approved import ApprovedCalls
from agents_app.adapters.history import GO_ON, goes_on, last_calls, may_have_run
from agents_app.adapters.langgraph.history import answers_to_open_calls, messages, open_calls
from agents_app.adapters.langgraph.stream import GraphWriter, StepRequest, questions
from agents_app.adapters.reviews import Reviews
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.busy import WhileBusy

logger = logging.getLogger(__name__)

Graph = Pregel[Any, Any, Any, Any]
Input = dict[str, list[AnyMessage]] | Command[Any] | None

STREAM_MODES: list[StreamMode] = ["messages", "updates", "custom"]
NS_SEP = "|"  # between the places of a graph in a graph

STEERED = "holdfast_steered"  # in the configuration of a run whose stream an adapter reads


def register(
    name: str, graph: Graph, *, context: Callable[[Turn], object] | None = None, while_busy: WhileBusy = "queue"
) -> None:
    """Register a graph under this name. `context` returns the run's context (its `context_schema`) for a turn.

    register("librarian", create_agent("openai:gpt-5", tools=[search], middleware=[Steering()]))
    """

    @registry.agent(name, while_busy=while_busy)
    async def answer_a_turn(turn: Turn) -> None:
        await answer(turn, graph, context=context(turn) if context else None)


async def answer(turn: Turn, graph: Graph, *, context: object = None) -> None:
    """Have the graph answer the turn. Raises AgentFailed with advice for the person if its model fails."""
    model_errors = _ModelErrors()
    try:
        await _Run(turn, graph, context, model_errors).perform()
    except GraphRecursionError:
        raise AgentFailed(failures.LIMIT) from None
    except Exception as error:
        if error not in model_errors.seen:
            raise
        logger.warning("the model failed in session %s: %s", turn.session, failures.facts(error))
        raise AgentFailed(failures.advice(error)) from None


class Steering(AgentMiddleware):
    """Middleware of LangChain agents: what people say meanwhile reaches the model before its next request."""

    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, object] | None:
        place = get_config()["configurable"]
        if not place.get(STEERED) or NS_SEP in place.get("checkpoint_ns", ""):
            return None  # nobody reads the stream of a graph outside of a session, or within a tool
        request = StepRequest()
        runtime.stream_writer(request)
        steers = await request.steers
        return {"messages": [HumanMessage(steer) for steer in steers]} if steers else None


class _ModelErrors(AsyncCallbackHandler):
    """Remembers the exceptions of models, to tell them from a tool's."""

    def __init__(self) -> None:
        self.seen: list[BaseException] = []

    async def on_llm_error(self, error: BaseException, **details: object) -> None:
        self.seen.append(error)


class _Run:
    """One turn of a graph."""

    def __init__(self, turn: Turn, graph: Graph, context: object, model_errors: _ModelErrors) -> None:
        self._turn = turn
        self._remembers = bool(graph.checkpointer)
        self._graph = graph if self._remembers else graph.copy({"checkpointer": InMemorySaver()})
        self._context = context
        self._rewound: dict[str, object] = {}  # the checkpoint to begin at, if not the newest
        self._config: RunnableConfig = {
            "configurable": {"thread_id": turn.session, STEERED: True},
            "callbacks": [model_errors],
        }

    async def perform(self) -> None:
        async with ApprovedCalls() as approved:
            writer = GraphWriter(self._turn, approved, _tools_beside_output(self._graph))
            reviews = Reviews(self._turn, writer, approved)
            given = await self._begin(writer)
            while True:
                if writer.interrupts:
                    given = Command(resume=await reviews.answers(writer.interrupts))
                await self._stream(given, writer)
                if not writer.interrupts:
                    return

    async def _stream(self, given: Input, writer: GraphWriter) -> None:
        writer.interrupts = []
        config: RunnableConfig = {**self._config, "configurable": {**self._config["configurable"], **self._rewound}}
        self._rewound.clear()
        stream = self._graph.astream(given, config, context=self._context, stream_mode=STREAM_MODES, subgraphs=True)
        async with aclosing(cast("AsyncGenerator[tuple[tuple[str, ...], str, object]]", stream)) as items:
            async for namespace, mode, data in items:
                await writer.write(namespace, mode, data)
        await writer.end_texts()
        await writer.settle()

    # Where it begins

    async def _begin(self, writer: GraphWriter) -> Input:
        """Return the graph's input. What a broken-off run was about to ask is in the writer's interrupts."""
        turn = self._turn
        if not self._remembers:
            told = messages(turn.history)
            return {"messages": [*told, HumanMessage(GO_ON)] if goes_on(turn) else told}
        if turn.mode == "regenerate":
            known = await self._rewind()
            return {"messages": [*answers_to_open_calls(known, turn.history), self._prompt()]}
        state = await self._graph.aget_state(self._config)
        known = _messages_of(state)
        continues = turn.mode == "continue" and self._prompt_id() in [message.id for message in known]
        if continues and state.next and not self._may_have_run(known):
            await writer.show(known)
            writer.interrupts = questions(state.interrupts)
            return None
        prompt = HumanMessage(GO_ON) if continues else self._prompt()
        return {"messages": [*answers_to_open_calls(known, turn.history), prompt]}

    def _may_have_run(self, known: list[AnyMessage]) -> bool:
        """Return whether a tool whose result the checkpoint doesn't have may have been run."""
        shown = last_calls(self._turn.history)
        return any(id in shown and may_have_run(shown[id]) for id in open_calls(known))

    def _prompt(self) -> HumanMessage:
        return HumanMessage(self._turn.prompt, id=self._prompt_id())

    def _prompt_id(self) -> str:
        return next(message.id for message in reversed(self._turn.history) if message.role == "user")

    async def _rewind(self) -> list[AnyMessage]:
        """Go back to the newest checkpoint that doesn't have the prompt yet; return its messages."""
        async for state in self._graph.aget_state_history(self._config):
            if self._prompt_id() not in [message.id for message in _messages_of(state)]:
                self._rewound = dict(state.config["configurable"])
                return _messages_of(state)
        return []


def _messages_of(state: StateSnapshot) -> list[AnyMessage]:
    known = state.values.get("messages", []) if isinstance(state.values, dict) else []
    return cast("list[AnyMessage]", known)


def _tools_beside_output(graph: Graph) -> set[str] | None:
    """Return the names of a LangChain agent's tools: a call of another is its structured output. None for a graph."""
    if "structured_response" not in graph.channels:
        return None
    nodes = [node.bound for node in graph.nodes.values()]
    return {name for node in nodes if isinstance(node, ToolNode) for name in node.tools_by_name}
