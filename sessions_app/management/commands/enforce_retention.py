"""`manage.py enforce_retention`: delete expired data, once or periodically."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import BaseCommand, CommandError

from sessions_app.retention import clock
from sessions_app.retention import purge as retention


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set, so that the current step is completed."""
    stop = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Command(BaseCommand):
    help = (
        "Remove expired sessions, and expired data of other sessions. "
        "The running server also does this, every HOLDFAST_PURGE_EVERY_S."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be removed, without changing anything"
        )
        parser.add_argument(
            "--confirm-clock",
            action="store_true",
            help="the clock is right: purge, also if it was set within the last 24 hours",
        )
        parser.add_argument("--loop", type=int, metavar="SECONDS", help="repeat until stopped (SIGTERM, Ctrl-C)")
        parser.add_argument(
            "--batch",
            type=int,
            metavar="ROWS",
            default=retention.BATCH,
            help="rows per transaction, 1 to %(default)s (default %(default)s)",
        )

    def handle(self, *, dry_run: bool, confirm_clock: bool, loop: int | None, batch: int, **options: object) -> None:
        if not 1 <= batch <= retention.BATCH:
            raise CommandError(f"--batch {batch}: use 1 to {retention.BATCH}.")
        if loop is not None and loop < 1:
            raise CommandError(f"--loop {loop}: use 1 second or more.")
        if loop is not None and dry_run:
            raise CommandError("--loop and --dry-run can't be combined.")
        if confirm_clock and dry_run:
            raise CommandError("--confirm-clock and --dry-run can't be combined.")
        if dry_run:
            self.stdout.write(f"Would remove {retention.purge(dry_run=True)}.")
            return
        if confirm_clock:
            clock.confirm()
        with stopped_by_signals() as stop:
            if loop is None:
                self._require_clock()
                self._finish(retention.purge(batch=batch, on_progress=self._progress, stop=stop))
            else:
                self._loop(loop, batch, stop)

    def _loop(self, seconds: int, batch: int, stop: threading.Event) -> None:
        watch = clock.ClockWatch()
        while not stop.is_set():
            purged = retention.purge_round(stop, clock=watch, batch=batch, on_progress=self._progress)
            if watch.held_until is None:
                self._finish(purged)
            stop.wait(seconds)

    def _require_clock(self) -> None:
        watch = clock.ClockWatch()
        if not watch.may_purge():
            until = watch.held_until.isoformat(" ", "minutes") if watch.held_until else ""
            raise CommandError(
                f"Nothing was removed. It is {clock.now().isoformat(' ', 'minutes')} by the clock, which was set, or no"
                f" process ran for more than an hour. {clock.CONFIRM}; or run it after {until}."
            )

    def _progress(self, purged: retention.Purged) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\rRemoved {purged} …", ending="")
            self.stdout.flush()

    def _finish(self, purged: retention.Purged) -> None:
        end_of_progress = "\r\033[K" if self.stdout.isatty() else ""
        self.stdout.write(f"{end_of_progress}Removed {purged}.")
        self.stdout.flush()
