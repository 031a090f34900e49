"""Metrics: failures are counted, and no client input injects a sample."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log.writer import LogWriter
from sessions_app.process import Process
from sessions_app.retention import purge
from sessions_app.telemetry import metrics
from sessions_app.transports import exposition, probes
from tests.support.stored import a_message, a_session
from tests.support.tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

Samples = dict[tuple[str, ...], float]


def samples(process: Process | None = None) -> Samples:
    """Return every sample of this process: (name, label values in the order of their names) → value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition.exposition(process).decode())
        for sample in family.samples
    }


@pytest.fixture
def gained() -> Callable[..., float]:
    """A sample's growth since the test began: `gained(name, *labels)`."""
    before = samples()
    return lambda *key: samples().get(key, 0.0) - before.get(key, 0.0)


@pytest.fixture
async def process() -> Any:
    process = Process()
    await process.start([])
    yield process
    await process.stop()


async def test_connection_ends_are_counted_by_reason(process: Process, gained: Callable[..., float]) -> None:
    async with Tab(process, "guest:1") as tab:
        await tab.wait_until(lambda: tab.limits)
        assert samples(process)["holdfast_connections", "idle", "websocket"] == 1
        await tab.connection.fail(HoldfastError("slow_reader"))
        process.connections.dismiss(tab.connection, "client")
    assert gained("holdfast_connections_closed_total", "slow_reader", "websocket") == 1


async def test_a_failed_commit_is_counted(
    process: Process, gained: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OperationalError("no room")

    monkeypatch.setattr(LogWriter, "_commit", fails)
    with pytest.raises(HoldfastError):
        await process.log_writer.do(print)
    monkeypatch.undo()
    assert gained("holdfast_commits_failed_total") == 1


async def test_a_receipt_counts_when_it_is_committed(process: Process, gained: Callable[..., float]) -> None:
    session = (await threads.run(lambda: a_session("guest:1", agent="nobody"))).pk
    async with Tab(process, "guest:1") as tab:
        await tab.attach(session)
        await tab.say(session, "Hello")
        await tab.signal(session, "cancel", {})
    assert gained("holdfast_receipts_total", "cancel", "accepted") == 1
    assert gained("holdfast_receipts_total", "message", "rejected") == 1  # its run had not begun
    assert gained("holdfast_signals_total", "cancel", "accepted") == 1


def test_purged_rows_are_counted(gained: Callable[..., float]) -> None:
    a_message(a_session("guest:1", hours=100), hours=100)
    purge.purge_round(None)  # type: ignore[arg-type]  # nobody stops it
    assert gained("holdfast_purged_rows_total", "sessions") == 1
    assert gained("holdfast_purged_rows_total", "messages") == 1
    assert gained("holdfast_purge_seconds_count") == 1


async def test_dropped_and_failed_hints_are_counted(
    settings: Any, gained: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"FANOUT_BACKLOG": 1}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "tests.support.channel_layers.Failing"}}
    process = Process()
    process.fanout.announce_signal()
    process.fanout.announce_signal()
    assert gained("holdfast_fanout_messages_total", "dropped") == 1
    await process.start([])
    while not gained("holdfast_fanout_messages_total", "failed"):
        await asyncio.sleep(0.01)
    await process.stop()


def test_a_name_cannot_inject_a_sample() -> None:
    name = 'x"} 1\nevil_total{a="\\'
    with metrics.run(name, timezone.now() - timedelta(seconds=9), None) as watched:
        watched.status = "complete"
    assert samples()["holdfast_runs_ended_total", name, "complete"] == 1
    assert not [key for key in samples() if key[0].startswith("evil")]


async def test_only_registered_agents_have_a_label(process: Process, gained: Callable[..., float]) -> None:
    from agents_app.local.runner import perform

    before = {key for key in samples() if key[0] == "holdfast_runs_ended_total"}
    for number in range(5):
        session = await threads.run(lambda: a_session("guest:1"))
        await perform(process, process.writers.unprompted(session.pk, agent=f"made-up-{number}"))
    assert gained("holdfast_runs_ended_total", "unknown", "failed") == 5
    new = {key for key in samples() if key[0] == "holdfast_runs_ended_total"} - before
    assert new <= {("holdfast_runs_ended_total", "unknown", "failed")}


@pytest.mark.parametrize(
    ("token", "shown", "status"),
    [("", "Bearer ", 404), ("", "", 404), ("t", "Bearer t", 200), ("t", "bearer t", 403), ("t", "Bearer tt", 403)],
)
async def test_metrics_require_a_token(settings: Any, token: str, shown: str, status: int) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"METRICS_TOKEN": token}
    assert (await probes.respond("GET", "metrics", shown, None)).status == status
