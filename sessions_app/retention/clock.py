"""The clock that a purge goes by. A purge can't be undone, so after a jump of the clock it waits.

The database's clock where there is one (PostgreSQL): all processes share it. Each process compares it with its own
monotonic clock, and each reading with the one stored before, by any process, also before a restart. After a jump
nothing is purged until the clock has been steady for 24 hours, or an operator has confirmed it.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from sessions_app.core.retention import STEADY_S, Reading, clock_jumped, next_reading
from sessions_app.models import ClockReading
from sessions_app.telemetry import metrics

logger = logging.getLogger(__name__)

READ_EVERY_S = 60.0
SAY_EVERY_S = 3600.0  # between two log lines while the purge waits
# Time that the machine slept isn't in Python's monotonic clock, but in this one of Linux's.
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)

CONFIRM = "Check the clock, then run `manage.py enforce_retention --confirm-clock`"


def now() -> datetime:
    """Return the time by the database's clock, or by this machine's if the database has none."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


class ClockWatch:
    """Watches the clock for one process. `held_until`: when the purge may go on after a jump; None if it may now."""

    def __init__(self) -> None:
        self.held_until: datetime | None = None
        self._last: tuple[float, float, float] | None = None  # the clock, monotonic time, time since boot
        self._has_jumped = False  # and that isn't stored yet
        self._said_at = -SAY_EVERY_S

    def may_purge(self) -> bool:
        """Read the clock and store the reading; return False if the clock isn't trusted. Raises DatabaseError."""
        moment = now()
        self._has_jumped |= self._compare(moment.timestamp())
        since = _store(moment, jumped=self._has_jumped)
        self._has_jumped = False
        self.held_until = None if since is None else since + timedelta(seconds=STEADY_S)
        metrics.purge_held.set(since is not None)
        self._say()
        return since is None

    def _compare(self, wall: float) -> bool:
        """Return whether the clock was set since the last call."""
        current = wall, time.monotonic(), _since_boot()
        last, self._last = self._last, current
        if last is None:
            return False
        passed, monotonic, boot = (after - before for after, before in zip(current, last, strict=True))
        return clock_jumped(wall=passed, monotonic=monotonic) and clock_jumped(wall=passed, monotonic=boot)

    def _say(self) -> None:
        at = time.monotonic()
        if self.held_until is None or at - self._said_at < SAY_EVERY_S:
            return
        self._said_at = at
        logger.warning("the clock was set: nothing is purged before %s. %s", self.held_until.isoformat(" "), CONFIRM)


def confirm() -> None:
    """Trust the clock as it is now, whatever was seen of it before."""
    ClockReading.objects.update_or_create(pk=ClockReading.ROW, defaults={"read_at": now(), "steady_since": None})


def _store(moment: datetime, *, jumped: bool) -> datetime | None:
    """Store a reading; return since when the clock has been steady after a jump, None if it is trusted."""
    with transaction.atomic():
        row = ClockReading.objects.select_for_update().filter(pk=ClockReading.ROW).first()
        reading = next_reading(None if row is None else _reading(row), moment.timestamp(), jumped=jumped)
        since = None if reading.steady_since is None else datetime.fromtimestamp(reading.steady_since, UTC)
        ClockReading.objects.update_or_create(pk=ClockReading.ROW, defaults={"read_at": moment, "steady_since": since})
    return since


def _reading(row: ClockReading) -> Reading:
    since = row.steady_since
    return Reading(row.read_at.timestamp(), None if since is None else since.timestamp())


def _since_boot() -> float:
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(BOOT_CLOCK)
