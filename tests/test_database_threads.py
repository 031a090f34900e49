"""Database threads: jobs in order, errors to their callers, and none for a caller that has gone."""

import asyncio
import threading
from functools import partial

import pytest
from django.db import OperationalError

from sessions_app.database import threads
from sessions_app.database.threads import OF_A_LANE, THREADS, Lanes


async def test_a_job_returns_its_result_from_another_thread() -> None:
    assert await threads.run(lambda number: (number, threading.current_thread() is threading.main_thread()), 7) == (
        7,
        False,
    )


async def test_an_error_is_raised_for_its_caller_alone() -> None:
    def fail() -> None:
        raise OperationalError("no")

    results = await asyncio.gather(threads.run(fail), threads.run(lambda: 1), threads.run(fail), return_exceptions=True)
    assert [type(result) for result in results] == [OperationalError, int, OperationalError]


async def test_jobs_begin_in_order_and_no_more_than_there_are_threads() -> None:
    begun: list[int] = []
    go = threading.Event()

    def job(number: int) -> None:
        begun.append(number)
        assert go.wait(10)

    jobs = [asyncio.create_task(threads.run(job, number)) for number in range(3 * THREADS)]
    async with asyncio.timeout(10):
        while len(begun) < THREADS:
            await asyncio.sleep(0.001)
    assert sorted(begun) == list(range(THREADS))
    go.set()
    await asyncio.gather(*jobs)
    assert sorted(begun) == list(range(3 * THREADS))


async def test_a_job_whose_caller_has_gone_is_not_begun() -> None:
    go, ran = threading.Event(), list[str]()
    busy = [asyncio.create_task(threads.run(go.wait, 10)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    gone = asyncio.create_task(threads.run(ran.append, "gone"))
    there = asyncio.create_task(threads.run(ran.append, "there"))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    go.set()
    await asyncio.gather(there, *busy)
    assert ran == ["there"]


async def test_a_caller_that_goes_during_its_job_spoils_no_other() -> None:
    begun, go = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        assert go.wait(10)

    gone = asyncio.create_task(threads.run(job))
    assert await threads.run(begun.wait, 10)
    gone.cancel()
    go.set()
    assert await threads.run(lambda: "there") == "there"
    assert gone.cancelled()


async def test_calls_of_a_lane_take_up_no_more_threads_than_they_may() -> None:
    lanes, go = Lanes(2), threading.Event()
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        assert go.wait(10)

    calls = [asyncio.create_task(lanes.run("one", partial(call, number))) for number in range(3 * OF_A_LANE)]
    async with asyncio.timeout(10):
        while len(begun) < 2:
            await asyncio.sleep(0.001)
    assert await lanes.run("another", lambda: "there") == await threads.run(lambda: "there") == "there"
    assert sorted(begun) == [0, 1]
    go.set()
    await asyncio.gather(*calls)
    assert sorted(begun) == list(range(3 * OF_A_LANE))
    assert not lanes._lanes


async def test_a_long_lane_lets_others_in() -> None:
    lanes, go, done = Lanes(THREADS), threading.Event(), list[str]()

    def call(name: str) -> None:
        assert go.wait(10)
        done.append(name)

    calls = [asyncio.create_task(lanes.run("long", partial(call, "long"))) for _ in range(4 * THREADS * OF_A_LANE)]
    await asyncio.sleep(0)
    other = asyncio.create_task(threads.run(call, "other"))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(other, *calls)
    assert done.index("other") < 2 * THREADS * OF_A_LANE


async def test_a_lane_goes_on_after_errors_and_callers_that_have_gone() -> None:
    lanes, go, ran = Lanes(1), threading.Event(), list[str]()
    first = asyncio.create_task(lanes.run("one", partial(go.wait, 10)))
    await asyncio.sleep(0)
    gone = asyncio.create_task(lanes.run("one", partial(ran.append, "gone")))
    failing = asyncio.create_task(lanes.run("one", partial(int, "no number")))
    there = asyncio.create_task(lanes.run("one", partial(ran.append, "there")))
    await asyncio.sleep(0)
    gone.cancel()
    go.set()
    results = await asyncio.gather(first, gone, failing, there, return_exceptions=True)
    assert [type(result) for result in results] == [bool, asyncio.CancelledError, ValueError, type(None)]
    assert ran == ["there"]


def test_a_closed_loop_stops_no_thread() -> None:
    go = threading.Event()

    async def leave() -> None:
        asyncio.get_running_loop().create_task(threads.run(go.wait, 10))
        await asyncio.sleep(0)

    for _ in range(2 * THREADS):
        asyncio.run(leave())
    go.set()
    assert asyncio.run(threads.run(lambda: "there")) == "there"
