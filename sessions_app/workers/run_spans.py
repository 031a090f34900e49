"""Spans of runs elsewhere, from a claim until the run's end, as far as this process hears of both."""

from __future__ import annotations

from opentelemetry.trace import Span

from sessions_app.models import Run
from sessions_app.telemetry import tracing

MOST = 10_000  # open ones; the oldest may have ended at another process


class RunSpans:
    """The open spans of one process, by run. Without a tracer provider there are none."""

    def __init__(self) -> None:
        self._open: dict[str, Span] = {}

    def begin(self, run: Run) -> None:
        """Begin the span of a run that was claimed, linked to what has caused it."""
        if run.pk in self._open:  # a claim whose outcome wasn't known
            return
        span = tracing.begin_linked("run", session=run.session_id, run=run.pk, agent=run.agent)
        if not span.is_recording():
            return
        self._open[run.pk] = span
        while len(self._open) > MOST:
            self.end(next(iter(self._open)), "left")

    def traceparent(self, run: str) -> str:
        """Return the span's context as W3C Trace Context has it, for the worker to go on with; empty without one."""
        span = self._open.get(run)
        return "" if span is None else tracing.traceparent(span)

    def end(self, run: str, status: str) -> None:
        """End the span of a run, if it has one here. `status`: its response's."""
        span = self._open.pop(run, None)
        if span is not None:
            span.set_attribute("holdfast.status", status)
            span.end()

    def end_all(self) -> None:
        """End those that are open when the process stops: their runs go on."""
        for run in tuple(self._open):
            self.end(run, "left")
