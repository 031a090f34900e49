"""The machine: which core runs what, and the resources that processes have used."""

import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

SERVER_CORE, LOAD_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
CPU_CLOCK = 2  # CPUCLOCK_SCHED: what the scheduler has counted


def use_load_core() -> None:
    os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def on_server_core() -> Iterator[None]:
    """Run what is started within the block on the server's core; everything else runs on the other."""
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        use_load_core()


def allow_files(most: int) -> int:
    """Let this process, and those that it starts, open so many files, or as many as may be; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (most, min(most, hard)):
        if soft < limit:
            with suppress(OSError, ValueError):  # only root may raise the hard limit
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
                return limit
    return soft


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads of processes, those that have ended included."""
    # The kernel's CPU clock of a process, by its number (clock_getcpuclockid): /proc counts in hundredths of a second.
    return sum(time.clock_gettime(~pid << 3 | CPU_CLOCK) for pid in pids)


def memory_kib(pids: Iterable[int]) -> int:
    """Proportional set size of processes."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += family(int(child))
    return found


def running(program: str) -> list[int]:
    """Return this process's children that run a program."""
    return [pid for pid in family(os.getpid()) if Path(f"/proc/{pid}/comm").read_text().strip() == program]


def speed() -> float:
    """Return the server core's CPU time for a fixed piece of Python, in ms: neighbours on the machine slow it."""
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
        f"Linux {platform.release()}, Python {platform.python_version()}; before: load {load:.1f}, "
        f"a fixed piece of Python {speed():.2g} ms"
    )
