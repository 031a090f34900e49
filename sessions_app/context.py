"""What is being worked on: ids that lines of the log carry, by the task under way.

Tasks begin with those of the task that makes them.
"""

from __future__ import annotations

from contextvars import ContextVar

_ids: ContextVar[dict[str, str] | None] = ContextVar("holdfast_ids", default=None)


def work_on(**ids: str) -> None:
    """From now on, to its end, the task under way is about these ids and no others."""
    _ids.set(ids)


def ids() -> dict[str, str]:
    """Return what the task under way is about."""
    return _ids.get() or {}
