"""pydantic-ai agents as agents of Holdfast: any model, its tools, what it thinks and says, streamed into a session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.messages import ModelMessage, ModelResponse

from agents_app import registry
from agents_app.adapters.pydantic_ai import errors
from agents_app.adapters.pydantic_ai.history import model_messages
from agents_app.adapters.pydantic_ai.stream import Telling
from agents_app.adapters.pydantic_ai.tools import Waiting
from agents_app.turn import AgentFailed, Turn
from sessions_app.runs.signal_handlers import WhileBusy

logger = logging.getLogger(__name__)

GO_ON = "Your answer was broken off. Go on where it ended, and don't repeat what it says already."


def register(
    name: str,
    agent: AbstractAgent[Any, Any],
    *,
    deps: Callable[[Turn], Any] | None = None,
    while_busy: WhileBusy = "queue",
) -> None:
    """Make a pydantic-ai agent the agent of this name; `deps` gives what its tools are to know of a turn.

    register("librarian", Agent("openai:gpt-5", tools=[search]), deps=lambda turn: Shelf(turn.session))
    """

    @registry.agent(name, while_busy=while_busy)
    async def answer_a_turn(turn: Turn) -> None:
        await answer(turn, agent, deps=deps(turn) if deps else None)


async def answer(turn: Turn, agent: AbstractAgent[Any, Any], *, deps: Any = None) -> None:
    """Let the agent answer the turn. Where its model fails, raises AgentFailed with what to do about it."""
    try:
        await _run(turn, agent, deps)
    except errors.MODEL_ERRORS as error:
        logger.warning("the model failed in session %s: %s", turn.session, errors.facts(error))
        raise AgentFailed(errors.advice(error)) from None


async def _run(turn: Turn, agent: AbstractAgent[Any, Any], deps: Any) -> None:
    telling = Telling(turn)
    prompt, history = _asked(turn)
    async with agent.iter(prompt, message_history=history, deps=deps, capabilities=[Waiting(telling)]) as run:
        asked = False
        async for node in run:
            if Agent.is_model_request_node(node):
                for steer in await turn.step() if asked else []:
                    run.enqueue(steer)
                asked = True
            elif Agent.is_call_tools_node(node):
                response = node.model_response
                turn.usage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)
                _see_that_it_ended(response)
            else:
                continue
            async with node.stream(run.ctx) as events:
                async for event in events:
                    await telling.tell(event)


def _asked(turn: Turn) -> tuple[str, list[ModelMessage]]:
    """What the model is asked, and what came before."""
    if turn.mode == "continue" and any(part["type"] != "step-start" for part in turn.history[-1].parts):
        return GO_ON, model_messages(turn.history)
    places = (place for place, message in enumerate(turn.history) if message.role == "user")
    return turn.prompt, model_messages(turn.history[: max(places, default=0)])


def _see_that_it_ended(response: ModelResponse) -> None:
    """Before any tool is called: what was cut off may be half a call."""
    match response.finish_reason:
        case "content_filter":
            raise AgentFailed(errors.FILTERED)
        case "length":
            raise AgentFailed(errors.TOO_LONG)
        case None if response.provider_url and "finish_reason" not in (response.provider_details or {}):
            raise AgentFailed(errors.BROKEN_OFF)  # providers say how an answer ended
