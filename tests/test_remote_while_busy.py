"""Messages to an agent elsewhere that is at work: what the newest worker has declared decides, and stays."""

from typing import Any

import pytest

from sessions_app.models import RemoteAgent
from sessions_app.process import Process
from tests.support.person import text_of
from tests.support.remote_worker import AGENT, RawWorker, Talk, process
from tests.support.writer import delta, finish, text_start

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


async def declaring(worker: RawWorker, policy: str, **fields: Any) -> Any:
    return await worker.claim(while_busy={AGENT: policy}, **fields)


async def at_work(talk: Talk, worker: RawWorker) -> Any:
    """Have the worker begin to answer a message; return its run."""
    await talk.say("First")
    run = await worker.given(talk.session)
    await worker.begin(run, text_start(), delta("One"))
    await talk.tab.wait_until(lambda: talk.answers)
    return run


@pytest.mark.parametrize("declared", [{}, {"while_busy": {AGENT: "queue"}}, {"while_busy": {"another": "reject"}}])
async def test_a_message_waits_unless_the_worker_has_declared_otherwise(process: Process, declared: Any) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim(**declared)
        run = await at_work(talk, worker)
        second = await talk.say("Second")
        await worker.publish(run, finish())
        await worker.begin(await worker.given(talk.session, 2), finish())
        assert (await talk.final(second))["kind"] == "message"
        assert [answer.status for answer in talk.answers] == ["complete", "complete"]


async def test_a_message_is_a_steer(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await declaring(worker, "steer")
        run = await at_work(talk, worker)
        second = await talk.say("Second")
        heard = await worker.heard("steer")
        assert heard["id"] == second
        await worker.publish(run, {"type": "steering-message", "id": second, "parts": heard["payload"]["parts"]})
        record = await talk.final(second)
        assert (record["kind"], record["status"]) == ("steer", "applied")
        await worker.publish(run, finish())


async def test_a_message_stops_the_agent_and_is_answered_next(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await declaring(worker, "interrupt")
        run = await at_work(talk, worker)
        await talk.say("Second")
        await worker.until(lambda frame: frame["type"] == "stop" and frame["run"] == run["run"])
        await worker.publish(run, {"type": "abort", "reason": "Stopped."})
        await worker.begin(await worker.given(talk.session, 2), text_start(), delta("Two"), finish())
        await talk.tab.wait_until(lambda: len(talk.answers) == 2 and talk.answers[1].status == "complete")
        assert [(answer.status, text_of(answer)) for answer in talk.answers] == [
            ("cancelled", "One"), ("complete", "Two"),
        ]  # fmt: skip


async def test_a_message_is_refused_also_while_the_worker_is_away(process: Process) -> None:
    async with Talk(process) as talk:
        async with RawWorker(process) as worker:
            await declaring(worker, "reject")
            await at_work(talk, worker)
        assert (await talk.send("message", parts=[{"type": "text", "text": "Second"}]))["error"]["code"] == "busy"


async def test_the_newest_worker_decides_and_an_older_one_that_reconnects_does_not(process: Process) -> None:
    async def policy() -> str:
        return (await RemoteAgent.objects.aget(pk=AGENT)).while_busy

    async with RawWorker(process) as old, RawWorker(process, name="worker-2") as new:
        await declaring(old, "steer")
        assert await policy() == "steer"
        await declaring(new, "steer")
        await declaring(old, "reject")
        assert await policy() == "steer"
        await new.claim()  # it says nothing
        assert await policy() == "queue"
        assert await declaring(new, "later") == "bad_frame"
        assert await new.claim(while_busy=[AGENT]) == "bad_frame"
        assert await new.claim(while_busy={AGENT: ["queue"]}) == "bad_frame"
