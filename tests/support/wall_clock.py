"""A program run with a wall clock that tests set while it runs: seconds, from the file named by WALL_CLOCK.

    python -m tests.support.wall_clock manage.py runserver …

The monotonic clock stays as it is. libfaketime would do it from below, but on a busy machine a server took about ten
times as long to start under it, and now and then didn't answer for half a minute.
"""

import os
import runpy
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone


def set_clock(file: Path, seconds: float) -> None:
    """Write the file aside and rename it, so that a concurrent reader never sees half of it."""
    aside = file.with_suffix(".new")
    aside.write_text(str(seconds))
    aside.rename(file)


# The program


def main() -> None:
    file = Path(os.environ["WALL_CLOCK"])
    true_time, true_time_ns, true_now = time.time, time.time_ns, timezone.now

    def wall_time() -> float:
        return true_time() + float(file.read_text())

    def wall_time_ns() -> int:
        return true_time_ns() + int(float(file.read_text()) * 1_000_000_000)

    def wall_now() -> datetime:
        return true_now() + timedelta(seconds=float(file.read_text()))

    # Before anything is imported that takes one of them with it.
    time.time, time.time_ns, timezone.now = wall_time, wall_time_ns, wall_now
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
