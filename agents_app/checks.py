"""System checks: the model that the settings name can be used, and each agent runs in one place."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error, Warning

from agents_app import registry
from agents_app.builtin import model_agent
from sessions_app import conf


def check_places(app_configs: object, **options: object) -> Iterator[CheckMessage]:
    """Report agents that are registered here and run elsewhere."""
    for agent in sorted(set(conf.settings.remote_agents) & set(registry.names())):
        yield Warning(
            f"REMOTE_AGENTS names {agent!r}, which is registered here too: here it gets no runs.",
            hint="Take it out of REMOTE_AGENTS to run it in the site, or register it in its worker alone.",
            id="holdfast.W037",
        )


def check_model(app_configs: object, **options: object) -> Iterator[CheckMessage]:
    """Report a model that can't be used."""
    if conf.settings.agent_model and (problem := model_agent.problem()):
        yield Error(
            f"AGENT_MODEL is {conf.settings.agent_model}, which can't be used: {problem}",
            hint="Set AGENT_MODEL to provider:model, such as openai:gpt-5, and the provider's own variable, "
            "such as OPENAI_API_KEY, to its key; or unset AGENT_MODEL.",
            id="holdfast.E020",
        )
