"""Exposition: everything that `/metrics` shows, counted or looked at, in Prometheus' text format."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sessions_app.process import Process
from sessions_app.telemetry.metrics import BEGAN, delivered

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4  # which every Prometheus reads


def exposition(here: Process | None) -> bytes:
    """Return all of it, in Prometheus' text format, and what the library says of the process."""
    now = CollectorRegistry()
    now.register(_Now(here))
    return generate_latest(REGISTRY) + generate_latest(now)


class _Now(Collector):
    """What need not be counted, since it can be looked at."""

    def __init__(self, here: Process | None) -> None:
        self._here = here

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("holdfast_uptime_seconds", "Since the process began", value=time.monotonic() - BEGAN)
        yield CounterMetricFamily(
            "holdfast_delivered_events", "Events sent on to readers here, once for each", value=delivered.events
        )
        yield CounterMetricFamily("holdfast_delivered_bytes", "Bytes of their frames", value=delivered.bytes)
        if self._here is not None:
            yield GaugeMetricFamily(
                "holdfast_ingest_waiting",
                "Writes that wait for the next transaction",
                value=self._here.log_writer.waiting,
            )
            yield self._connections(self._here)

    def _connections(self, here: Process) -> Metric:
        family = GaugeMetricFamily("holdfast_connections", "Open connections", labels=["transport", "state"])
        counts: dict[tuple[str, str], int] = {}
        for connection in here.connections:
            key = connection.transport, connection.state
            counts[key] = counts.get(key, 0) + 1
        for labels, count in counts.items():
            family.add_metric(labels, count)
        return family
