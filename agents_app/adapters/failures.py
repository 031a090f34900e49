"""Model failures of frameworks that hand on their providers' exceptions: advice for the person, facts for the log."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

OWNERS = "The site's operator must"
KEPT = "What had been written is kept."

FILTERED = "The provider's content filter stopped the answer. Ask in other words."
TOO_LONG = "The answer reached the model's limit of length. Ask for the rest, or for a shorter one."
BROKEN_OFF = "The connection to the model's provider broke off. What had been written is kept. Ask again."
RATE = "The model's provider gets more requests from this site than it allows. {again}"
QUOTA = f"The account at the model's provider is used up. {OWNERS} raise its limit."
KEY = f"The model's provider refused this site's key. {OWNERS} set one that it accepts."
NO_MODEL = f"The provider doesn't have the model that this agent uses. {OWNERS} name another."
CONTEXT = "This session is too long for the model. Begin a new one."
REJECTED = (
    "The model's provider refused the request. Ask in other words, or begin a new session; the server's log says why "
    "it did."
)
OVERLOADED = "The model's provider is overloaded or unavailable. {again}"
SERVER = "The model's provider had an error of its own. {again}"
TIMEOUT = f"The model took too long. {KEPT} Ask again."
SILENT = f"The model was silent for too long. {KEPT} Ask again."
CONNECTION = f"The connection to the model's provider failed. {KEPT} Ask again."
REFUSED = "The model's provider refused the request. {again}"
USELESS = "The model's answer was of no use to the agent. Ask again, or in other words."
LIMIT = "The agent reached its limit of requests or tokens for one answer. Ask in smaller steps."
TIME = "The agent ran out of its time for one answer. Ask in smaller steps."
STOPPED = "The agent stopped before it was done. Ask again."

_CODES = {
    "insufficient_quota": QUOTA,
    "billing_hard_limit_reached": QUOTA,
    "context_length_exceeded": CONTEXT,
    "content_filter": FILTERED,
    "model_not_found": NO_MODEL,
}
_STATUSES = {400: REJECTED, 401: KEY, 402: QUOTA, 403: KEY, 404: NO_MODEL, 408: TIMEOUT, 413: CONTEXT, 422: REJECTED,
             429: RATE, 503: OVERLOADED, 504: TIMEOUT, 529: OVERLOADED}  # fmt: skip


def again(after_s: float | None) -> str:
    """Return when to ask again, by the provider's own time."""
    if after_s is None:
        return "Ask again in a minute."
    return f"Ask again in {ceil(after_s)} s." if after_s <= 120 else f"Ask again in {ceil(after_s / 60)} minutes."


def advice(error: BaseException) -> str:
    """Return what the person can do about a provider's exception, by its status and code: none of its words."""
    for problem in _chain(error):
        if text := _CODES.get(str(getattr(problem, "code", ""))):
            return text
        status = _status(problem)
        if status is not None:
            text = _STATUSES.get(status, SERVER if status >= 500 else REFUSED)
            return text.format(again=again(None))
        if isinstance(problem, TimeoutError) or "Timeout" in type(problem).__name__:
            return TIMEOUT
        if isinstance(problem, OSError) or "Connect" in type(problem).__name__:
            return CONNECTION
    return SERVER.format(again=again(None))


def facts(error: BaseException) -> str:
    """Return a provider's exception for the log, by names and status alone: its text may hold a key."""
    names = " from ".join(type(problem).__name__ for problem in _chain(error))
    status = next((found for problem in _chain(error) if (found := _status(problem)) is not None), None)
    return names if status is None else f"{names} status={status}"


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code"):
        if type(status := getattr(error, name, None)) is int and 400 <= status < 600:
            return status
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes, the innermost of a group first."""
    while error is not None:
        yield error
        error = error.__cause__
