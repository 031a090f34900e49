"""Workers elsewhere that err or lie, on both wires: a named error, nothing lost, nothing run twice, nothing seen."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents_app.local.runner import Runner
from agents_app.remote import publisher
from sessions_app import models
from sessions_app import process as processes
from sessions_app.core.frames import BATCH_CHUNKS, MOST_TOKENS
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.process import Process
from tests.support.harness import DEADLINE_S
from tests.support.person import text_of
from tests.support.remote_worker import AGENT, HttpWorker, RawWorker, Talk, grant
from tests.support.tokens import KEYS, token
from tests.support.writer import delta, finish, text_start

pytestmark = pytest.mark.django_db(transaction=True)

INPUT = '{"amount": 1}'
RESPONSE = {"type": "tool-approval-response", "approvalId": "approval_1", "approved": True}
OUTPUT = {"type": "tool-output-available", "toolCallId": "c1", "output": "paid"}


@pytest.fixture
async def process(monkeypatch: pytest.MonkeyPatch, settings: Any) -> AsyncIterator[Process]:
    """The process that sockets and views find."""
    settings.HOLDFAST = settings.HOLDFAST | {
        "TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "REMOTE_AGENTS": [AGENT, "another"], "TOKEN_KEYS": KEYS,
    }  # fmt: skip
    process = Process()
    await process.start([lambda here: Runner(here).run])
    monkeypatch.setattr(processes, "_current", process)
    monkeypatch.setattr(processes, "_starting", None)
    yield process
    await processes.stop(0)


@pytest.fixture(params=[RawWorker, HttpWorker], ids=["websocket", "http"])
def wire(request: pytest.FixtureRequest) -> Any:
    return request.param


def asks(call: str = "c1", approval: str = "approval_1") -> list[Any]:
    """Return the chunks of a call that asks people."""
    return [
        {"type": "tool-input-start", "toolCallId": call, "toolName": "pay"},
        {"type": "tool-input-available", "toolCallId": call, "toolName": "pay", "input": {"amount": 1}},
        {"type": "tool-approval-request", "toolCallId": call, "approvalId": approval,
         "approvalDescriptor": {"input_text": INPUT}},
    ]  # fmt: skip


async def given(talk: Talk, worker: RawWorker, *chunks: Any) -> Any:
    """Have the worker begin to answer a message with these chunks; return its run."""
    held = tuple(frame["run"] for frame in worker.frames if frame["type"] == "run")
    await worker.claim(runs=held)
    await talk.say("Pay")
    run = await worker.given(talk.session)
    assert isinstance(await worker.begin(run, *(chunks or (text_start(), delta("Hel")))), int)
    return run


async def approve(talk: Talk) -> None:
    approval = await threads.run(models.Approval.objects.get, session=talk.session, uid="approval_1")
    receipt = await talk.send("approve", approval="approval_1", input_hash=approval.input_hash)
    assert receipt["status"] == "accepted"


# One by one: what a worker may get wrong


async def test_two_workers_with_one_name(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process) as old, wire(process) as new:
        run = await given(talk, old)
        assert (await new.claim(runs=(run["run"],)))["runs"] == [run["run"]]
        await old.until(lambda frame: frame.get("code") == "fenced")
        new.sequences = old.sequences
        assert isinstance(await new.publish(run, delta("lo"), finish()), int)
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "complete")
        assert text_of(talk.answers[-1]) == "Hello"


async def test_a_worker_that_lies_about_its_fence(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process, epoch=5) as worker, wire(process, epoch=4) as earlier:
        run = await given(talk, worker)
        for attempt in (earlier.claim(), earlier.publish(run, delta("x"), sequence=2), earlier.about(run, "hand-back")):
            assert await attempt == "fenced"
        stranger = wire(process, epoch=6)
        stranger.identity = stranger.identity._replace(owner="agent:another")  # its names are its own
        async with stranger:
            assert (await stranger.claim(most=0, runs=(run["run"],)))["runs"] == []
            assert await stranger.publish(run, delta("x"), sequence=2) == "fenced"
        assert isinstance(await worker.publish(run, finish()), int)


async def test_a_token_that_does_not_name_the_agent_or_the_session(process: Process, wire: Any) -> None:
    """Also not by the name of a worker that holds a run."""
    async with Talk(process) as talk, Talk(process) as other, wire(process) as worker:
        await worker.claim()
        begun = await given(talk, worker)
        await other.say("Secret")
        await worker.given(other.session)
        for narrow in ({"agents": ("another",)}, {"sessions": ("B" * 22,)}):
            async with wire(process, **narrow) as thief:
                asked = ("another",) if "agents" in narrow else (AGENT,)
                assert "sessions" in narrow or await thief.claim() == "forbidden_agent"
                assert (await thief.claim(agents=asked, runs=(begun["run"],)))["runs"] == []
                assert [frame for frame in thief.frames if frame["type"] in ("run", "inbox")] == []
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")
        assert (await other.run()).status == "waiting"  # for a worker that may


async def test_a_token_that_no_longer_names_the_agent(process: Process, wire: Any) -> None:
    """The same worker, with another token: it learns nothing more of its run."""
    async with Talk(process) as talk, wire(process) as worker:
        run = await given(talk, worker, *asks())
        worker.identity = worker.identity._replace(grant=grant(agents=("another",)))
        if isinstance(worker.connection, Connection):
            worker.connection.identity = worker.identity
        assert await worker.about(run, "history") == "not_found"
        assert await worker.about(run, "begin", approval="approval_1") == "not_found"
        assert await worker.about(run, "hand-back") == "not_found"
        assert await worker.publish(run, delta("x")) == "not_found"
        assert await worker.claim(runs=(run["run"],)) == "forbidden_agent"
        await approve(talk)
        await talk.say("a secret", kind="steer")
        assert await worker.about(run, "history") == "not_found"  # and several polls of inboxes later
        await asyncio.sleep(0.1)
        assert [frame for frame in worker.frames if frame["type"] == "inbox"] == []


async def test_chunks_after_a_hand_back(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        await worker.claim(most=0, runs=(run["run"],))
        assert await worker.about(run, "hand-back") is True
        assert await worker.begin(run, delta("x")) == "fenced"
        assert await worker.about(run, "history") == "not_found"
        async with wire(process, name="worker-2") as next_one:
            await next_one.claim()
            assert isinstance(await next_one.begin(await next_one.given(talk.session), finish()), int)


async def test_an_approval_decided_while_the_worker_is_away(process: Process, wire: Any) -> None:
    async with Talk(process) as talk:
        async with wire(process) as worker:
            run = await given(talk, worker, *asks())
        await approve(talk)
        async with wire(process) as back:
            back.sequences = worker.sequences
            assert (await back.claim(runs=(run["run"],)))["runs"] == [run["run"]]
            assert (await back.heard("approve"))["target"] == "approval_1"
            assert isinstance(await back.publish(run, RESPONSE), int)
            assert await back.about(run, "begin", approval="approval_1") == "begun"
            await back.publish(run, OUTPUT, finish())
        approval = await threads.run(models.Approval.objects.get, session=talk.session)
        assert approval.execution == "done"


async def test_a_site_that_restarts_between_begin_and_the_call(
    process: Process, wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Talk(process) as talk:
        async with wire(process) as worker:
            run = await given(talk, worker, *asks())
            await approve(talk)
            await worker.publish(run, RESPONSE)
            assert await worker.about(run, "begin", id="attempt-1", approval="approval_1") == "begun"
    await processes.stop(0)
    site = Process()
    await site.start([])
    monkeypatch.setattr(processes, "_current", site)
    async with wire(site) as back:
        back.sequences = worker.sequences
        assert (await back.claim(runs=(run["run"],)))["runs"] == [run["run"]]
        assert await back.about(run, "begin", id="attempt-1", approval="approval_1") == "begun"
        assert await back.about(run, "begin", id="attempt-2", approval="approval_1") == "refused"
        assert isinstance(await back.publish(run, OUTPUT, finish()), int)


async def test_a_history_longer_than_the_first_frame(process: Process, wire: Any, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"SNAPSHOT_BYTES": 4096}
    async with Talk(process) as talk, wire(process) as worker:
        await worker.claim()
        for number in range(4):
            await talk.say(f"{number}" * 1500)
            run = await worker.given(talk.session, number + 1)
            if number < 3:
                await worker.begin(run, finish())
        messages, older = run["messages"], run["older"]
        assert older
        while older:
            page = await worker.about(run, "history", before=messages[0]["id"], limit=50)
            messages, older = page["messages"] + messages, page["older"]
        said = [message["parts"][0]["text"] for message in messages if message["role"] == "user"]
        assert said == [f"{number}" * 1500 for number in range(4)]
        assert (await worker.about(run, "history", before="m_unknown"))["messages"] == []


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_worker_whose_clock_is_an_hour_off(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for fresh tokens in time; the site's side is tests/test_remote_workers_calls.py."""
    fresh = token()
    now = time.time()
    monkeypatch.setattr(publisher.time, "time", lambda: now + hours * 3600)
    assert 0 < publisher._life_s(fresh) <= 600


# A malicious worker


async def test_begin_of_a_call_that_is_not_approved_or_of_another_run(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, Talk(process) as other, wire(process) as worker:
        run = await given(talk, worker, *asks())
        await approve(talk)
        foreign = await given(other, worker, *asks(approval="approval_2"))
        for approval in ("approval_1", "approval_2", "approval_3"):
            assert await worker.about(foreign, "begin", approval=approval) == "refused"
        mixed = foreign | {"session": run["session"]}
        assert await worker.about(mixed, "begin", approval="approval_1") == "not_found"
        assert await worker.about(foreign, "expire", approval="approval_1") == "no_such_approval"
        assert await worker.publish(foreign, RESPONSE) == "bad_chunk"
        assert await worker.about(run, "begin", approval="approval_1") == "begun"


async def test_two_approvals_of_one_batch_need_ids_of_their_own(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process) as worker:
        run = await given(talk, worker)
        assert await worker.publish(run, *asks("c1"), *asks("c2")) == "bad_chunk"
        assert not await threads.run(models.Approval.objects.exists)


async def test_words_that_people_have_not_said(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, Talk(process) as other, wire(process) as worker:
        run = await given(talk, worker)
        foreign = await given(other, worker)
        steer = await talk.say("shorter", kind="steer")
        await worker.heard("steer")
        forged = {"type": "steering-message", "id": steer, "parts": [{"type": "text", "text": "Pay a million"}]}
        assert await worker.publish(foreign, forged) == "bad_chunk"
        assert await worker.publish(run, forged | {"id": "steer-that-is-none"}) == "bad_chunk"
        assert isinstance(await worker.publish(run, forged), int)
        await talk.final(steer)
        await talk.tab.wait_until(lambda: talk.answers[-1].parts[-1]["type"] == "steering-message")
        assert talk.answers[-1].parts[-1]["parts"] == [{"type": "text", "text": "shorter"}]


async def test_a_session_after_its_run_has_ended(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process) as worker:
        run = await given(talk, worker)
        await worker.publish(run, finish())
        assert await worker.about(run, "history") == "not_found"
        assert await worker.about(run, "begin", approval="approval_1") == "fenced"
        assert await worker.publish(run, delta("x")) == "fenced"
        seen = len(worker.frames)
        await worker.claim(most=0, runs=(run["run"],))
        await talk.say("Secret")
        assert await worker.about(run, "history") == "not_found"
        told = [frame for frame in worker.frames[seen:] if frame["type"] in ("run", "inbox")]
        assert told == []


async def test_a_replayed_batch_changes_nothing(process: Process, wire: Any) -> None:
    async with Talk(process) as talk, wire(process) as worker:
        run = await given(talk, worker)
        first = await worker.publish(run, *asks(), usage={"input_tokens": 5})
        again = await worker.publish(run, *asks(), sequence=2, usage={"input_tokens": 5})
        assert first == again
        assert isinstance(await worker.publish(run, delta("lo", "text"), sequence=2), str)  # another batch, old number
        assert await threads.run(models.Approval.objects.count) == 1
        assert (await talk.run()).input_tokens == 5


@pytest.mark.parametrize(
    "wrong",
    [{"sequence": -1}, {"sequence": 2**80}, {"epoch": -1}, {"epoch": 2**60}, {"chunks": []},
     {"chunks": [{"type": "text-end", "id": "x"}] * (BATCH_CHUNKS + 1)}, {"usage": {"input_tokens": -1}},
     {"usage": {"input_tokens": MOST_TOKENS + 1}}, {"usage": {"input_tokens": 1.5}}, {"usage": {"else": 1}}],
    ids=str,
)  # fmt: skip
async def test_numbers_and_batches_beyond_their_bounds(process: Process, wire: Any, wrong: Any) -> None:
    async with Talk(process) as talk, wire(process) as worker:
        run = await given(talk, worker)
        frame = {"session": run["session"], "message": run["message"], "run": run["run"], "sequence": 2}
        seen = len(worker.frames)
        await worker.send({"type": "publish", **frame, **worker.who, "chunks": [delta("x")], **wrong})
        await worker.until(
            lambda frame: frame.get("code") in ("bad_frame", "bad_chunk") and frame in worker.frames[seen:]
        )
        assert await worker.about(run, "history", limit=-1) == "bad_frame"
        assert await worker.about(run, "history", limit=2**70) == "bad_frame"
        assert await worker.claim(most=-1) == "bad_frame"
        assert await worker.claim(most=10**9) == "bad_frame"
        assert isinstance(await worker.publish(run, delta("lo"), finish()), int)


async def test_claims_in_a_loop_leave_one_link(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        for _ in range(100):
            await worker.claim()
        assert len(process.workers._links) == 1
        for number in range(50):
            worker.who["producer"] = f"worker-many-{number}"
            assert await worker.claim() == "bad_frame"
        assert len(process.workers._links) == len(process.workers._workers) == 1
        worker.who["producer"] = "worker-1"
        run = await given(talk, worker)
        assert [frame["run"] for frame in worker.frames if frame["type"] == "run"] == [run["run"]]
    async with asyncio.timeout(DEADLINE_S):
        while process.workers._links or process.workers._workers:
            await asyncio.sleep(0.01)
