"""A held event loop: the lease is kept, the run and the line are named, and a loop held for ever ends its answers."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from agents_app.local.runner import Runner
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.database import threads
from sessions_app.diagnostics import loop_watchdog
from sessions_app.diagnostics.loop_watchdog import LoopWatchdog
from sessions_app.process import Process
from sessions_app.runs.leases import DEAD, Lease, Reaper
from sessions_app.telemetry import log_context, metrics
from tests.support.agents import Conversation
from tests.support.harness import DEADLINE_S, wait_for
from tests.support.person import text_of
from tests.support.writer import Writer

LEASE_S = 0.9


def incidents() -> float:
    return metrics.loop_held._value.get()  # type: ignore[no-any-return]


# The watchdog


class HeldLoop:
    """An event loop in a thread, and its watchdog."""

    def __enter__(self) -> "HeldLoop":
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

        async def make() -> LoopWatchdog:
            return LoopWatchdog(self.loop)

        self.watchdog = asyncio.run_coroutine_threadsafe(make(), self.loop).result(DEADLINE_S)
        self.release = threading.Event()
        self.holds = threading.Event()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def agent(self) -> None:
        log_context.work_on(session="s", run="run_of_the_agent")
        await asyncio.create_task(self.subtask())

    async def subtask(self) -> None:
        self.holds.set()
        self.release.wait(DEADLINE_S)  # this line holds the loop

    def hold(self) -> None:
        self.release.clear()
        self.holds.clear()
        self.done = asyncio.run_coroutine_threadsafe(self.agent(), self.loop)
        assert self.holds.wait(DEADLINE_S)

    def let_go(self) -> None:
        self.release.set()
        self.done.result(DEADLINE_S)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop).result(DEADLINE_S)

    def look(self, *moments: float) -> list[float]:
        return [self.watchdog.look(moment) for moment in moments]


@pytest.fixture
def held() -> Iterator[HeldLoop]:
    with HeldLoop() as held:
        yield held


def test_the_run_and_the_line_are_named_once_an_incident(held: HeldLoop, caplog: pytest.LogCaptureFixture) -> None:
    before = incidents()
    for incident in range(2):
        start = 1000.0 * (incident + 1)
        held.hold()
        assert held.look(start, start + 0.5, start + 1.0, start + 1.5, start + 2.25) == [0.0, 0.5, 1.0, 1.5, 2.25]
        held.let_go()
        assert incidents() == before + incident + 1
    first, _ = [record.getMessage() for record in caplog.records if record.name == loop_watchdog.__name__]
    assert first.startswith("run run_of_the_agent has held the event loop for 1.0 s at ")
    assert re.search(r"threading\.py|test_blocked_loop\.py:\d+, in subtask", first)
    assert "this line holds the loop" in first and "in subtask" in first


def test_a_loop_that_waits_or_a_frozen_process_is_no_incident(held: HeldLoop) -> None:
    before = incidents()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), held.loop).result(DEADLINE_S)
    held.watchdog._ask = lambda now: setattr(held.watchdog, "_asked_at", now)  # type: ignore[method-assign]
    held.look(1000.0, 1000.9, 1001.8)  # the loop waits, and is just not heard on a busy machine
    held.hold()
    assert held.look(2000.0, 2009.0, 2018.0) == [0.0, 0.0, 0.0]  # the thread that looks stood still as well
    assert incidents() == before


def test_what_belongs_to_no_run_is_named_by_its_line(held: HeldLoop, caplog: pytest.LogCaptureFixture) -> None:
    def callback() -> None:
        held.holds.set()
        held.release.wait(DEADLINE_S)

    held.loop.call_soon_threadsafe(callback)
    assert held.holds.wait(DEADLINE_S)
    held.look(1000.0, 1000.8, 1001.6)
    assert "something that belongs to no run has held the event loop" in caplog.text and "in callback" in caplog.text


def test_a_closed_loop_is_looked_at_in_vain() -> None:
    with HeldLoop() as held:
        pass
    assert held.look(1.0, 1.5, 2.0, 2.5) == [0.0] * 4


# The lease


@contextmanager
def observing(declared: list[str]) -> Iterator[None]:
    """Another process, in a thread: it ends the responses of workers whose leases run out."""
    ended = threading.Event()

    def observe() -> None:
        with Writer() as writer:
            lease = Lease(writer.log_writer)
            reaper = Reaper(writer.log_writer, lease)
            while not ended.wait(0.05):
                writer.run(lease.beat())
                writer.run(reaper.scan())
                dead = models.Worker.objects.filter(alive=False).values_list("pk", flat=True)
                declared[:] = [*dead]
        connection.close()

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
async def process(settings: Any) -> Any:
    settings.HOLDFAST = settings.HOLDFAST | {
        "TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "LEASE_MS": int(LEASE_S * 1000), "BLOCKED_LOOP_MS": 1500,
    }  # fmt: skip
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


def calculate(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("block", [time.sleep, calculate])
async def test_a_blocking_agent_interrupts_nobody(
    process: Process, settings: Any, block: Callable[[float], None]
) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"BLOCKED_LOOP_MS": 60_000}
    blocking = asyncio.Event()

    async def innocent(turn: Turn) -> None:
        if turn.prompt == "block":
            block(3 * LEASE_S)
            blocking.set()
            return await turn.text("blocked")
        await turn.text("before ")
        await turn.flush()
        await blocking.wait()
        await turn.text("after")

    dead: list[str] = []
    with observing(dead):
        async with Conversation(process, innocent) as talk, Conversation(process, innocent) as other:
            await talk.say("speak")
            await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
            await other.say("block")
            answers = [await talk.answered(), await other.answered()]
            assert [(answer.status, text_of(answer)) for answer in answers] == [
                ("complete", "before after"), ("complete", "blocked"),
            ]  # fmt: skip
            assert process.lease.worker not in dead


@pytest.mark.django_db(transaction=True)
async def test_a_loop_that_is_held_for_longer_gives_up_its_answers(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    async def blocker(turn: Turn) -> None:
        await turn.text("so far")
        await turn.flush()
        ended = models.Run.objects.filter(status="ended")
        # In a thread of its own, for which this one waits: the loop is held until another process ends the run.
        watcher = threading.Thread(target=lambda: wait_for(ended.exists, DEADLINE_S, lambda: "the run goes on"))
        watcher.start()
        watcher.join(DEADLINE_S)

    dead: list[str] = []
    worker = process.lease.worker
    with observing(dead):
        async with Conversation(process, blocker) as talk:
            await talk.say("block")
            answer = await talk.answered()
            assert (answer.status, answer.reason, text_of(answer)) == ("interrupted", DEAD, "so far")
            await talk.wait_until(lambda: process.lease.worker != worker)
    assert worker in dead
    assert "the lease is no longer renewed" in caplog.text and "has held the event loop" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_a_process_that_cannot_write_is_not_kept_alive(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, commit = process.lease.worker, process.log_writer._commit
    dead: list[str] = []
    fails = True

    def fail(group: list[Any]) -> Any:
        if fails:
            raise OperationalError("disk full")
        return commit(group)

    monkeypatch.setattr(process.log_writer, "_commit", fail)
    with observing(dead):
        async with asyncio.timeout(DEADLINE_S):
            while worker not in dead:
                await asyncio.sleep(0.02)
            fails = False
            while process.lease.worker == worker:
                await asyncio.sleep(0.02)
    assert await threads.run(models.Worker.objects.filter(pk=process.lease.worker, alive=True).exists)


@pytest.mark.django_db(transaction=True)
def test_a_beat_is_told_while_the_loop_is_held() -> None:
    with Writer() as writer:
        lease = Lease(writer.log_writer)
        writer.run(lease.beat())
        worker, release = lease.worker, threading.Event()
        writer.loop.call_soon_threadsafe(release.wait, DEADLINE_S)
        models.Worker.objects.update(alive=False)
        lease.renew(lease.beaten_at + 100)
        wait_for(lambda: lease.worker != worker, DEADLINE_S, lambda: "the beat was not told")
        release.set()
    assert models.Worker.objects.get(pk=lease.worker).alive
    lease.renew(lease.beaten_at + 1000)  # the writer has stopped: the beat is refused at once
    assert not lease._is_beating
