"""Remote workers: approvals, calls and clients' results, and the history of a run."""

import time
from typing import Any

import pytest

from sessions_app import models
from sessions_app.database import threads
from sessions_app.process import Process
from tests.support.remote_worker import OWNER, RawWorker, Talk, process
from tests.support.writer import delta, finish, text_start

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

# Approvals


def asks(**descriptor: Any) -> list[dict[str, Any]]:
    text = '{"amount": 1.10}'
    call = {"toolCallId": "c1", "toolName": "pay"}
    return [
        {"type": "tool-input-start", **call},
        {"type": "tool-input-available", **call, "input": {"amount": 1.1}},
        {
            "type": "tool-approval-request",
            "toolCallId": "c1",
            "approvalId": "approval_1",
            "approvalDescriptor": {"input_text": text, "expires_ms": 60_000, "editable": True} | descriptor,
        },
    ]


RESPONSE = {"type": "tool-approval-response", "approvalId": "approval_1", "approved": True}
OUTPUT = {"type": "tool-output-available", "toolCallId": "c1", "output": "paid"}


async def with_an_approved_call(talk: Talk, worker: RawWorker) -> Any:
    """Return a run that the worker has begun, and whose call people have approved."""
    await worker.claim()
    await talk.say("Pay")
    run = await worker.given(talk.session)
    await worker.begin(run, *asks())
    await talk.send("approve", approval="approval_1", input_hash=(await approval_of(talk)).input_hash)
    return run


async def approval_of(talk: Talk) -> models.Approval:
    return await threads.run(models.Approval.objects.get, session=talk.session)


async def test_an_approved_call_begins_once(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        await worker.begin(run, *asks())
        approval = await approval_of(talk)
        assert (approval.tool, approval.input, approval.editable) == ("pay", '{"amount": 1.10}', True)
        assert await worker.about(run, "begin", approval="approval_1") == "refused"
        assert await worker.publish(run, RESPONSE) == "bad_chunk"  # nobody has approved it
        await talk.tab.wait_until(lambda: talk.answers)
        descriptor = next(part for part in talk.answers[-1].parts if "approval" in part)["approval"]["descriptor"]
        assert descriptor["input_hash"] == approval.input_hash and descriptor["expires_at"] > 1.7e12
        receipt = await talk.send("approve", approval="approval_1", input_hash=approval.input_hash)
        assert (await worker.heard("approve"))["target"] == "approval_1"
        await worker.publish(run, RESPONSE | {"providerMetadata": {"holdfast": {"decided_by": "user:1"}}})
        assert (await talk.final(receipt["id"]))["status"] == "applied"
        await talk.tab.wait_until(lambda: talk.answers[-1].parts[-1]["state"] == "approval-responded")
        decided = talk.answers[-1].parts[-1]["callProviderMetadata"]["holdfast"]
        assert (decided["decided_by"], decided["edited"]) == (OWNER, False)
        first = {"id": "attempt-1", "approval": "approval_1"}
        assert [await worker.about(run, "begin", **first) for _ in range(2)] == ["begun", "begun"]
        assert await worker.about(run, "begin", approval="approval_1") == "refused"
        await worker.publish(run, OUTPUT, finish(), usage={"input_tokens": 7, "output_tokens": 2})
        assert (await approval_of(talk)).execution == "done"
        assert ((await talk.run()).input_tokens, (await talk.run()).output_tokens) == (7, 2)


async def test_usage_of_a_repeated_batch_counts_once(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        for _ in range(3):
            await worker.publish(
                run, {"type": "start", "messageId": run["message"]}, sequence=1, usage={"input_tokens": 5}
            )
        assert (await talk.run()).input_tokens == 5


async def test_a_call_that_has_begun_when_its_worker_dies_has_an_unknown_outcome(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        run = await with_an_approved_call(talk, worker)
        await worker.publish(run, RESPONSE)
        assert await worker.about(run, "begin", approval="approval_1") == "begun"
        async with RawWorker(process, epoch=2) as successor:
            await successor.claim()
            await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")
        [part] = [part for part in talk.answers[-1].parts if "approval" in part]
        assert "not known" in part["errorText"]


async def test_a_begin_that_comes_after_a_stop_runs_nothing(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        run = await with_an_approved_call(talk, worker)
        await talk.send("cancel")
        assert await worker.about(run, "begin", approval="approval_1") == "stop"


@pytest.mark.parametrize("decided", [True, False])
async def test_the_time_to_decide_ends_unless_it_is_decided(process: Process, decided: bool) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        await worker.begin(run, *asks())
        if decided:
            await talk.send("deny", approval="approval_1")
        assert await worker.about(run, "expire", approval="approval_1") is not decided
        assert await worker.about(run, "expire", approval="approval_2") == "no_such_approval"
        await worker.publish(run, RESPONSE | {"approved": False})
        await talk.tab.wait_until(lambda: talk.answers[-1].parts[-1]["state"] != "approval-requested")


@pytest.mark.parametrize(
    "wrong",
    [{"input_text": "[1]"}, {"input_text": "{"}, {"input_text": None}, {"expires_ms": -1}, {"expires_ms": 1.5},
     {"expires_ms": True}, {"editable": "yes"}],
)  # fmt: skip
async def test_a_malformed_approval_request_is_refused_whole(process: Process, wrong: dict[str, Any]) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        assert await worker.begin(run, *asks(**wrong)) == "bad_chunk"
        assert not await threads.run(models.Approval.objects.exists)
        assert await worker.begin(run, *asks())
        again = asks()[2] | {"toolCallId": "c2"}
        assert await worker.publish(run, again) == "bad_chunk"  # its id is taken


async def test_a_clients_tool_result_reaches_the_worker(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Where am I?")
        run = await worker.given(talk.session)
        await worker.begin(run, *asks()[:2])
        receipt = await talk.send("tool-result", message=run["message"], call="c1", output={"city": "Rome"})
        assert (await worker.heard("tool-result"))["payload"]["output"] == {"city": "Rome"}
        await worker.publish(run, OUTPUT)
        assert (await talk.final(receipt["id"]))["status"] == "applied"


async def test_no_clock_of_a_worker_counts(process: Process) -> None:
    hour = 3_600_000
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        now = round(time.time() * 1000)
        await worker.begin(run, *asks(expires_at=now - hour, expires_ms=60_000))
        await talk.tab.wait_until(lambda: talk.answers)
        [shown] = [part["approval"]["descriptor"] for part in talk.answers[-1].parts if "approval" in part]
        assert now <= shown["expires_at"] <= now + 120_000
        receipt = await talk.send("approve", approval="approval_1", input_hash=shown["input_hash"])
        assert receipt["status"] == "accepted"
        await worker.publish(run, RESPONSE | {"providerMetadata": {"holdfast": {"decided_at": now + hour}}})
        await talk.tab.wait_until(lambda: talk.answers[-1].parts[-1]["state"] == "approval-responded")
        decided = talk.answers[-1].parts[-1]["callProviderMetadata"]["holdfast"]
        assert now <= decided["decided_at"] <= now + 120_000


# History


async def test_history_comes_in_pages(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        for number in range(4):
            await talk.say(f"Question {number}")
            run = await worker.given(talk.session, number + 1)
            if number < 3:
                await worker.begin(run, text_start(), delta(f"Answer {number}"), finish())
        pages, before = [], {}
        while True:
            page = await worker.about(run, "history", limit=3, **before)
            pages.insert(0, [message["parts"][-1]["text"] for message in page["messages"]])
            if not page["older"]:
                break
            before = {"before": page["messages"][0]["id"]}
        assert [len(page) for page in pages] == [1, 3, 3]
        said = [text for page in pages for text in page]
        assert said == [text for n in range(3) for text in (f"Question {n}", f"Answer {n}")] + ["Question 3"]


async def test_a_history_larger_than_a_frame_is_cut(process: Process, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"SNAPSHOT_BYTES": 4096}
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        for number in range(3):
            await talk.say(f"{number}" * 2000)
            run = await worker.given(talk.session, number + 1)
            if number < 2:
                await worker.begin(run, finish())
        assert run["older"] and len(run["messages"]) < 5
