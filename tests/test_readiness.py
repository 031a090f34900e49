"""Readiness: a process is ready while it runs and its database can be read and written in time."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import OperationalError, connection

from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.diagnostics import readiness
from sessions_app.models import WriteProbe
from sessions_app.process import Process
from sessions_app.runs import leases
from sessions_app.transports import probes
from tests.support.harness import DEADLINE_S
from tests.test_log_writer_faults import full, opened_with, read_only

pytestmark = pytest.mark.django_db(transaction=True)


async def ready(process: Process | None) -> tuple[int, str]:
    response = await probes.respond("GET", "readyz", "", process)
    return response.status, response.body.decode()


async def test_a_process_is_ready_from_start_to_stop() -> None:
    assert await ready(None) == (503, "the process has not started\n")
    process = Process()
    assert await ready(process) == (503, "the process has not started\n")
    await process.start([])
    assert await ready(process) == (200, "ready\n")
    await process.stop()
    assert await ready(process) == (503, "the process is stopping\n")
    assert (await probes.respond("GET", "healthz", "", process)).status == 200


async def test_a_hanging_database_is_queried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    asked: list[Any] = []

    def read() -> str:
        asked.append(1)
        answers.wait(60)
        return ""

    monkeypatch.setattr(readiness, "_read", read)
    monkeypatch.setattr(readiness, "DATABASE_S", 0.05)
    process = Process()
    await process.start([])
    for _ in range(5):
        assert await ready(process) == (503, "the database has not answered for 0.05 s\n")
    assert len(asked) == 1
    monkeypatch.setattr(readiness, "DATABASE_S", 60)
    answers.set()
    assert await ready(process) == (200, "ready\n")
    await process.stop()


# Written


def standby() -> AbstractContextManager[None]:
    return opened_with("SET default_transaction_read_only = on")


def reconnect() -> None:
    """Let all connections be opened anew."""
    if connection.vendor == "postgresql":
        connection.close_pool()


@pytest.mark.parametrize(
    ("vendor", "fault", "reason"),
    [
        ("sqlite", read_only, "it is read-only"),
        ("sqlite", full, "its disk is full"),
        ("postgresql", standby, "it is read-only, as a standby is"),
    ],
)
async def test_a_process_that_cannot_write_is_not_ready_and_says_why(
    monkeypatch: pytest.MonkeyPatch, vendor: str, fault: Callable[[], AbstractContextManager[None]], reason: str
) -> None:
    if connection.vendor != vendor:
        pytest.skip(f"is about {vendor}")
    monkeypatch.setattr(readiness, "WRITE_EVERY_S", 0)
    process = Process()
    await process.start([])
    with await threads.run(fault):
        reconnect()
        assert await ready(process) == (503, f"the database can be read, but not written: {reason}\n")
    reconnect()
    assert await ready(process) == (200, "ready\n")
    await process.stop()


async def test_probes_in_quick_succession_write_once_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = readiness._write
    monkeypatch.setattr(readiness, "_write", lambda: written.append(1) or write())
    process = Process()
    await process.start([])
    for _ in range(5):
        assert await ready(process) == (200, "ready\n")
    assert written == [1]
    assert not await WriteProbe.objects.aexists()
    await process.stop()


async def test_a_process_starts_while_nothing_can_be_written_and_gets_its_lease_later(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"LEASE_MS": 300}
    beat, is_full = leases._beat, threading.Event()
    is_full.set()

    def fail_while_full(worker: str) -> str:
        if is_full.is_set():
            raise OperationalError("the disk is full")
        return beat(worker)

    monkeypatch.setattr(leases, "_beat", fail_while_full)
    process = Process()
    await process.start([])
    assert process.lease.worker == ""
    assert await process.claims.claim("a session", set(), 1) is None
    with pytest.raises(HoldfastError, match="storage_unavailable"):
        process.writers.unprompted("a session", agent="")
    is_full.clear()
    async with asyncio.timeout(DEADLINE_S):
        while not process.lease.worker:
            await asyncio.sleep(0.01)
    await process.stop()
