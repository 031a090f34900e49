"""Log context: the ids that a task adds to its log lines. Tasks inherit them from the task that creates them."""

from __future__ import annotations

from contextvars import ContextVar

_ids: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("holdfast_ids", default=())  # smaller than a dictionary


def work_on(**ids: str) -> None:
    """Set the ids of the current task, replacing all earlier ones."""
    _ids.set(tuple(ids.items()))


def ids() -> dict[str, str]:
    """Return the ids of the current task."""
    return dict(_ids.get())
