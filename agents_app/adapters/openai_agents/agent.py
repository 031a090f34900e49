"""The OpenAI Agents SDK's adapter: its agents, with tools, handoffs and approvals, streamed into a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from agents import (
    Agent,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    RunHooks,
    Runner,
    RunResultStreaming,
    RunState,
    Tool,
    TResponseInputItem,
)
from agents.items import ToolApprovalItem
from agents.run import CallModelData, ModelInputData
from agents.tool_context import ToolContext

from agents_app import registry
from agents_app.adapters import failures
from agents_app.adapters.approved import ApprovedCalls, together
from agents_app.adapters.history import DENIED, GO_ON, goes_on
from agents_app.adapters.openai_agents.history import input_items, said
from agents_app.adapters.openai_agents.stream import EventWriter
from agents_app.adapters.values import UNSHOWABLE
from agents_app.tool_call import Decision, ToolCall, ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.busy import WhileBusy

logger = logging.getLogger(__name__)

REFUSED = "The agent's rules refuse this. Ask for something else."


def register(
    name: str,
    agent: Agent[Any],
    *,
    context: Callable[[Turn], object] | None = None,
    run_config: RunConfig | None = None,
    while_busy: WhileBusy = "queue",
) -> None:
    """Register an agent of the SDK under this name. `context` returns the run's context for a turn.

    register("librarian", Agent(name="Librarian", instructions="Find books.", tools=[search]))
    """

    @registry.agent(name, while_busy=while_busy)
    async def answer_a_turn(turn: Turn) -> None:
        await answer(turn, agent, context=context(turn) if context else None, run_config=run_config)


async def answer(turn: Turn, agent: Agent[Any], *, context: object = None, run_config: RunConfig | None = None) -> None:
    """Have the agent answer the turn. Raises AgentFailed with advice for the person if its model fails."""
    async with ApprovedCalls() as approved:
        run = _Run(turn, agent, context, run_config or RunConfig(), approved)
        try:
            await run.perform()
        except MaxTurnsExceeded:
            raise AgentFailed(failures.LIMIT) from None
        except (InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered):
            raise AgentFailed(REFUSED) from None
        except AgentFailed:
            raise
        except Exception as error:
            if not run.hooks.in_model and not isinstance(error, ModelBehaviorError):
                raise
            logger.warning("the model failed in session %s: %s", turn.session, failures.facts(error))
            is_useless = isinstance(error, ModelBehaviorError)
            raise AgentFailed(failures.USELESS if is_useless else failures.advice(error)) from None


class _Hooks(RunHooks[Any]):
    """Notes what the run does, and gives approved calls the arguments that their approver has edited."""

    def __init__(self) -> None:
        self.in_model = False
        self.tools = 0  # running: they may run agents of their own
        self.edited: dict[str, str] = {}  # by the call's id, the JSON text of its arguments

    async def on_llm_start(self, *details: object) -> None:
        self.in_model = True

    async def on_llm_end(self, *details: object) -> None:
        self.in_model = False

    async def on_tool_start(self, context: Any, agent: Any, tool: Tool) -> None:
        self.tools += 1
        if isinstance(context, ToolContext) and context.tool_call is not None:
            if edited := self.edited.pop(context.tool_call_id, ""):
                context.tool_call.arguments = context.tool_arguments = edited

    async def on_tool_end(self, context: Any, agent: Any, tool: Tool, result: object) -> None:
        self.tools -= 1


class _Run:
    """One turn of an agent."""

    def __init__(
        self, turn: Turn, agent: Agent[Any], context: object, run_config: RunConfig, approved: ApprovedCalls
    ) -> None:
        self.hooks = _Hooks()
        self._turn = turn
        self._agent = agent
        self._context = context
        self._filter = run_config.call_model_input_filter
        self._config = replace(run_config, call_model_input_filter=self._before_model)
        self._approved = approved
        self._writer = EventWriter(turn, agent, approved)
        self._steers: list[tuple[int, TResponseInputItem]] = []  # with the number of items before each
        self._asked = False  # the model, at least once

    async def perform(self) -> None:
        given: list[TResponseInputItem] | RunState[Any] = input_items(self._turn.history)
        if isinstance(given, list) and goes_on(self._turn):
            given.append(said(GO_ON))
        while True:
            result = Runner.run_streamed(
                self._agent, given, context=self._context, hooks=self.hooks, run_config=self._config
            )
            await self._stream(result)
            if not result.interruptions:
                break
            given = result.to_state()
            await self._decide(given, result.interruptions)
        if not isinstance(result.final_output, str):
            await self._writer.output(result.final_output)

    async def _stream(self, result: RunResultStreaming) -> None:
        try:
            async for event in result.stream_events():
                await self._writer.write(event)
            await self._writer.end_texts()
        finally:
            result.cancel()
            if task := result.run_loop_task:
                await asyncio.gather(task, return_exceptions=True)  # what it raised, the stream has raised

    # Steers

    async def _before_model(self, data: CallModelData[Any]) -> ModelInputData:
        """Give the model what people have said meanwhile; it stays where it was in later requests of the run."""
        model_data = data.model_data
        if self.hooks.tools == 0:  # otherwise it is an agent within a tool
            results = {str(item.get("call_id")) for item in model_data.input if _is_result(item)}
            await self._writer.until_ended(results)
            steers = await self._writer.step() if self._asked else []
            self._asked = True
            self._steers += [(len(model_data.input), said(steer)) for steer in steers]
            items = list(model_data.input)
            for before, item in reversed(self._steers):
                items.insert(before, item)
            model_data = data.model_data = replace(model_data, input=items)
        if self._filter is None:
            return model_data
        filtered = self._filter(data)
        return filtered if isinstance(filtered, ModelInputData) else await filtered

    # Approvals

    async def _decide(self, state: RunState[Any], interruptions: list[ToolApprovalItem]) -> None:
        calls = [self._writer.askable(str(item.call_id)) for item in interruptions]
        decisions = await together(map(_ask, calls))
        for item, call, decision in zip(interruptions, calls, decisions, strict=True):
            refusal = await self._refusal(str(item.call_id), call, decision)
            if refusal:
                state.reject(item, rejection_message=refusal)
            else:
                state.approve(item)

    async def _refusal(self, key: str, call: ToolCall | None, decision: Decision | None) -> str:
        """Begin an approved call; return why it may not run, empty if it may."""
        if call is None or decision is None:
            await self._writer.failed(key, UNSHOWABLE)
            return UNSHOWABLE
        if not decision.approved:
            self._writer.end(key)
            return decision.reason or DENIED
        try:
            await self._approved.begin(key, call)
        except ToolFailed as failure:
            await self._writer.failed(key, str(failure))
            return str(failure)
        self.hooks.edited[key] = call.input_text
        return ""


async def _ask(call: ToolCall | None) -> Decision | None:
    return None if call is None else await call.approval(editable=True)


def _is_result(item: TResponseInputItem) -> bool:
    return cast("dict[str, object]", item).get("type") == "function_call_output"
