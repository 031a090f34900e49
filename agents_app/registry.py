"""The agents, by name. Pure: see `agents_app.backend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agents_app.sync_turn import Agent
from sessions_app.core import busy
from sessions_app.core.busy import WhileBusy
from sessions_app.core.tokens import AGENT_LENGTH, is_agent_name

A = TypeVar("A", bound=Agent)

_agents: dict[str, Agent] = {}


def agent(name: str, *, while_busy: WhileBusy = "queue") -> Callable[[A], A]:
    """Register a function as the agent of this name: an async one, or a plain one or generator, which gets a thread.

    @agent("parrot")
    async def parrot(turn: Turn) -> None:
        await turn.text(turn.prompt)

    `while_busy`: what becomes of a message that arrives while the agent is at work in its session. It waits in the
    `queue`, is given to the agent as a `steer`, stops the agent (`interrupt`), or is refused (`reject`).
    """

    if not is_agent_name(name):
        raise ValueError(f"an agent's name is 1 to {AGENT_LENGTH} printable characters, not {name[:80]!r}")

    def register(function: A) -> A:
        if name in _agents:
            raise ValueError(f"two agents are named {name!r}")
        _agents[name] = function
        busy.set_policy(name, while_busy)
        return function

    return register


def find(name: str) -> Agent | None:
    """Return the agent of this name, or None."""
    return _agents.get(name)


def names() -> list[str]:
    """Return the names of all agents, sorted."""
    return sorted(_agents)
