"""Watchdog of the event loop: names the run and the line that hold it, once per incident.

It is asked from a thread of its own (`runs.lease_keeper`): a loop that is held can't say so itself.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import selectors
import sys
import sysconfig
import threading
import traceback
from contextvars import Context
from pathlib import Path
from types import FrameType
from typing import Any

from sessions_app.telemetry import log_context, metrics

logger = logging.getLogger(__name__)

HELD_S = 1.0  # silence of the loop that is an incident: everybody's text stands still for so long

# Files of the loop itself: a thread that is found there waits, or is behind on a busy machine, and nothing holds it.
_LOOP = (selectors.__file__, str(Path(asyncio.__file__).parent))
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class LoopWatchdog:
    """Watchdog of one loop, made in its thread. Times are `time.monotonic`'s, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._asked_at: float | None = None  # when the loop was asked for a sign of life that it hasn't given yet
        self._looked_at = 0.0
        self._reported = False

    def look(self, now: float) -> float:
        """Return for how long the loop has been silent; report it once if something holds it."""
        if now - self._looked_at > HELD_S:
            self._asked_at = None  # this thread stood still, too: the process was frozen, or is new
        self._looked_at = now
        if self._asked_at is None:
            self._ask(now)
            return 0.0
        silent_s = now - self._asked_at
        if silent_s >= HELD_S and not self._reported:
            self._report(silent_s)
        return silent_s

    def _ask(self, now: float) -> None:
        self._asked_at = now
        try:
            self._loop.call_soon_threadsafe(self._hear)
        except RuntimeError:  # it is closed
            self._asked_at = None

    def _hear(self) -> None:
        self._asked_at = None
        self._reported = False

    def _report(self, silent_s: float) -> None:
        frame = sys._current_frames().get(self._thread)
        if frame is None or frame.f_code.co_filename.startswith(_LOOP):
            return
        self._reported = True
        metrics.loop_held.inc()
        context = _context_of(asyncio.current_task(self._loop))
        run = context.run(log_context.ids).get("run")
        context.run(
            logger.warning,
            "%s has held the event loop for %.1f s at %s: nothing else in this process moves. Do what blocks in a"
            " thread, with asyncio.to_thread or in an agent that is a plain function.\n%s",
            f"run {run}" if run else "something that belongs to no run",
            silent_s,
            _place(frame),
            "".join(traceback.format_stack(frame)),
        )


def _context_of(task: asyncio.Task[Any] | None) -> Context:
    """Return a copy of a task's context, which also its subtasks have. Tasks have no method for it in Python 3.11."""
    found = (each for each in gc.get_referents(task) if isinstance(each, Context)) if task else iter(())
    return next(found, Context()).copy()


def _place(frame: FrameType) -> str:
    """Return the innermost line that is not a library's, or else the innermost."""
    place: FrameType | None = frame
    while place is not None and place.f_code.co_filename.startswith(_LIBRARIES):
        place = place.f_back
    found = place or frame
    return f"{found.f_code.co_filename}:{found.f_lineno}, in {found.f_code.co_name}"
