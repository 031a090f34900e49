"""Stop races: a task that is stopped ends, even if its awaited event happens at that very moment."""

import asyncio
from typing import Any

import pytest

from agents_app.local.runner import Runner
from sessions_app.core.signals import AgentSignal
from sessions_app.models import Run
from sessions_app.process import Process
from sessions_app.runs.inbox import RunInbox


async def stopped(task: "asyncio.Task[Any]") -> bool:
    task.cancel()
    await asyncio.wait({task}, timeout=10)
    return task.cancelled()


@pytest.mark.django_db(transaction=True)
async def test_a_runner_stops_even_if_work_arrives_at_that_moment() -> None:
    process = Process()
    await process.start([])
    task = asyncio.create_task(Runner(process).run())
    while not process.claims.waiting._waiters:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    process.claims.waiting.set()
    assert await stopped(task)
    await process.stop()


async def test_an_agent_stops_even_if_its_decision_arrives_at_that_moment() -> None:
    inbox = RunInbox(Run())
    task = asyncio.create_task(inbox.wait_for("approval", 60))
    while "approval" not in inbox._awaited:
        await asyncio.sleep(0)
    inbox.put(AgentSignal(1, "s", "approve", "guest:1", "approval", {}))
    assert await stopped(task)
