"""Trace context: an agent elsewhere goes on in the trace that its site has begun, where OpenTelemetry is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def of(traceparent: str) -> Iterator[None]:
    """Have tasks that begin in this block be children of a span, in the form of W3C Trace Context."""
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        yield
        return
    token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context.detach(token)
