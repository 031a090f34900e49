"""Model failures: the advice that the person gets, and the facts for the log."""

from __future__ import annotations

import re
from math import ceil

from pydantic_ai import exceptions as wrong

MODEL_ERRORS = (wrong.AgentRunError, wrong.FallbackExceptionGroup)
"""Exceptions that pydantic-ai raises when a run of a model fails."""

FILTERED = "The provider's content filter stopped the answer. Ask in other words."
TOO_LONG = "The answer reached the model's limit of length. Ask for the rest, or for a shorter one."
BROKEN_OFF = "The connection to the model's provider broke off. What had been written is kept. Ask again."

_LONG = r"[\w*+/=.-]{24,}"  # a key, or half of one
_KEPT = "What had been written is kept."
_OWNERS = "The site's operator must"
_ADVICE: dict[type[Exception], str] = {  # the first that fits: the particular before the general
    wrong.ModelRateLimitError: "The model's provider gets more requests from this site than it allows. {again}",
    wrong.ModelQuotaExceededError: f"The account at the model's provider is used up. {_OWNERS} raise its limit.",
    wrong.ModelAuthenticationError: f"The model's provider refused this site's key. {_OWNERS} set one that it accepts.",
    wrong.ModelNotFoundError: f"The provider doesn't have the model that this agent uses. {_OWNERS} name another.",
    wrong.ModelContextWindowExceededError: "This session is too long for the model. Begin a new one.",
    wrong.ModelRequestRejectedError: "The model's provider refused the request. Ask in other words, or begin a new "
    "session; the server's log says why it did.",
    wrong.ModelUnavailableError: "The model's provider is overloaded or unavailable. {again}",
    wrong.ModelServerError: "The model's provider had an error of its own. {again}",
    wrong.ModelRequestTimeout: f"The model took too long. {_KEPT} Ask again.",
    wrong.ModelTimeoutError: f"The model was silent for too long. {_KEPT} Ask again.",
    wrong.ModelConnectionError: f"The connection to the model's provider failed. {_KEPT} Ask again.",
    wrong.ModelAPIError: "The model's provider refused the request. {again}",
    wrong.ContentFilterError: FILTERED,
    wrong.OutputTokenLimitExceeded: TOO_LONG,
    wrong.UnexpectedModelBehavior: "The model's answer was of no use to the agent. Ask again, or in other words.",
    wrong.UsageLimitExceeded: "The agent reached its limit of requests or tokens for one answer. Ask in smaller steps.",
    wrong.RunTimedOut: "The agent ran out of its time for one answer. Ask in smaller steps.",
    Exception: "The agent stopped before it was done. Ask again.",
}


def advice(error: Exception) -> str:
    """Return what the person can do about one of MODEL_ERRORS. Only a number in it comes from the provider."""
    error = _last(error)
    text = next(text for kind, text in _ADVICE.items() if isinstance(error, kind))
    return text.format(again=_again(getattr(error, "retry_after", None)))


def _again(after_s: float | None) -> str:
    if after_s is None:
        return "Ask again in a minute."
    return f"Ask again in {ceil(after_s)} s." if after_s <= 120 else f"Ask again in {ceil(after_s / 60)} minutes."


def facts(error: Exception) -> str:
    """Return one of MODEL_ERRORS for the log, without anything that may be a secret."""
    error = _last(error)
    told = [type(error).__name__]
    for name in ("status_code", "model_name", "provider_error_code", "provider_error_type", "phase"):
        if (value := getattr(error, name, None)) is not None:
            told.append(f"{name}={str(value)[:100]!r}")
    if reason := _reason(error):
        told.append(f"reason={re.sub(_LONG, '…', reason[:500])!r}")
    cause = error.__cause__
    while cause:
        told.append(f"from {type(cause).__name__}")  # by name alone: its text may hold a request's headers
        cause = cause.__cause__
    return " ".join(told)


def _last(error: Exception) -> Exception:
    while isinstance(error, wrong.FallbackExceptionGroup):
        error = error.exceptions[-1]
    return error


def _reason(error: Exception) -> str:
    # Providers repeat a refused key, or half of it, in their answer.
    if isinstance(error, wrong.ModelAuthenticationError):
        return ""
    if isinstance(error, wrong.ModelAPIError):
        return str(error.body.get("message", "")) if isinstance(error.body, dict) else ""
    return error.message if isinstance(error, wrong.AgentRunError) else ""
