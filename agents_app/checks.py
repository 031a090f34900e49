"""System checks: an agent that is set to use a model can use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register

from agents_app.builtin import model_agent
from sessions_app import conf


@register("holdfast")
def check_model(**_: Any) -> Iterator[CheckMessage]:
    if conf.settings.agent_model and (problem := model_agent.problem()):
        yield Error(
            f"AGENT_MODEL is {conf.settings.agent_model}, which can't be used: {problem}",
            hint="Set HOLDFAST_AGENT_MODEL to provider:model, such as openai:gpt-5, and the provider's own variable, "
            "such as OPENAI_API_KEY, to its key; or unset HOLDFAST_AGENT_MODEL.",
            id="holdfast.E020",
        )
