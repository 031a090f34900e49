"""System checks: the model that the settings name can be used."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error

from agents_app.builtin import model_agent
from sessions_app import conf


def check_model(app_configs: object, **options: object) -> Iterator[CheckMessage]:
    """Report a model that can't be used."""
    if conf.settings.agent_model and (problem := model_agent.problem()):
        yield Error(
            f"AGENT_MODEL is {conf.settings.agent_model}, which can't be used: {problem}",
            hint="Set AGENT_MODEL to provider:model, such as openai:gpt-5, and the provider's own variable, "
            "such as OPENAI_API_KEY, to its key; or unset AGENT_MODEL.",
            id="holdfast.E020",
        )
