"""Readiness: a process is ready while it runs and its database answers in time; one query serves all probes."""

import threading
from typing import Any

import pytest

from sessions_app.diagnostics import readiness
from sessions_app.process import Process
from sessions_app.transports import probes

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
