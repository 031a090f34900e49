"""Busy policies: what becomes of a message that arrives while an agent is at work in its session.

`agents_app.registry` states each agent's policy when the agent is registered. The signal handlers look it up in the
transaction that stores the message, which is the first place that knows the session's agent: here for an agent of the
site's own processes, and in the table of those elsewhere, where its newest worker has declared it.
"""

from __future__ import annotations

from typing import Literal, get_args

from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import MOST_AGENTS

WhileBusy = Literal["queue", "steer", "interrupt", "reject"]
POLICIES: tuple[WhileBusy, ...] = get_args(WhileBusy)

_policies: dict[str, WhileBusy] = {}


def set_policy(agent: str, while_busy: WhileBusy) -> None:
    """Set an agent's policy; see `agents_app.registry.agent` for what each means."""
    _policies[agent] = while_busy


def policy_of(agent: str) -> WhileBusy:
    """Return an agent's policy: `queue` unless another was set."""
    return _policies.get(agent, "queue")


def read(value: object) -> dict[str, WhileBusy]:
    """Check the policies that a worker declares for its agents. Raises bad_frame."""
    if isinstance(value, dict) and len(value) <= MOST_AGENTS and all(policy in POLICIES for policy in value.values()):
        return value
    raise HoldfastError("bad_frame", f"`while_busy` maps names of agents to one of {', '.join(POLICIES)}")
