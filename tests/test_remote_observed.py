"""Runs elsewhere in metrics and traces: as those inside, and on into the worker."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from agents_app.remote import trace_context
from sessions_app.process import Process
from sessions_app.telemetry import tracing
from tests.support.remote_worker import AGENT, RawWorker, Talk, process
from tests.support.writer import delta, finish, text_start

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("holdfast"))
    yield exporter
    provider.shutdown()


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("end", "status"), [(finish(), "complete"), ({"type": "error", "errorText": "No."}, "failed")], ids=["well", "ill"]
)
async def test_a_run_elsewhere_is_measured(process: Process, end: Any, status: str) -> None:
    ended, waited, took = (
        value("holdfast_runs_ended_total", agent=AGENT, status=status),
        value("holdfast_run_wait_seconds_count"),
        value("holdfast_run_seconds_count", agent=AGENT),
    )
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        assert value("holdfast_runs", agent=AGENT) == 1
        await worker.begin(run, text_start(), delta("Hi"))
        for _ in range(2):  # a repeat counts nothing
            await worker.publish(run, end, sequence=2)
        assert value("holdfast_runs", agent=AGENT) == 0
    assert value("holdfast_runs_ended_total", agent=AGENT, status=status) == ended + 1
    assert value("holdfast_run_wait_seconds_count") == waited + 1
    assert value("holdfast_run_seconds_count", agent=AGENT) == took + 1


async def test_a_worker_that_leaves_is_at_work_no_more(process: Process) -> None:
    async with Talk(process) as talk:
        async with RawWorker(process) as worker:
            await worker.claim()
            await talk.say("Hello")
            await worker.given(talk.session)
        while value("holdfast_runs", agent=AGENT):
            await asyncio.sleep(0.01)


async def test_the_span_of_a_run_is_linked_to_its_signal_and_goes_on_in_the_worker(
    process: Process, spans: InMemorySpanExporter
) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        with trace_context.of(run["traceparent"]):
            within = asyncio.create_task(current())
        await worker.begin(run, text_start(), delta("Hi"), finish())
    done = {span.name: span for span in spans.get_finished_spans()}
    span: Any = done["holdfast.run"]
    assert dict(span.attributes) == {
        "holdfast.session": talk.session, "holdfast.run": run["run"], "holdfast.agent": AGENT,
        "holdfast.status": "complete",
    }  # fmt: skip
    assert [link.context.trace_id for link in span.links] == [done["holdfast.signal"].context.trace_id]
    parent = await within
    assert (parent.trace_id, parent.span_id, parent.is_remote) == (span.context.trace_id, span.context.span_id, True)


async def current() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()


async def test_without_traces_nothing_is_handed_down(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        assert "traceparent" not in await worker.given(talk.session)
        assert not process.workers._spans._open


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-0-0-00", "00-" + "f" * 32 + "-" + "0" * 16 + "-01"])
def test_a_malformed_context_is_none(traceparent: str) -> None:
    with trace_context.of(traceparent):
        assert not trace.get_current_span().get_span_context().is_valid
