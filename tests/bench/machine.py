"""The machine: which core does what, and what a process has used of it."""

import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def use_load_core() -> None:
    os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def on_server_core() -> Iterator[None]:
    """What is started within runs on the server's core; everything else on the other."""
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        use_load_core()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_kib(pid: int) -> int:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def speed() -> float:
    """How long the server's core takes for a fixed piece of Python, in ms of CPU: what shares the machine slows it."""
    words = {number: str(number) for number in range(20_000)}
    with on_server_core():
        begun = time.thread_time()
        for number in range(0, 20_000, 3):
            words[number] = str(len(words[number]) + number)
        return (time.thread_time() - begun) * 1000


def describe() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = names[0].partition(": ")[2] if names else platform.machine()
    load = os.getloadavg()[0]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, {cpu}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}, load before {load:.1f}"
    )
