"""The agents, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sessions_app.runs import signal_handlers
from sessions_app.runs.signal_handlers import WhileBusy

if TYPE_CHECKING:
    from agents_app.turn import Turn

Agent = Callable[["Turn"], Awaitable[None]]

_agents: dict[str, Agent] = {}


def agent(name: str, *, while_busy: WhileBusy = "queue") -> Callable[[Agent], Agent]:
    """Register an async function as the agent of this name.

    @agent("parrot")
    async def parrot(turn: Turn) -> None:
        await turn.text(turn.prompt)

    `while_busy` says what becomes of a message that comes while the agent is at work in its session: it waits in the
    `queue`, is given to the agent as a `steer`, has the agent stopped (`interrupt`), or is refused (`reject`).
    """

    def register(function: Agent) -> Agent:
        if name in _agents:
            raise ValueError(f"there are two agents named {name!r}")
        _agents[name] = function
        signal_handlers.set_policy(name, while_busy)
        return function

    return register


def find(name: str) -> Agent | None:
    """Return the agent of this name, or None."""
    return _agents.get(name)


def names() -> list[str]:
    return sorted(_agents)
