"""Lease keeper: renews the lease of this process from a thread. An agent that blocks the event loop delays the other
answers of its process, and doesn't end them.

The log writer writes the beat, in its thread and over its connection: a process whose writer can't commit isn't kept
alive, and SQLite's one write lock gets no second claimant. A frozen process doesn't beat either, and one whose loop has
been held for BLOCKED_LOOP_MS stops beating: others then end its responses.
"""

from __future__ import annotations

import logging
import threading
import time

from sessions_app import conf
from sessions_app.diagnostics.loop_watchdog import LoopWatchdog
from sessions_app.runs.leases import Lease

logger = logging.getLogger(__name__)

TICK_S = 0.25  # between two looks at the loop, or a sixth of a lease if that is less


class LeaseKeeper:
    """The keeper of one process's lease; `start` it in the loop, once the first beat is stored."""

    def __init__(self, lease: Lease, watchdog: LoopWatchdog) -> None:
        self._lease = lease
        self._watchdog = watchdog
        self._stopping = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name="lease_keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread: no beat is submitted afterwards."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(min(TICK_S, conf.settings.lease_ms / 6000)):
            try:
                self._tick(time.monotonic())
            except Exception:
                logger.exception("a look at the event loop failed")

    def _tick(self, now: float) -> None:
        held_s = self._watchdog.look(now)
        gives_up = held_s * 1000 > conf.settings.blocked_loop_ms
        if gives_up and not self._given_up:
            logger.error(
                "the event loop has been held for %.0f s: the lease is no longer renewed, and other processes end this"
                " one's responses",
                held_s,
            )
        self._given_up = gives_up
        if not gives_up:
            self._lease.renew(now)
