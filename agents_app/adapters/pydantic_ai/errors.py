"""Model failures: the advice that the person gets, and the facts for the log."""

from __future__ import annotations

import re

from pydantic_ai import exceptions as wrong

from agents_app.adapters import failures

MODEL_ERRORS = (wrong.AgentRunError, wrong.FallbackExceptionGroup)
"""Exceptions that pydantic-ai raises when a run of a model fails."""

_LONG = r"[\w*+/=.-]{24,}"  # a key, or half of one
_ADVICE: dict[type[Exception], str] = {  # the first that fits: the particular before the general
    wrong.ModelRateLimitError: failures.RATE,
    wrong.ModelQuotaExceededError: failures.QUOTA,
    wrong.ModelAuthenticationError: failures.KEY,
    wrong.ModelNotFoundError: failures.NO_MODEL,
    wrong.ModelContextWindowExceededError: failures.CONTEXT,
    wrong.ModelRequestRejectedError: failures.REJECTED,
    wrong.ModelUnavailableError: failures.OVERLOADED,
    wrong.ModelServerError: failures.SERVER,
    wrong.ModelRequestTimeout: failures.TIMEOUT,
    wrong.ModelTimeoutError: failures.SILENT,
    wrong.ModelConnectionError: failures.CONNECTION,
    wrong.ModelAPIError: failures.REFUSED,
    wrong.ContentFilterError: failures.FILTERED,
    wrong.OutputTokenLimitExceeded: failures.TOO_LONG,
    wrong.UnexpectedModelBehavior: failures.USELESS,
    wrong.UsageLimitExceeded: failures.LIMIT,
    wrong.RunTimedOut: failures.TIME,
    Exception: failures.STOPPED,
}


def advice(error: Exception) -> str:
    """Return what the person can do about one of MODEL_ERRORS. Only a number in it comes from the provider."""
    error = _last(error)
    text = next(text for kind, text in _ADVICE.items() if isinstance(error, kind))
    return text.format(again=failures.again(getattr(error, "retry_after", None)))


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
