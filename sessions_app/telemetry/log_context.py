"""What is being worked on: ids that lines of the log carry, by the task under way.

Tasks begin with those of the task that makes them.
"""

from __future__ import annotations

from contextvars import ContextVar

_ids: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("holdfast_ids", default=())  # smaller than a dictionary


def work_on(**ids: str) -> None:
    """From now on, to its end, the task under way is about these ids and no others."""
    _ids.set(tuple(ids.items()))


def ids() -> dict[str, str]:
    """Return what the task under way is about."""
    return dict(_ids.get())
