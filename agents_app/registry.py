"""The agents, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents_app.turn import Turn

Agent = Callable[["Turn"], Awaitable[None]]

_agents: dict[str, Agent] = {}


def agent(name: str) -> Callable[[Agent], Agent]:
    """Register an async function as the agent of this name.

    @agent("parrot")
    async def parrot(turn: Turn) -> None:
        await turn.text(turn.prompt)
    """

    def register(function: Agent) -> Agent:
        if name in _agents:
            raise ValueError(f"there are two agents named {name!r}")
        _agents[name] = function
        return function

    return register


def find(name: str) -> Agent | None:
    """Return the agent of this name, or None."""
    return _agents.get(name)


def names() -> list[str]:
    return sorted(_agents)
