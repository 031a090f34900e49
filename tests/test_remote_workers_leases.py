"""Remote workers: a lease that a worker keeps by its beats, or loses."""

import asyncio
from typing import Any

import pytest

from sessions_app.process import Process
from tests.support.remote_worker import RawWorker, Talk, process
from tests.support.writer import delta, finish, text_start

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short_lease(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"LEASE_MS": 1500}


async def test_a_silent_workers_run_ends_with_its_lease_and_the_worker_may_come_back(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        await worker.begin(run, text_start(), delta("Hel"))
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")
        assert await worker.publish(run, delta("lo")) == "fenced"
        assert (await worker.claim(runs=(run["run"],)))["runs"] == []
        await talk.say("Again")
        assert await worker.begin(await worker.given(talk.session, 2), finish())


async def test_beats_keep_a_workers_runs(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        await worker.begin(run, text_start(), delta("Hel"))
        for _ in range(25):
            await worker.send({"type": "beat", **worker.who})
            await asyncio.sleep(0.1)
        assert await worker.publish(run, delta("lo"), finish())
