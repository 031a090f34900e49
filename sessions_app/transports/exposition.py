"""Metrics exposition: the body of `/metrics`, in Prometheus' text format."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sessions_app.process import Process
from sessions_app.servers import group_member
from sessions_app.telemetry.metrics import BEGAN, delivered
from sessions_app.telemetry.process_metrics import Labelled

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # understood by every Prometheus version


def exposition(process: Process | None, number: int | None = None) -> bytes:
    """Return all metrics in text format: counted ones, current values and the library's process metrics.

    `number` is this process's among those of `manage.py serve`; each sample has it then.
    """
    collectors: tuple[Collector, ...] = REGISTRY, _CurrentValues(process)
    return b"".join(generate_latest(each if number is None else Labelled(each, number)) for each in collectors)


async def exposition_of_all(process: Process | None) -> bytes | None:
    """Return the metrics of all processes on this port; None if they can't be collected."""
    member = group_member.current
    return exposition(process) if member is None else await member.metrics()


class _CurrentValues(Collector):
    """Metrics that are read from the process at each scrape."""

    def __init__(self, process: Process | None) -> None:
        self._process = process

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "holdfast_uptime_seconds", "Seconds since the process started", value=time.monotonic() - BEGAN
        )
        yield CounterMetricFamily(
            "holdfast_delivered_events",
            "Events sent to this process's readers, counted per reader",
            value=delivered.events,
        )
        yield CounterMetricFamily(
            "holdfast_delivered_bytes", "Bytes of the frames of those events", value=delivered.bytes
        )
        if self._process is not None:
            yield GaugeMetricFamily(
                "holdfast_ingest_waiting",
                "Writes waiting for the next transaction",
                value=self._process.log_writer.waiting,
            )
            yield self._connections(self._process)

    def _connections(self, process: Process) -> Metric:
        family = GaugeMetricFamily("holdfast_connections", "Open connections", labels=["transport", "state"])
        counts: dict[tuple[str, str], int] = {}
        for connection in process.connections:
            key = connection.transport, connection.state
            counts[key] = counts.get(key, 0) + 1
        for labels, count in counts.items():
            family.add_metric(labels, count)
        return family
