"""OpenTelemetry spans for signals, runs, catch-ups, commits and purges.

Without a tracer provider they are OpenTelemetry's no-ops. With OTEL_EXPORTER_OTLP_ENDPOINT, `configure` sets one up; a
site may set up its own instead. Spans carry ids and numbers, never the text of people or agents.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, StatusCode

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
SLOW_S = 0.1  # a slower commit always gets a span
EVERY = 100  # one in so many other commits gets a span, for comparison

Attributes = dict[str, str | int]

_tracer = trace.get_tracer("holdfast")  # uses the provider, even if it is set later
_commits = 0


def configure() -> None:
    """Export spans if the environment names an endpoint and the site has set up no provider of its own."""
    has_provider = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    if has_provider or not any(map(os.environ.get, ENDPOINTS)):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("no traces, although %s is set: %s. Run: pip install %s", ENDPOINTS[0], error, PACKAGES)
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", "holdfast")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """Measure a block as a child of the current span: `with span("catch-up", session=…) as span:`."""
    return _span(name, attributes)


def linked_span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """Start a separate trace, linked to the current span as its cause, for work that outlasts it."""
    return _span(name, attributes, context=Context(), links=_cause())


def begin_linked(name: str, **attributes: str | int) -> Span:
    """As `linked_span`, for work that no block holds: its `end` is called, and it is never the current span."""
    return _tracer.start_span(f"holdfast.{name}", context=Context(), attributes=_prefixed(attributes), links=_cause())


def traceparent(span: Span) -> str:
    """Return a span's context in the form of W3C Trace Context."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _cause() -> list[Link]:
    cause = trace.get_current_span().get_span_context()
    return [Link(cause)] if cause.is_valid else []


@contextmanager
def _span(
    name: str, attributes: Attributes, *, context: Context | None = None, links: Sequence[Link] = ()
) -> Iterator[Span]:
    span = _tracer.start_span(f"holdfast.{name}", context=context, attributes=_prefixed(attributes), links=links)
    # Only the exception's name: its text may contain what a person wrote.
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def commit(began_ns: int, ended_ns: int, **attributes: int) -> None:
    """Record a log transaction. Times are from `time.time_ns`."""
    global _commits
    _commits += 1
    if _commits % EVERY == 1 or ended_ns - began_ns > SLOW_S * 1e9:
        _tracer.start_span("holdfast.commit", attributes=_prefixed(dict(attributes)), start_time=began_ns).end(ended_ns)


def _prefixed(attributes: Attributes) -> Attributes:
    return {f"holdfast.{name}": value for name, value in attributes.items()}
