"""Claims are fair: owners take turns, and none takes every place of a process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents_app import registry
from agents_app.local.runner import Runner
from sessions_app.core import busy
from sessions_app.database import threads
from sessions_app.models import Run, Session, Signal, Worker
from sessions_app.process import Process
from sessions_app.runs import claims
from tests.support.stored import a_session
from tests.support.tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

ALICE, BOB, CAROL = "guest:alice", "guest:bob", "guest:carol"


class Queue:
    """Runs of sessions without a process, the later ones younger."""

    def __init__(self) -> None:
        self.here, self.elsewhere = (Worker.objects.create(name=name) for name in ("here", "elsewhere"))
        self._began = timezone.now() - timedelta(hours=1)

    def add(self, owner: str, count: int = 1, *, worker: Worker | None = None, session: Session | None = None) -> None:
        for _ in range(count):
            self._began += timedelta(seconds=1)
            chat = session or a_session(owner, agent="test", title=owner)
            uid = f"s_{self._began.timestamp()}"
            cause = Signal.objects.create(session=chat, uid=uid, kind="message", actor=owner, serial=1, last_serial=1)
            status = Run.Status.RUNNING if worker else Run.Status.WAITING
            Run.objects.create(
                session=chat, agent="test", status=status, worker=worker, cause=cause, created_at=self._began
            )

    def claimable(self, free: int) -> list[str]:
        """Return the owners of the sessions that may be claimed, in order."""
        found = claims.claimable_sessions(free, self.here.pk)
        owners = dict(Session.objects.values_list("pk", "owner"))
        return [owners[session] for session in found]


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_owners_take_turns_however_many_runs_one_has(queue: Queue) -> None:
    queue.add(ALICE, 100)
    queue.add(BOB, 2)
    queue.add(CAROL)
    assert queue.claimable(6) == [ALICE, BOB, CAROL, ALICE, BOB, ALICE]


def test_an_owner_with_agents_at_work_here_comes_later(queue: Queue) -> None:
    queue.add(ALICE, 2, worker=queue.here)
    queue.add(ALICE, 3)
    queue.add(BOB, 3)
    assert queue.claimable(6) == [BOB, BOB, ALICE, BOB, ALICE]


def test_agents_at_work_in_another_process_take_no_place_here(queue: Queue) -> None:
    queue.add(ALICE, 8, worker=queue.elsewhere)
    queue.add(ALICE)
    assert queue.claimable(1) == [ALICE]


def test_one_owner_leaves_half_of_the_places(queue: Queue) -> None:
    queue.add(ALICE, 10)
    assert queue.claimable(10) == [ALICE] * 5
    queue.add(ALICE, 5, worker=queue.here)
    assert queue.claimable(5) == []
    queue.add(BOB, 10)
    assert queue.claimable(5) == [BOB] * 3


def test_one_owner_has_at_most_so_many(queue: Queue, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"RUNS_PER_OWNER": 3}
    queue.add(ALICE, 2, worker=queue.here)
    queue.add(ALICE, 5)
    queue.add(BOB, 5)
    assert queue.claimable(100) == [BOB, BOB, ALICE, BOB]


def test_a_single_place_is_for_anyone(queue: Queue) -> None:
    queue.add(ALICE, 2)
    assert queue.claimable(1) == [ALICE]


def test_a_sessions_runs_wait_for_each_other_and_take_one_turn(queue: Queue) -> None:
    busy_one, free_one = a_session(ALICE), a_session(ALICE)
    queue.add(ALICE, session=busy_one, worker=queue.elsewhere)
    queue.add(ALICE, session=busy_one)
    queue.add(ALICE, 3, session=free_one)
    assert queue.claimable(9) == [ALICE]


# In a process


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "WAITING_RUNS_PER_OWNER": 5}
    process = Process()
    await process.start([lambda here: Runner(here, most=4).run])
    yield process
    await process.stop()


class Agent:
    """An agent that goes on until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, turn: Any) -> None:
        await turn.text("Begun")
        await self.go.wait()


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = registry._agents["test"] = Agent()
    busy.set_policy("test", "queue")
    yield agent
    agent.go.set()
    registry._agents.pop("test")


async def ask(tab: Tab, count: int) -> list[str]:
    """Ask in new sessions; return them."""
    sessions = [(await threads.run(lambda: a_session(tab.owner, agent="test"))).pk for _ in range(count)]
    for session in sessions:
        await tab.attach(session)
        await tab.say(session, "Hello")
    return sessions


def statuses(sessions: list[str]) -> list[str]:
    return list(Run.objects.filter(session__in=sessions).values_list("status", flat=True))


async def until(sessions: list[str], status: str, count: int) -> None:
    async with asyncio.timeout(20):
        while (await threads.run(statuses, sessions)).count(status) != count:
            await asyncio.sleep(0.02)


async def test_a_person_is_answered_at_once_while_another_has_taken_all_they_may(
    process: Process, agent: Agent
) -> None:
    async with Tab(process, ALICE) as alice, Tab(process, BOB) as bob:
        greedy = await ask(alice, 5)
        await until(greedy, "running", 2)
        [asked] = await ask(bob, 1)
        await until([asked], "running", 1)
        assert (await threads.run(statuses, greedy)).count("running") == 2
        agent.go.set()
        await until(greedy, "ended", 5)


async def test_messages_beyond_those_that_may_wait_are_refused_and_may_be_retried(
    process: Process, agent: Agent
) -> None:
    async with Tab(process, ALICE) as alice, Tab(process, BOB) as bob:
        sessions = await ask(alice, 7)
        receipt = alice.receipts[await alice.say(sessions[0], "More")]
        assert (receipt["status"], receipt["error"]["code"], receipt["error"]["retryable"]) == (
            "rejected", "too_many_waiting", True,
        )  # fmt: skip
        await ask(bob, 1)
        agent.go.set()
        await until(sessions, "ended", 7)
        await ask(alice, 1)
