"""What this process counts, for Prometheus.

No label has a value that comes from outside: no id, and no name that somebody could make up. What happens for every
token costs additions (`delivered`); all else is counted by commit, or more seldom.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
)

from sessions_app import __version__
from sessions_app.core.attachment import Frame

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # which every Prometheus reads
BEGAN = time.monotonic()
DELAYS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # of what takes milliseconds
LENGTHS_S = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800)  # of what takes as long as an answer
GROUPS = (1, 2, 5, 10, 20, 50, 100, 200, 512)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began is of no use, and would double them

build = Gauge("holdfast_build_info", "The version that runs: always 1", ["version"])
build.labels(__version__).set(1)

# Connections
opened = Counter("holdfast_connections_opened_total", "Connections, polls and uploads that began", ["transport"])
closed = Counter(
    "holdfast_connections_closed_total",
    "Connections that ended. reason: the error or farewell that the server sent, or how they ended without one",
    ["transport", "reason"],
)

# In
stored_events = Counter("holdfast_stored_events_total", "Events that this process has committed")
stored_bytes = Counter("holdfast_stored_bytes_total", "Bytes of the frames of those events")
commit_seconds = Histogram("holdfast_commit_seconds", "One transaction of the log", buckets=DELAYS_S)
commit_writes = Histogram("holdfast_commit_writes", "Writes in one transaction of the log", buckets=GROUPS)
commits_failed = Counter("holdfast_commits_failed_total", "Transactions of the log that were rolled back")

# Out
delivery_lag = Histogram(
    "holdfast_delivery_lag_seconds", "From a commit until the readers here were sent its frames", buckets=DELAYS_S
)
hint_lag = Histogram(
    "holdfast_hint_lag_seconds",
    "From sending frames to the channel layer until another process has them, by the clocks of the two",
    buckets=DELAYS_S,
)
fanout = Counter("holdfast_fanout_messages_total", "Messages for the channel layer: sent, failed, dropped", ["outcome"])
fanout_sent, fanout_failed, fanout_dropped = map(fanout.labels, ("sent", "failed", "dropped"))
gaps = Counter(
    "holdfast_gaps_healed_total", "Holes in a session's frames, mended by frames or by the session's state", ["by"]
)
gaps_by_frames, gaps_by_state = map(gaps.labels, ("frames", "state"))

# Back
catchups = Counter(
    "holdfast_catchups_total",
    "Answers to an attach. kind: resume, rewind, or reset with its reason",
    ["kind", "reason"],
)
catchup_bytes = Counter("holdfast_catchup_bytes_total", "Bytes of those answers", ["kind"])
catchup_seconds = Histogram("holdfast_catchup_seconds", "Reading such an answer, with its wait", buckets=DELAYS_S)

# Up
signals = Counter(
    "holdfast_signals_total", "Signals that came in here. outcome: accepted, or the error", ["kind", "outcome"]
)
receipts = Counter("holdfast_receipts_total", "What signals became that everybody was told", ["kind", "status"])

# Runs
runs = Gauge("holdfast_runs", "Agents at work in this process", ["agent"])
runs_ended = Counter("holdfast_runs_ended_total", "Runs that ended here. status: their response's", ["agent", "status"])
run_seconds = Histogram("holdfast_run_seconds", "From a run's claim to its end", ["agent"], buckets=LENGTHS_S)
run_wait_seconds = Histogram("holdfast_run_wait_seconds", "From a run's cause to its claim", buckets=LENGTHS_S)

# Rest
purged_rows = Counter("holdfast_purged_rows_total", "Rows that retention has removed", ["kind"])
purge_seconds = Summary("holdfast_purge_seconds", "A round of the purge")


class Delivered:
    """What was queued for readers as it came in. Added to in the event loop alone, so it needs no lock."""

    __slots__ = ("events", "bytes")

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0


delivered = Delivered()


def stored(frames: Iterable[Frame]) -> None:
    """These frames were committed."""
    stored_events.inc(sum(frame.last - frame.first + 1 for frame in frames))
    stored_bytes.inc(sum(frame.size for frame in frames))


def caught_up(*, resumed: bool, reason: str | None, size: int) -> None:
    """An answer of this size was read for an attach."""
    kind = "resume" if resumed else "reset" if reason else "rewind"
    catchups.labels(kind, reason or "").inc()
    catchup_bytes.labels(kind).inc(size)


def lag_since(committed_at: float) -> None:
    """What was committed then, by `time.perf_counter`, has been sent."""
    delivery_lag.observe(time.perf_counter() - committed_at)


class RunOutcome:
    """`status`: what became of it; to be set before it is over."""

    status = ""


@contextmanager
def run(agent: str, caused_at: datetime, claimed_at: datetime | None) -> Iterator[RunOutcome]:
    """An agent is at work within. `agent`: a registered name. `claimed_at`: None for a run that nobody waited for."""
    began = time.monotonic()
    if claimed_at is not None:
        run_wait_seconds.observe(max(0.0, (claimed_at - caused_at).total_seconds()))  # clocks of two machines
    watched = RunOutcome()
    try:
        with runs.labels(agent).track_inprogress():
            yield watched
    finally:
        runs_ended.labels(agent, watched.status).inc()
        run_seconds.labels(agent).observe(time.monotonic() - began)


# What is read when it is asked for
