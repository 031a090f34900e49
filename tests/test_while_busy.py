"""Messages to an agent at work, retried answers, and processes that stop meanwhile."""

import asyncio
from typing import Any

import pytest

from agents_app.turn import AgentFailed, Turn
from sessions_app import models
from sessions_app.database import threads
from sessions_app.process import Process
from tests.support.agents import Conversation, endless, parrot, process
from tests.support.person import text_of

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


# While an agent is at work


@pytest.mark.parametrize(
    ("while_busy", "statuses"),
    [("queue", ["complete", "complete"]), ("interrupt", ["cancelled", "complete"])],
)
async def test_a_message_during_a_run_is_handled_as_configured(
    process: Process, while_busy: Any, statuses: Any
) -> None:
    go = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text(turn.prompt)
        if turn.prompt == "First":
            await go.wait()

    async with Conversation(process, agent, while_busy=while_busy) as talk:
        await talk.say("First")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        await talk.say("Second")
        if while_busy == "queue":
            go.set()
        await talk.answered(2)
        assert [(answer.status, text_of(answer)) for answer in talk.answers] == [
            (statuses[0], "First"),
            (statuses[1], "Second"),
        ]
        await talk.wait_until(lambda: all(r["status"] == "applied" for r in talk.signals.values()))


async def test_an_agent_may_refuse_messages_while_it_works(process: Process) -> None:
    async with Conversation(process, endless(), while_busy="reject") as talk:
        await talk.say("First")
        await talk.wait_until(lambda: talk.answers)
        id = await talk.say("Second")
        assert talk.tab.receipts[id]["error"]["code"] == "busy"
        assert [text_of(m) for m in talk.messages if m.role == "user"] == ["First"]


async def test_an_agent_may_receive_messages_as_steers(process: Process) -> None:
    async with Conversation(process, endless(), while_busy="steer") as talk:
        await talk.say("First")
        await talk.wait_until(lambda: talk.answers)
        id = await talk.say("Second")
        await talk.wait_until(lambda: "[Second]" in text_of(talk.answers[0]))
        assert (await talk.final(id))["kind"] == "steer"
        again = await talk.tab.say(talk.session, "Second", id=id)
        assert talk.tab.receipts[again]["status"] == "accepted"
        assert len(talk.messages) == 2


# Trying again


async def test_an_interrupted_answer_can_be_continued(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        if turn.mode == "continue":
            assert text_of(turn.history[-1]) == "half"
            await turn.text(f"and the rest of {turn.prompt}")
        else:
            await turn.text("half")
            raise AgentFailed("Ask again in a minute.")

    async with Conversation(process, agent) as talk:
        await talk.say("it")
        first = await talk.answered()
        assert (first.status, first.reason) == ("failed", "Ask again in a minute.")
        receipt = await talk.send("retry", message=first.id, mode="continue")
        second = await talk.answered(2)
        assert text_of(second) == "and the rest of it"
        record = await talk.final(receipt["id"])
        assert (record["status"], record["message"]) == ("applied", second.id)
        assert text_of(talk.answers[0]) == "half"


async def test_an_answer_can_be_regenerated(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text(f"{turn.mode} {turn.prompt} {len(turn.history)}")

    async with Conversation(process, agent) as talk:
        await talk.say("it")
        first = await talk.answered()
        await talk.send("retry", message=first.id, mode="regenerate")
        assert text_of(await talk.answered_instead(first)) == "regenerate it 1"


@pytest.mark.parametrize("message", ["m_unknown", "m_other"])
async def test_only_an_answer_can_be_retried(process: Process, message: str) -> None:
    async with Conversation(process, parrot) as talk:
        assert (await talk.send("retry", message=message, mode="continue"))["error"]["code"] == "not_retryable"
        own = await talk.say("Hello")
        await talk.answered()
        assert (await talk.send("retry", message=own, mode="regenerate"))["error"]["code"] == "not_retryable"


async def test_no_answer_is_retried_while_an_agent_is_at_work(process: Process) -> None:
    turns = 0

    async def agent(turn: Turn) -> None:
        nonlocal turns
        turns += 1
        await turn.text("words")
        if turns > 1:
            await asyncio.sleep(60)

    async with Conversation(process, agent) as talk:
        await talk.say("One")
        first = await talk.answered()
        await talk.say("Two")
        await talk.wait_until(lambda: len(talk.answers) == 2)
        assert (await talk.send("retry", message=first.id, mode="regenerate"))["error"]["code"] == "busy"


# When the process stops or dies


async def test_a_stopping_process_hands_back_runs_it_has_not_begun(process: Process, monkeypatch: Any) -> None:
    claimed = asyncio.Event()

    async def slow(*args: Any) -> None:
        claimed.set()
        await asyncio.sleep(60)

    monkeypatch.setattr("agents_app.local.runner._speak", slow)
    async with Conversation(process, parrot) as talk:
        await talk.say("Hello")
        await claimed.wait()
        await process.stop()
        run = await talk.run()
        assert (run.status, run.worker_id) == ("waiting", None)
    monkeypatch.undo()


async def test_the_steers_of_a_dead_worker_are_the_next_question(process: Process, settings: Any) -> None:
    async with Conversation(process, parrot) as talk:
        dead = await threads.run(lambda: models.Worker.objects.create(name="dead", alive=True))
        response = process.writers.unprompted(talk.session, agent="test")
        response.run.worker_id = dead.pk
        await response.write({"type": "start", "messageId": response.uid})
        await response.flush()
        id = await talk.say("and then", kind="steer")
        await threads.run(lambda: models.Worker.objects.filter(pk=dead.pk).update(alive=False))
        assert text_of(await talk.answered(2)) == "and then"
        assert [answer.status for answer in talk.answers] == ["interrupted", "complete"]
        assert (await talk.final(id))["status"] == "applied"
