"""The pydantic-ai adapter: any model, its tools, its reasoning and text, streamed into a session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.messages import ModelMessage, ModelResponse

from agents_app import registry
from agents_app.adapters import failures
from agents_app.adapters.history import GO_ON, goes_on
from agents_app.adapters.pydantic_ai import errors
from agents_app.adapters.pydantic_ai.history import model_messages
from agents_app.adapters.pydantic_ai.stream import EventWriter
from agents_app.adapters.pydantic_ai.tools import DeferredTools
from agents_app.adapters.values import token_counts
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.busy import WhileBusy

logger = logging.getLogger(__name__)

D = TypeVar("D")

# Providers whose own words pydantic-ai doesn't keep (xAI), or that send none for some models (Snowflake).
WITHOUT_OWN_WORDS = ("xai", "snowflake")


def register(
    name: str,
    agent: AbstractAgent[D, object],
    *,
    deps: Callable[[Turn], D] | None = None,
    while_busy: WhileBusy = "queue",
) -> None:
    """Register a pydantic-ai agent under this name. `deps` returns the dependencies of its tools for a turn.

    register("librarian", Agent("openai:gpt-5", tools=[search]), deps=lambda turn: Shelf(turn.session))
    """

    @registry.agent(name, while_busy=while_busy)
    async def answer_a_turn(turn: Turn) -> None:
        await answer(turn, agent, deps=deps(turn) if deps else None)


async def answer(turn: Turn, agent: AbstractAgent[Any, object], *, deps: object = None) -> None:
    """Have the agent answer the turn. Raises AgentFailed with advice for the person if its model fails."""
    try:
        await _run(turn, agent, deps)
    except errors.MODEL_ERRORS as error:
        logger.warning("the model failed in session %s: %s", turn.session, errors.facts(error))
        raise AgentFailed(errors.advice(error)) from None


async def _run(turn: Turn, agent: AbstractAgent[Any, object], deps: object) -> None:
    writer = EventWriter(turn)
    prompt, history = _asked(turn)
    async with agent.iter(prompt, message_history=history, deps=deps, capabilities=[DeferredTools(writer)]) as run:
        asked = False
        async for node in run:
            if Agent.is_model_request_node(node):
                for steer in await turn.step() if asked else []:
                    run.enqueue(steer)
                asked = True
            elif Agent.is_call_tools_node(node):
                response = node.model_response
                turn.usage(**token_counts(response.usage.input_tokens, response.usage.output_tokens))
                _check_ended(response)
                writer.settle(response)
            else:
                continue
            async with node.stream(run.ctx) as events:
                async for event in events:
                    await writer.write(event)
            await writer.end_stream()
    assert run.result is not None  # its last node has run
    await writer.write_output(run.result.output)


def _asked(turn: Turn) -> tuple[str, list[ModelMessage]]:
    """Return the prompt for the model, and the history before it."""
    if goes_on(turn):
        return GO_ON, model_messages(turn.history)
    places = (place for place, message in enumerate(turn.history) if message.role == "user")
    return turn.prompt, model_messages(turn.history[: max(places, default=0)])


def _check_ended(response: ModelResponse) -> None:
    """Raise AgentFailed if the response was cut off, before any tool is called: it may end in half a call."""
    match response.finish_reason:
        case "content_filter":
            raise AgentFailed(failures.FILTERED)
        case "length":
            raise AgentFailed(failures.TOO_LONG)
        case _ if response.provider_url and not _end_was_sent(response):
            logger.warning("the stream of %s ended without a finish reason", response.provider_name)
            raise AgentFailed(failures.BROKEN_OFF)


def _end_was_sent(response: ModelResponse) -> bool:
    """Return whether the provider has said how the response ended, as all do: without that it is half a response.

    The evidence is the reason in the provider's own words. The other one, `finish_reason`, pydantic-ai fills in as
    "stop" if an OpenAI-compatible stream ends without one.
    """
    if "finish_reason" in (response.provider_details or {}):
        return True
    return response.provider_name in WITHOUT_OWN_WORDS and response.finish_reason is not None
