"""Beats from a thread: they keep a publisher's lease while an agent blocks the event loop of its process."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

import httpx

from agents_app.remote.transports import ANSWER_S, Frame

logger = logging.getLogger(__name__)

BLOCKED_S = 60.0  # how long the loop may be held; then the site ends the publisher's answers


class BeatThread:
    """Beats over HTTP whenever the loop has missed its own. Make it in the loop; times are monotonic, in seconds."""

    def __init__(self, url: str, who: Frame, beat_s: float) -> None:
        self.token = ""  # of the newest transport; empty before the first
        self._url = url
        self._who = who
        self._beat_s = beat_s
        self._loop_thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._heard_at = time.monotonic()
        self._reported = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="beats", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a beat under way."""
        self._stopping.set()

    def _work(self) -> None:
        beaten_at = 0.0
        while not self._stopping.wait(self._beat_s / 4):
            now = time.monotonic()
            held_s = now - self._heard_at
            if held_s > self._beat_s and now - beaten_at > self._beat_s and self.token:
                beaten_at = now
                self._report(held_s)
                self._beat(held_s)
            self._ask()

    def _ask(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._hear)
        except RuntimeError:  # it is closed
            self._stopping.set()

    def _hear(self) -> None:
        self._heard_at, self._reported = time.monotonic(), False

    def _report(self, held_s: float) -> None:
        if self._reported:
            return
        self._reported = True
        frame = sys._current_frames().get(self._loop_thread)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        logger.warning("the event loop has been held for %.1f s: do what blocks in a thread.\n%s", held_s, stack)

    def _beat(self, held_s: float) -> None:
        if held_s > BLOCKED_S:
            return
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            httpx.post(f"{self._url}/api/beat/", json=self._who, headers=headers, timeout=ANSWER_S)
        except httpx.HTTPError as error:
            logger.debug("no beat: %s", error)
