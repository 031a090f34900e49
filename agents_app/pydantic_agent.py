"""The old name of `agents_app.adapters.pydantic_ai.agent`, kept for one release."""

from agents_app.adapters.pydantic_ai.agent import answer, register

__all__ = ["answer", "register"]
