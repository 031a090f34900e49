"""The inboxes of the agents at work in this process: what people sent to each, handed over once, in order.

A signal that was stored by this process wakes a look at once; so does one that another process stored where the channel
layer tells of it, and otherwise the next look finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from sessions_app import conf, executor, models, runs
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.ingest import Ingest
from sessions_app.staging import Log

logger = logging.getLogger(__name__)

CHECK_S = 1.0  # between two looks at whether the runs at work here were ended elsewhere


class Signal(NamedTuple):
    """One signal for an agent. `key` settles it; see `runs.settle_by_key`."""

    key: int
    id: str
    kind: str
    actor: str
    target: str  # the approval or the tool call that it is about
    payload: dict[str, Any]


class Found(NamedTuple):
    """What there is for the runs of this process."""

    stopped: list[tuple[str, int]]  # each with the key of the signal that stops it
    # Of those that were asked for, what was ended elsewhere or deleted with its session: what these still write isn't
    # taken, and their agents may wait for something.
    missing: set[str]
    expired: list[tuple[str, str]]  # each with an approval that nobody can decide about any more
    sent: list[tuple[str, Signal]]  # what is open, in order


class Inbox:
    """What is there for one run. `stop` is set when it is to stop; it keeps what nobody has asked for yet."""

    def __init__(self, run: models.Run) -> None:
        self.run = run
        self.stop = asyncio.Event()
        self._seen: set[int] = set()
        self._steers: list[Signal] = []
        self._about: dict[str, asyncio.Future[Signal | None]] = {}

    def put(self, signal: Signal) -> bool:
        """Take a signal; return whether it is a new one."""
        if signal.key in self._seen:
            return False
        self._seen.add(signal.key)
        if signal.kind == "steer":
            self._steers.append(signal)
        elif not self._awaited(signal.target).done():
            self._awaited(signal.target).set_result(signal)
        return True

    def expire(self, approval: str) -> None:
        """Nobody can decide about it any more."""
        if not self._awaited(approval).done():
            self._awaited(approval).set_result(None)

    def take_steers(self) -> list[Signal]:
        """Return the steers that have come since this was last asked."""
        steers, self._steers = self._steers, []
        return steers

    async def about(self, target: str, timeout_s: float | None) -> Signal | None:
        """Wait for the decision about an approval, or the result of a tool call; None when it won't come in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._awaited(target))
        return None

    def _awaited(self, target: str) -> asyncio.Future[Signal | None]:
        return self._about.setdefault(target, asyncio.get_running_loop().create_future())


class Inboxes:
    """All inboxes of a process. `run` is a task of it."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._inboxes: dict[str, Inbox] = {}
        self._wake = asyncio.Event()
        self._check_at = 0.0  # in the loop's time
        self._missing: set[str] = set()  # at the last check

    def open(self, run: models.Run) -> Inbox:
        """Begin to collect what is sent to a run."""
        inbox = self._inboxes[run.pk] = Inbox(run)
        self.look_soon()  # it may have been sent something while it waited
        return inbox

    def close(self, inbox: Inbox) -> None:
        self._inboxes.pop(inbox.run.pk, None)

    def look_soon(self) -> None:
        """A signal was stored."""
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled: at once when a signal was stored here, and every INBOX_POLL_MS while there are runs."""
        while True:
            with suppress(TimeoutError):  # not `wait_for`, which in Python 3.11 may swallow a cancellation
                async with asyncio.timeout(conf.INBOX_POLL_MS / 1000 if self._inboxes else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._inboxes:
                await self.look()

    def _to_check(self) -> list[str]:
        """The runs at work here of which it is time to see whether they still are; those that are stored."""
        now = asyncio.get_running_loop().time()
        if now < self._check_at:
            return []
        self._check_at = now + CHECK_S
        return [run for run, inbox in self._inboxes.items() if not inbox.run._state.adding]

    async def look(self) -> None:
        """Hand over what is new."""
        workers = {inbox.run.worker_id or "" for inbox in self._inboxes.values()}
        checked = self._to_check()
        found = await executor.run(_look, workers, checked)
        for run, key in found.stopped:
            inbox = self._inboxes.get(run)
            if inbox is not None and not inbox.stop.is_set():
                self._deliver(inbox, key)
                inbox.stop.set()
        if checked:
            self._stop_missing(found.missing)
        for run, approval in found.expired:
            if run in self._inboxes:
                self._inboxes[run].expire(approval)
        for run, signal in found.sent:
            inbox = self._inboxes.get(run)
            if inbox is not None and inbox.put(signal):
                self._deliver(inbox, signal.key)

    def _stop_missing(self, missing: set[str]) -> None:
        # Those that were missing at the last check too: one that is being stored now isn't there yet.
        for run in missing & self._missing:
            if run in self._inboxes:
                self._inboxes[run].stop.set()
        self._missing = missing

    def _deliver(self, inbox: Inbox, key: int) -> None:
        # Nobody waits for it: what is lost of it, the signal's final receipt makes up for.
        told = self._ingest.change(inbox.run.session_id, _delivered, key)
        task = asyncio.get_running_loop().create_task(told)
        task.add_done_callback(_log_failure)


def _delivered(log: Log, key: int) -> None:
    runs.settle_by_key(log, key, signals.DELIVERED)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and isinstance(task.exception(), HoldfastError):
        logger.warning("a receipt was not stored: %s", task.exception())


def _look(workers: Collection[str], held: Collection[str]) -> Found:
    """Look at all runs of the workers: to name hundreds of them would cost more than to find what few have been sent.

    `held`: runs to be named all the same, to find those that were ended elsewhere, or deleted with their sessions.
    """
    at_work = models.Run.objects.filter(worker__in=workers, status=models.Run.Status.RUNNING)
    stopped = at_work.exclude(cancel=None).values_list("pk", "cancel")
    running = at_work.filter(pk__in=held).values_list("pk", flat=True) if held else []
    expired = models.Approval.objects.filter(run__in=at_work, status=models.Approval.Status.EXPIRED)
    # What caused a run is its prompt, and a cancel is told of by its run.
    sent = models.Signal.objects.filter(run__in=at_work, status__in=signals.OPEN, caused=None).exclude(kind="cancel")
    return Found(
        stopped=[(run, key) for run, key in stopped if key is not None],
        missing=set(held) - set(running),
        expired=list(expired.values_list("run", "uid")),
        sent=[
            (row.run_id or "", Signal(row.pk, row.uid, row.kind, row.actor, row.target, orjson.loads(row.payload)))
            for row in sent.order_by("serial")
        ],
    )
