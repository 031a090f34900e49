"""Prometheus metrics of this process.

No label has a value from outside: no id, and no name that a client could invent. Only `delivered` is updated for every
token, and with plain additions; everything else is counted per commit or less often.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
)

from sessions_app import __version__
from sessions_app.core.attachment import Frame

BEGAN = time.monotonic()
DELAYS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # buckets for operations of milliseconds
LENGTHS_S = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800)  # buckets for operations as long as a response
GROUPS = (1, 2, 5, 10, 20, 50, 100, 200, 512)

disable_created_metrics()  # type: ignore[no-untyped-call]  # creation times would double the series for no use

build = Gauge("holdfast_build_info", "Version in a label; the value is always 1", ["version"])
build.labels(__version__).set(1)

# Connections
opened = Counter("holdfast_connections_opened_total", "Connections, polls and uploads opened", ["transport"])
closed = Counter(
    "holdfast_connections_closed_total",
    "Connections that ended. reason: the error or going-away sent by the server, or else how they ended",
    ["transport", "reason"],
)

# Publishing
stored_events = Counter("holdfast_stored_events_total", "Events committed by this process")
stored_bytes = Counter("holdfast_stored_bytes_total", "Bytes of the frames of those events")
commit_seconds = Histogram("holdfast_commit_seconds", "Duration of a log transaction", buckets=DELAYS_S)
commit_writes = Histogram("holdfast_commit_writes", "Writes per log transaction", buckets=GROUPS)
rollup_window = Gauge(
    "holdfast_rollup_window_seconds", "Time for which text waits for more, so that one event holds both"
)
commits_failed = Counter("holdfast_commits_failed_total", "Log transactions that were rolled back")

# Delivery
delivery_lag = Histogram(
    "holdfast_delivery_lag_seconds",
    "Time from a commit until its frames were sent to this process's readers",
    buckets=DELAYS_S,
)
hint_lag = Histogram(
    "holdfast_hint_lag_seconds",
    "Time from sending frames to the channel layer until another process receives them, by both clocks",
    buckets=DELAYS_S,
)
fanout = Counter(
    "holdfast_fanout_messages_total", "Messages for the channel layer: sent, failed or dropped", ["outcome"]
)
fanout_sent, fanout_failed, fanout_dropped = map(fanout.labels, ("sent", "failed", "dropped"))
gaps = Counter(
    "holdfast_gaps_healed_total", "Gaps in a session's frames, filled by frames or by the session's state", ["by"]
)
gaps_by_frames, gaps_by_state = map(gaps.labels, ("frames", "state"))

# Catch-up
catchups = Counter(
    "holdfast_catchups_total",
    "Replies to an attach. kind: resume, rewind, or reset with its reason",
    ["kind", "reason"],
)
catchup_bytes = Counter("holdfast_catchup_bytes_total", "Bytes of those replies", ["kind"])
catchup_seconds = Histogram(
    "holdfast_catchup_seconds", "Time to read such a reply, including the wait for a thread", buckets=DELAYS_S
)

# Signals
signals = Counter(
    "holdfast_signals_total", "Signals received by this process. outcome: accepted, or the error", ["kind", "outcome"]
)
receipts = Counter("holdfast_receipts_total", "Status changes of signals that were announced", ["kind", "status"])

# Runs
runs = Gauge("holdfast_runs", "Active agents in this process, or of workers elsewhere connected to it", ["agent"])
runs_ended = Counter(
    "holdfast_runs_ended_total", "Runs whose end this process wrote. status: the response's", ["agent", "status"]
)
run_seconds = Histogram("holdfast_run_seconds", "Time from a run's claim to its end", ["agent"], buckets=LENGTHS_S)
run_wait_seconds = Histogram("holdfast_run_wait_seconds", "Time from a run's cause to its claim", buckets=LENGTHS_S)

loop_held = Counter("holdfast_loop_held_total", "Times that something held the event loop for over a second")

# Retention
purged_rows = Counter("holdfast_purged_rows_total", "Rows removed by retention", ["kind"])
purge_seconds = Summary("holdfast_purge_seconds", "Duration of a purge")
purge_held = Gauge("holdfast_purge_held", "1 while nothing is purged because the clock was set")


class Delivered:
    """Counters of live frames queued for readers. Updated only in the event loop, so without a lock."""

    __slots__ = ("events", "bytes")

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0


delivered = Delivered()


def stored(frames: Iterable[Frame]) -> None:
    """Count committed frames."""
    stored_events.inc(sum(frame.last - frame.first + 1 for frame in frames))
    stored_bytes.inc(sum(frame.size for frame in frames))


def caught_up(*, resumed: bool, reason: str | None, size: int) -> None:
    """Count a reply to an attach."""
    kind = "resume" if resumed else "reset" if reason else "rewind"
    catchups.labels(kind, reason or "").inc()
    catchup_bytes.labels(kind).inc(size)


def lag_since(committed_at: float) -> None:
    """Record that frames committed at this time of `time.perf_counter` have been sent."""
    delivery_lag.observe(time.perf_counter() - committed_at)


class RunOutcome:
    """Result of a run. Set `status` before the run ends."""

    status = ""


@contextmanager
def run(agent: str, caused_at: datetime, claimed_at: datetime | None) -> Iterator[RunOutcome]:
    """Measure a run. `agent` is a registered name; `claimed_at` is None for a run that did not wait to be claimed."""
    began = time.monotonic()
    if claimed_at is not None:
        claimed(caused_at, claimed_at)
    outcome = RunOutcome()
    try:
        with runs.labels(agent).track_inprogress():
            yield outcome
    finally:
        runs_ended.labels(agent, outcome.status).inc()
        run_seconds.labels(agent).observe(time.monotonic() - began)


def claimed(caused_at: datetime, claimed_at: datetime) -> None:
    """Record how long a run has waited."""
    run_wait_seconds.observe(max(0.0, (claimed_at - caused_at).total_seconds()))  # two machines' clocks may differ


def ended_elsewhere(agent: str, status: str, claimed_at: datetime | None) -> None:
    """Record the end of a run that a worker elsewhere has answered."""
    runs_ended.labels(agent, status).inc()
    if claimed_at is not None:
        run_seconds.labels(agent).observe(max(0.0, (datetime.now(UTC) - claimed_at).total_seconds()))
