"""Spans for OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT or a tracer provider of the site's says where to.

Elsewhere nothing of it is even imported. Spans carry ids and numbers: nothing that anybody has written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
SLOW_S = 0.1  # a commit that takes longer is always worth a span
EVERY = 100  # … and one of so many others, to compare it with

_tracer: Any = None
_commits = 0


class Span(Protocol):
    def set_attribute(self, key: str, value: Any) -> None: ...


class _Nothing:
    def set_attribute(self, key: str, value: Any) -> None: ...


_NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())


def configure() -> None:
    """Have spans made from now on if the environment asks for them; OpenTelemetry's own OTEL_ variables say how."""
    global _tracer
    if _tracer is not None or not any(map(os.environ.get, ENDPOINTS)) or _is("OTEL_SDK_DISABLED", "true"):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("no traces, although %s is set: %s. Do: pip install %s", ENDPOINTS[0], error, PACKAGES)
        return
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):  # else the site has set one up
        os.environ.setdefault("OTEL_SERVICE_NAME", "holdfast")
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    use(trace.get_tracer_provider())


def use(provider: Any) -> None:
    """Have spans made by this provider of OpenTelemetry's."""
    global _tracer
    _tracer = provider.get_tracer("holdfast")


def _is(name: str, value: str) -> bool:
    return os.environ.get(name, "").strip().lower() == value


def span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """`with span("catch-up", session=…) as span:` measures what is done within, as a part of what is under way."""
    return _NOTHING if _tracer is None else _span(name, attributes)


def linked_span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """`span`, but no part of what is under way: that has caused it, and will end before it."""
    return _NOTHING if _tracer is None else _span(name, attributes, is_linked=True)


@contextmanager
def _span(name: str, attributes: dict[str, str | int], *, is_linked: bool = False) -> Iterator[Span]:
    from opentelemetry import trace
    from opentelemetry.context import Context

    cause = trace.get_current_span().get_span_context()
    how: dict[str, Any] = {}
    if is_linked:
        how = {"context": Context(), "links": [trace.Link(cause)] if cause.is_valid else []}
    with _tracer.start_as_current_span(
        f"holdfast.{name}",
        attributes=_named(attributes),
        record_exception=False,  # its text may be somebody's
        set_status_on_exception=False,
        **how,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def commit(began_ns: int, ended_ns: int, **attributes: int) -> None:
    """One transaction of the log is over; times by `time.time_ns`."""
    global _commits
    if _tracer is None:
        return
    _commits += 1
    if _commits % EVERY == 1 or ended_ns - began_ns > SLOW_S * 1e9:
        _tracer.start_span("holdfast.commit", attributes=_named(attributes), start_time=began_ns).end(ended_ns)


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"holdfast.{name}": value for name, value in attributes.items()}
