"""The runner: a claimed run is answered or handed back, despite faults and stops."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError

from agents_app.local.runner import Runner
from sessions_app import models
from sessions_app.core.signals import Sent
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.process import Process
from sessions_app.runs import claims
from tests.support.agents import OWNER, Conversation, parrot
from tests.support.person import text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    """A process without a runner."""
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20}
    process = Process()
    await process.start()
    yield process
    await process.stop()


async def test_the_number_of_agents_at_work_is_bounded(process: Process) -> None:
    at_work = most = 0

    async def agent(turn: Any) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.05)
        at_work -= 1

    async with Conversation(process, agent) as one, Conversation(process, agent) as two:
        for talk in (one, two):
            await talk.say("Hello")
        runner = asyncio.create_task(Runner(process, most=1).run())
        for talk in (one, two):
            await talk.answered()
        await cancelled(runner)
    assert most == 1


async def test_agents_at_work_finish_within_the_drain(process: Process) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def agent(turn: Any) -> None:
        await turn.text("begun")
        begun.set()
        await go.wait()

    async with Conversation(process, agent) as talk:
        await talk.say("First")
        runner = asyncio.create_task(Runner(process, drain_s=60).run())
        await begun.wait()
        await talk.say("Second")  # waits for the first, and for another process
        runner.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait({runner})
        await talk.wait_until(lambda: talk.answers[0].status == "complete")
        assert (await talk.run()).status == "waiting"


async def test_a_run_claimed_while_stopping_is_handed_back(process: Process, monkeypatch: Any) -> None:
    claiming, go = asyncio.Event(), asyncio.Event()
    claim = process.claims.claim

    async def slow(session: str, held: Any, free: int) -> models.Run | None:
        claimed = await claim(session, held, free)
        claiming.set()
        await go.wait()
        return claimed

    monkeypatch.setattr(process.claims, "claim", slow)
    async with Conversation(process, parrot) as talk:
        await talk.say("Hello")
        runner = asyncio.create_task(Runner(process, drain_s=60).run())
        await claiming.wait()
        runner.cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait({runner})
        run = await talk.run()
        assert (run.status, run.worker_id, talk.answers) == ("waiting", None, [])


async def test_the_runner_stops_while_the_database_is_away(process: Process, monkeypatch: Any) -> None:
    looking, go = threading.Event(), threading.Event()

    def failing(most: int, worker: str) -> list[str]:
        looking.set()
        go.wait(30)
        raise DatabaseError("the database is away")

    monkeypatch.setattr(claims, "claimable_sessions", failing)
    runner = asyncio.create_task(Runner(process).run())
    await asyncio.to_thread(looking.wait, 30)
    runner.cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait({runner})
    assert runner.cancelled()


async def test_a_run_begins_in_the_transaction_that_causes_it(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr(claims, "claimable_sessions", lambda most, worker: [])  # so that nothing else claims
    runner = asyncio.create_task(Runner(process).run())
    async with Conversation(process, parrot) as talk:
        await talk.say("Hello")
        assert text_of(await talk.answered()) == "Hello"
        await cancelled(runner)
        await talk.say("Hello again")
        assert (await talk.run()).status == "waiting"


async def test_no_run_begins_twice_however_fast_messages_arrive(process: Process) -> None:
    begun: list[str] = []

    async def agent(turn: Any) -> None:
        begun.append(turn.prompt)
        await turn.text("Yes")

    runner = asyncio.create_task(Runner(process).run())
    async with Conversation(process, agent) as talk:
        texts = [f"Message {number}" for number in range(10)]
        tabs = [await talk.second_tab() for _ in texts]
        await asyncio.gather(*(tab.say(talk.session, text) for tab, text in zip(tabs, texts, strict=True)))
        await talk.answered(len(texts))
        assert sorted(begun) == texts
        await cancelled(runner)


async def test_a_signal_is_answered_though_its_sender_has_left(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr(claims, "claimable_sessions", lambda most, worker: [])
    runner = asyncio.create_task(Runner(process).run())
    async with Conversation(process, parrot) as talk:
        sent = Sent("left", "message", OWNER, {"parts": [{"type": "text", "text": "Hello"}]})
        while process.claims.claim_next is None:
            await asyncio.sleep(0)
        taking = asyncio.ensure_future(process.signal_intake.store(talk.session, sent, agent="test"))
        await asyncio.sleep(0)
        taking.cancel()
        assert text_of(await talk.answered()) == "Hello"
        await cancelled(runner)


async def test_others_hear_of_a_question_that_is_left_to_them(process: Process, monkeypatch: Any) -> None:
    told: list[str] = []
    monkeypatch.setattr(process.fanout, "announce_signal", lambda: told.append("told"))
    async with Conversation(process, parrot) as talk:
        await talk.say("Nobody is here")
        assert told == ["told"]
        runner = asyncio.create_task(Runner(process).run())
        await talk.answered()
        told.clear()
        await talk.say("Claimed at once")
        await talk.answered(2)
        assert told == []
        await cancelled(runner)


async def test_a_session_deleted_while_claiming_affects_no_other_run(process: Process, monkeypatch: Any) -> None:
    async with Conversation(process, parrot) as gone, Conversation(process, parrot) as talk:
        for each in (gone, talk):
            await each.say("Hello")
        claimable = claims.claimable_sessions

        def then_deleted(most: int, worker: str) -> list[str]:
            found = claimable(most, worker)
            models.Session.objects.filter(pk=gone.session).delete()
            return found

        monkeypatch.setattr(claims, "claimable_sessions", then_deleted)
        runner = asyncio.create_task(Runner(process).run())
        assert text_of(await talk.answered()) == "Hello"
        await cancelled(runner)
        assert not await threads.run(models.Run.objects.filter(status="running").exists)


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_an_agent_begins_despite_a_short_database_outage(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, away = queries.history, [OperationalError("the server closed the connection")] * 2

    def read(*args: Any, **kwargs: Any) -> Any:
        if away:
            raise away.pop()
        return history(*args, **kwargs)

    async with Conversation(process, parrot) as talk:
        await talk.say("Hello")
        monkeypatch.setattr(queries, "history", read)
        runner = asyncio.create_task(Runner(process).run())
        answer = await talk.answered()
        await cancelled(runner)
    assert not away
    assert (answer.status, text_of(answer)) == ("complete", "Hello")
