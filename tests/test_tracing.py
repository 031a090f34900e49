"""Spans: nesting, links, failures, and no user content."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sessions_app.telemetry import tracing


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("holdfast"))
    monkeypatch.setattr(tracing, "_commits", 0)
    yield exporter
    provider.shutdown()


def only(spans: InMemorySpanExporter, name: str) -> Any:
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


async def test_effects_are_linked_and_nested_spans_are_children(spans: InMemorySpanExporter) -> None:
    async def answers() -> None:
        with tracing.linked_span("run", run="r1"), tracing.span("catch-up", session="s1"):
            pass

    with tracing.span("signal", session="s1"):
        caused = asyncio.create_task(answers())
    await caused
    signal, run, within = (only(spans, f"holdfast.{name}") for name in ("signal", "run", "catch-up"))
    assert run.parent is None and [link.context for link in run.links] == [signal.context]
    assert within.parent == run.context
    assert dict(run.attributes) == {"holdfast.run": "r1"}


def test_a_failure_records_its_type_and_not_its_text(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError), tracing.span("purge"):
        raise ValueError("what somebody wrote")
    span = only(spans, "holdfast.purge")
    assert span.status.description == "ValueError" and not span.status.is_ok
    assert "wrote" not in span.to_json()


def test_sampled_and_all_slow_commits_have_a_span(spans: InMemorySpanExporter) -> None:
    for number in range(2 * tracing.EVERY):
        tracing.commit(0, 150_000_000 if number == 7 else 1_000_000, writes=number)
    assert [span.attributes["holdfast.writes"] for span in spans.get_finished_spans()] == [0, 7, tracing.EVERY]


def test_without_an_endpoint_spans_are_no_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    tracing.configure()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    with tracing.linked_span("run", run="r1") as outer, tracing.span("catch-up") as inner:
        assert not outer.is_recording() and not inner.is_recording()
    tracing.commit(0, 1, writes=1)


def test_the_sites_own_provider_is_kept() -> None:
    """In a process of its own: a provider is set once."""
    script = """
from opentelemetry import trace
from sessions_app.telemetry import tracing
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracing.configure()
assert trace.get_tracer_provider() is provider
with tracing.span("purge"):
    pass
print([span.name for span in exporter.get_finished_spans()])
"""
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, tracing.ENDPOINTS[0]: "http://127.0.0.1:1"},
    )
    assert told.stdout == "['holdfast.purge']\n", told.stderr


def test_missing_packages_are_reported(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # type: ignore[arg-type]
    tracing.configure()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert f"pip install {tracing.PACKAGES}" in caplog.text
