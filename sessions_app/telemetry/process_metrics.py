"""Metrics of several processes in one exposition: each sample has the label `process`.

Summed, a counter would fall when one process is replaced, and its rate would be wrong. With the label, each series is
one process's, and `sum without (process)` adds them. (prometheus_client's multiprocess mode has no collectors of
current values, no metrics of the process itself, and a file for each process that has ever run.)
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LABEL = "process"


class Labelled(Collector):
    """The metrics of a collector, each sample with a process's number."""

    def __init__(self, collector: Collector, number: int) -> None:
        self._collector = collector
        self._label = {LABEL: str(number)}

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            metric.samples = [sample._replace(labels=sample.labels | self._label) for sample in metric.samples]
            yield metric


def merge(expositions: Iterable[bytes]) -> bytes:
    """Return several expositions as one: each metric with one head, which must come before all its samples."""
    heads: dict[bytes, dict[bytes, bytes]] = {}  # by the metric's name: a line each of HELP and TYPE
    samples: dict[bytes, list[bytes]] = {}
    for text in expositions:
        name = b""
        for line in text.split(b"\n"):
            if line.startswith(b"# "):
                _, kind, name, _ = line.split(b" ", 3)
                heads.setdefault(name, {}).setdefault(kind, line)  # two releases may word one differently
            elif line:
                samples.setdefault(name, []).append(line)
    lines = [line for name in heads for line in (*heads[name].values(), *samples.get(name, ()))]
    return b"".join(b"%s\n" % line for line in lines)


def supervision(starts: Mapping[int, int], up: Container[int]) -> bytes:
    """Return the parent's own metrics: of each number, the processes started and whether the last one answers."""
    return generate_latest(_Supervision(starts, up))


class _Supervision(Collector):
    def __init__(self, starts: Mapping[int, int], up: Container[int]) -> None:
        self._starts = starts
        self._up = up

    def collect(self) -> Iterator[Metric]:
        is_up = GaugeMetricFamily("holdfast_process_up", "1 if this server process answers", labels=[LABEL])
        starts = CounterMetricFamily("holdfast_process_starts", "Times that it was started", labels=[LABEL])
        for number, count in self._starts.items():
            is_up.add_metric([str(number)], number in self._up)
            starts.add_metric([str(number)], count)
        yield from (is_up, starts)
