"""Connection records: bounded under any load and failure, and kept for a while."""

import logging
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from sessions_app.diagnostics import connection_records
from sessions_app.diagnostics.connection_records import (
    BATCH,
    PER_OWNER,
    PROCESS,
    ConnectionEnd,
    ConnectionRecorder,
    Ended,
    end_of_socket,
)
from sessions_app.models import ConnectionRecord
from sessions_app.retention import purge as retention
from sessions_app.retention.purge import Purged
from tests.support.stored import hours_ago

pytestmark = pytest.mark.django_db(transaction=True)
HEADERS = [(b"host", b"a"), (b"cf-ray", b"230b030023ae2822-SJC"), (b"x-forwarded-for", b"192.0.2.1, 192.0.2.2")]
CUT = ConnectionEnd(Ended.CUT, 1006, 60.2, exact=True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ending(notes: ConnectionRecorder, count: int, *, owner: str = "guest:{}", end: ConnectionEnd = CUT) -> None:
    for number in range(count):
        notes.end(notes.begin("websocket", HEADERS), end, owner=owner.format(number))


async def test_a_connection_is_recorded_anonymously() -> None:
    clock = Clock()
    notes = ConnectionRecorder(clock)
    beginning = notes.begin("websocket", HEADERS)
    clock.now += 75.5
    notes.end(beginning, CUT, owner="guest:somebody")
    await notes.write()
    record = await ConnectionRecord.objects.aget()
    assert (record.transport, record.process, record.ended, record.code) == ("websocket", PROCESS, "cut", 1006)
    assert (record.life_s, record.idle_s, record.exact) == (75.5, 60.2, True)
    assert (record.headers, record.hops, record.ray) == ("x-forwarded-for cf-ray", 2, "230b030023ae2822-SJC")
    assert record.ended_at - record.began_at == timedelta(seconds=75.5)
    kept = " ".join(str(value) for value in vars(record).values())
    assert "somebody" not in kept and "192.0.2" not in kept


async def test_a_flood_of_records_is_dropped_counted_and_bounded_in_memory() -> None:
    notes = ConnectionRecorder(Clock())
    ending(notes, BATCH)
    tracemalloc.start()
    ending(notes, 50_000)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert notes.dropped == 50_000 and grown < 100_000
    await notes.write()
    assert await ConnectionRecord.objects.acount() == BATCH
    ending(notes, 1)
    await notes.write()
    assert await ConnectionRecord.objects.acount() == BATCH + 1


async def test_one_owner_fills_a_small_part_of_a_batch() -> None:
    notes = ConnectionRecorder(Clock())
    ending(notes, 1000, owner="guest:loud")
    ending(notes, 5)
    await notes.write()
    assert (await ConnectionRecord.objects.acount(), notes.dropped) == (PER_OWNER + 5, 1000 - PER_OWNER)
    ending(notes, 1, owner="guest:loud")
    await notes.write()
    assert await ConnectionRecord.objects.acount() == PER_OWNER + 6


@pytest.fixture
def no_table() -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.delete_model(ConnectionRecord)
    yield
    with connection.schema_editor() as editor:
        editor.create_model(ConnectionRecord)


async def test_a_failing_database_loses_only_the_records(no_table: None, caplog: pytest.LogCaptureFixture) -> None:
    notes = ConnectionRecorder(Clock())
    ending(notes, 3)
    with caplog.at_level(logging.WARNING):
        await notes.write()
    assert notes.dropped == 3 and "3 connection records were not stored" in caplog.text


async def test_nothing_is_recorded_when_recording_is_off(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"EVIDENCE_HOURS": 0}
    notes = ConnectionRecorder(Clock())
    ending(notes, 10)
    await notes.write()
    assert (await ConnectionRecord.objects.acount(), notes.dropped) == (0, 0)


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ({"code": 1006, "ended": "cut", "idle_s": 60.2}, CUT),
        ({"code": 1006, "ended": "lost", "idle_s": None}, ConnectionEnd(Ended.LOST, 1006)),
        ({"code": 1001, "ended": "client", "idle_s": None}, ConnectionEnd(Ended.BY_CLIENT, 1001)),
        ({"code": None, "ended": "client", "idle_s": None}, ConnectionEnd(Ended.BY_CLIENT)),
        # Other servers
        ({"code": 1001, "reason": ""}, ConnectionEnd(Ended.BY_CLIENT, 1001, 7.0)),
        ({"code": 1005}, ConnectionEnd(Ended.CUT, 1006, 7.0)),
        ({"code": 1006, "reason": "lost"}, ConnectionEnd(Ended.CUT, 1006, 7.0)),
        ({}, ConnectionEnd(Ended.CUT, 1006, 7.0)),
    ],
)
def test_the_reason_a_server_gives_for_an_end(message: dict[str, Any], end: ConnectionEnd) -> None:
    assert end_of_socket({"type": "websocket.disconnect", **message}, 7.0) == end


# Retention


def records(count: int, *, hours: float) -> None:
    row = {"transport": "websocket", "process": "a:1", "ended": "cut", "life_s": 1.0, "ended_at": hours_ago(hours)}
    ConnectionRecord.objects.bulk_create(ConnectionRecord(**row) for _ in range(count))


def test_old_records_are_purged_in_steps() -> None:
    records(25, hours=73)
    records(2, hours=71)
    steps: list[int] = []
    assert retention.purge(dry_run=True) == Purged(records=25)
    done = retention.purge(batch=10, on_progress=lambda purged: steps.append(purged.records))
    assert (done, steps) == (Purged(records=25), [10, 20, 25])
    assert ConnectionRecord.objects.count() == 2
    assert str(done) == "0 sessions, 0 messages, 25 connection records"


def test_the_newest_records_are_kept_within_the_limit(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"EVIDENCE_ROWS": 100}
    records(150, hours=2)
    newest = set(ConnectionRecord.objects.order_by("-pk").values_list("pk", flat=True)[:100])
    retention.purge()
    assert set(ConnectionRecord.objects.values_list("pk", flat=True)) == newest


def test_switching_recording_off_removes_old_records(settings: Any) -> None:
    records(3, hours=1)
    settings.HOLDFAST = settings.HOLDFAST | {"EVIDENCE_HOURS": 0}
    retention.purge()
    assert not ConnectionRecord.objects.exists()
    assert all(not outdated.exists() for outdated in connection_records.outdated(timezone.now()))
