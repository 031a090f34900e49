"""Busy policies: what becomes of a message that arrives while an agent is at work in its session.

`agents_app.registry` states each agent's policy when the agent is registered; the signal handlers look it up in the
transaction that stores the message, which is the first place that knows the session's agent.
"""

from __future__ import annotations

from typing import Literal

WhileBusy = Literal["queue", "steer", "interrupt", "reject"]

_policies: dict[str, WhileBusy] = {}


def set_policy(agent: str, while_busy: WhileBusy) -> None:
    """Set an agent's policy; see `agents_app.registry.agent` for what each means."""
    _policies[agent] = while_busy


def policy_of(agent: str) -> WhileBusy:
    """Return an agent's policy: `queue` unless another was set."""
    return _policies.get(agent, "queue")
