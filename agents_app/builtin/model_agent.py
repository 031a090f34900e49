"""The built-in agent `model`: the settings name its model; the provider's own variables hold the key."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING

from agents_app.turn import AgentFailed, Turn
from sessions_app import conf

if TYPE_CHECKING:
    from pydantic_ai import Agent

logger = logging.getLogger(__name__)

NOT_SET_UP = "This site's model isn't set up. `manage.py check` tells the site's operators what is missing."


async def model(turn: Turn) -> None:
    """Answer with the model that HOLDFAST_AGENT_MODEL names."""
    # In a thread: the first time, it imports for a second or two, and other answers go on.
    if reason := await asyncio.to_thread(problem):
        logger.error("HOLDFAST_AGENT_MODEL=%s: %s", conf.settings.agent_model, reason)
        raise AgentFailed(NOT_SET_UP)
    from agents_app.adapters.pydantic_ai.agent import answer

    await answer(
        turn, _agent(conf.settings.agent_model, conf.settings.agent_instructions, conf.settings.agent_timeout_s)
    )


def problem() -> str:
    """Return why the model can't be used, as far as known without a request to its provider; empty if it can."""
    from pydantic_ai.exceptions import UserError

    try:
        _agent(conf.settings.agent_model, conf.settings.agent_instructions, conf.settings.agent_timeout_s)
    except (UserError, ImportError) as error:  # an unknown name, no key, or a client that isn't installed
        return str(error).partition(" To try ")[0]
    except Exception as error:  # the client's own, whose text may repeat a key
        return f"its provider's client refuses its settings ({type(error).__name__})."
    return ""


@cache
def _agent(name: str, instructions: str, timeout_s: int) -> Agent[None, str]:
    from pydantic_ai import Agent

    return Agent(name, instructions=instructions or None, model_settings={"timeout": timeout_s})
