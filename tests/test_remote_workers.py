"""Remote workers: runs are claimed, answered, steered, stopped and handed back over the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.core.checks import run_checks

from agents_app.local.runner import Runner
from sessions_app import models
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.runs import lifecycle
from tests.support.harness import DEADLINE_S
from tests.support.person import text_of
from tests.support.remote_worker import AGENT, RawWorker
from tests.support.stored import a_session
from tests.support.tab import Tab
from tests.support.writer import delta, finish, text_start

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "REMOTE_AGENTS": [AGENT]}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


class Talk:
    """A session whose agent is elsewhere, with a tab on it."""

    def __init__(self, process: Process) -> None:
        self.tab = Tab(process, OWNER)

    async def __aenter__(self) -> "Talk":
        self.session: str = (await threads.run(lambda: a_session(OWNER, agent=AGENT))).pk
        await self.tab.__aenter__()
        self.followed = await self.tab.attach(self.session)
        return self

    async def __aexit__(self, *problem: Any) -> None:
        await self.tab.__aexit__(*problem)

    async def say(self, text: str, *, kind: str = "message") -> str:
        return await self.tab.say(self.session, text, kind=kind)

    async def send(self, kind: str, **payload: Any) -> dict[str, Any]:
        id = await self.tab.signal(self.session, kind, payload)
        return self.tab.receipts[id]

    async def final(self, id: str) -> Any:
        return await self.tab.wait_status(self.session, id, "applied", "rejected", "expired")

    async def record(self, id: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait for a signal's record that fits; return it."""
        signals = self.followed.signals
        await self.tab.wait_until(lambda: id in signals and condition(signals[id]))
        return signals[id]

    @property
    def answers(self) -> list[Any]:
        return [message for message in self.followed.messages.values() if message.role == "assistant"]

    async def run(self) -> models.Run:
        run: models.Run = await threads.run(
            models.Run.objects.select_related("worker").filter(session=self.session).latest, "created_at"
        )
        return run


# Claims


async def test_a_message_is_given_to_a_worker_and_answered(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        assert await worker.claim() == {"runs": [], "lease_ms": 10_000}
        asked = await talk.say("Hello")
        run = await worker.given(talk.session)
        assert (run["agent"], run["mode"], run["older"]) == (AGENT, "answer", False)
        assert [part["text"] for part in run["messages"][-1]["parts"]] == ["Hello"]
        assert await worker.begin(run, text_start(), delta("Hi"))
        assert (await talk.final(asked))["status"] == "applied"
        await worker.publish(run, delta(" there"), finish())
        await talk.tab.wait_until(lambda: talk.answers and talk.answers[-1].status == "complete")
        assert text_of(talk.answers[-1]) == "Hi there"
        assert (await talk.run()).status == "ended"
        await talk.say("More")
        assert [message["role"] for message in (await worker.given(talk.session, 2))["messages"]] == [
            "user", "assistant", "user",
        ]  # fmt: skip


async def test_a_message_waits_until_a_worker_comes(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await talk.say("Hello")
        assert (await talk.run()).status == "waiting"  # no agent inside claims it
        await worker.claim()
        assert (await worker.given(talk.session))["session"] == talk.session


@pytest.mark.parametrize(
    ("token", "asked", "code"),
    [
        ({"agents": ("other",)}, (AGENT,), "forbidden_agent"),
        ({}, (AGENT, "other"), "forbidden_agent"),
        ({"agents": ("*",)}, ("inside",), "forbidden_agent"),  # the site runs it
    ],
)
async def test_a_claim_for_agents_of_others_is_refused(
    process: Process, token: Any, asked: tuple[str, ...], code: str
) -> None:
    async with RawWorker(process, **token) as worker:
        assert await worker.claim(agents=asked) == code


async def test_a_worker_is_given_only_sessions_of_its_token(process: Process) -> None:
    async with Talk(process) as one, Talk(process) as other:
        patterns = (f"{one.session[:8]}*", "A" * 22)
        async with RawWorker(process, sessions=patterns) as worker:
            await worker.claim()
            for talk in (other, one):
                await talk.say("Hello")
            run = await worker.given(one.session)
            assert (await other.run()).status == "waiting"
            assert await worker.ask("history", session=other.session, run=(await other.run()).pk) == "not_found"
            assert await worker.publish(run | {"session": other.session}, delta("x")) == "not_found"


async def test_a_worker_claims_no_more_than_it_has_places(process: Process) -> None:
    async with Talk(process) as one, Talk(process) as two, RawWorker(process) as worker:
        await worker.claim(most=1)
        await one.say("Hello")
        run = await worker.given(one.session)
        await two.say("Hello")
        assert (await two.run()).status == "waiting"
        await worker.begin(run, finish())
        assert await worker.given(two.session)


async def test_two_workers_share_what_waits_and_each_run_goes_to_one(process: Process) -> None:
    async with RawWorker(process) as one, RawWorker(process, name="worker-2") as two:
        for worker in (one, two):
            await worker.claim(most=6)  # of which one owner gets half
        sessions = []
        for number in range(6):
            talk = await Talk(process).__aenter__()
            await talk.say(f"Hello {number}")
            sessions.append(talk)
        async with asyncio.timeout(DEADLINE_S):
            while sum(frame["type"] == "run" for worker in (one, two) for frame in worker.frames) < 6:
                await asyncio.sleep(0.01)
        for talk in sessions:
            await talk.__aexit__(None, None, None)
        given = [{frame["run"] for frame in worker.frames if frame["type"] == "run"} for worker in (one, two)]
        assert [len(runs) for runs in given] == [3, 3] and not given[0] & given[1]


# Fences


async def test_a_later_epoch_fences_the_earlier_one(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as old, RawWorker(process, epoch=2) as new:
        await old.claim()
        await talk.say("Hello")
        run = await old.given(talk.session)
        await old.begin(run, text_start(), delta("Hel"))
        assert await new.claim() == {"runs": [], "lease_ms": 10_000}
        assert await old.publish(run, delta("lo")) == "fenced"
        assert await old.claim() == "fenced"
        assert await old.about(run, "begin", approval="approval_1") == "fenced"
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")
        assert await new.publish(run, finish(), sequence=2) == "fenced"
        await talk.say("Again")
        assert await new.given(talk.session)


async def test_a_second_connection_of_a_worker_takes_over(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as old:
        await old.claim()
        await talk.say("Hello")
        run = await old.given(talk.session)
        await old.begin(run, text_start(), delta("Hel"))
        async with RawWorker(process) as new:
            assert (await new.claim(runs=(run["run"],)))["runs"] == [run["run"]]
            await old.until(lambda frame: frame.get("code") == "fenced")
            new.sequences = old.sequences
            assert await new.publish(run, delta("lo"), finish())
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "complete")
        assert text_of(talk.answers[-1]) == "Hello"


async def test_runs_of_other_workers_are_fenced(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker, RawWorker(process, name="worker-2") as liar:
        await worker.claim()
        await liar.claim(most=0)
        await talk.say("Hello")
        run = await worker.given(talk.session)
        assert await liar.begin(run, delta("x")) == "fenced"
        assert await liar.about(run, "hand-back") == "fenced"
        assert await liar.about(run, "expire", approval="approval_1") == "fenced"
        assert await liar.about(run, "history") == "not_found"
        assert (await liar.claim(most=0, runs=(run["run"],)))["runs"] == []
        assert await liar.publish(run | {"message": "m_other"}, delta("x")) == "not_found"
        assert await worker.begin(run, finish())
        assert await worker.about(run, "history") == "not_found"  # it has ended


# Coming back


async def test_a_run_that_was_not_heard_of_is_given_again(process: Process) -> None:
    async with Talk(process) as talk:
        async with RawWorker(process) as worker:
            await worker.claim()
            await talk.say("Hello")
            run = await worker.given(talk.session)
        async with RawWorker(process) as worker:
            assert (await worker.claim())["runs"] == [run["run"]]
            assert (await worker.given(talk.session))["run"] == run["run"]
            assert await worker.begin(run, finish())


async def test_a_run_that_its_worker_has_forgotten_ends(process: Process) -> None:
    async with Talk(process) as talk:
        async with RawWorker(process) as worker:
            await worker.claim()
            await talk.say("Hello")
            await worker.begin(await worker.given(talk.session), text_start(), delta("Hel"))
        async with RawWorker(process) as worker:
            assert (await worker.claim())["runs"] == []
        await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")


async def test_what_people_send_while_a_worker_is_away_waits_for_it(process: Process) -> None:
    async with Talk(process) as talk:
        async with RawWorker(process) as worker:
            await worker.claim()
            await talk.say("Hello")
            run = await worker.given(talk.session)
            await worker.begin(run, text_start(), delta("Hel"))
            await talk.say("shorter", kind="steer")
            assert (await worker.heard("steer"))["payload"]["parts"][0]["text"] == "shorter"
        steer = await talk.say("and louder", kind="steer")
        async with RawWorker(process) as back:
            back.sequences = worker.sequences
            await back.claim(runs=(run["run"],))
            await back.until(lambda frame: frame["type"] == "inbox" and frame["signal"]["id"] == steer)
            told = [frame["signal"] for frame in back.frames if frame["type"] == "inbox"]
            assert [signal["payload"]["parts"][0]["text"] for signal in told] == ["shorter", "and louder"]
            for signal in told:
                await back.publish(
                    run, {"type": "steering-message", "id": signal["id"], "parts": signal["payload"]["parts"]}
                )
                assert (await talk.final(signal["id"]))["status"] == "applied"
            await back.publish(run, finish())


# Stops and hand-back


async def test_a_stop_reaches_the_worker_and_is_applied_when_its_answer_ends(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        await worker.begin(run, text_start(), delta("Hel"))
        cancel = (await talk.send("cancel"))["id"]
        assert (await worker.until(lambda frame: frame["type"] == "stop"))["reason"] == "cancelled"
        await worker.publish(run, {"type": "abort", "reason": "Stopped."})
        assert (await talk.final(cancel))["status"] == "applied"
        assert await worker.publish(run, delta("lo")) == "fenced"


async def test_a_worker_that_ignores_a_stop_is_cut_off(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr("sessions_app.runs.leases.STOP_S", 0.1)
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim(most=1)
        await talk.say("Hello")
        run = await worker.given(talk.session)
        await worker.begin(run, text_start(), delta("Hel"))
        cancel = (await talk.send("cancel"))["id"]
        assert (await talk.final(cancel))["status"] == "applied"
        assert await worker.publish(run, delta("lo")) == "fenced"
        await worker.until(lambda frame: frame["type"] == "stop" and frame["reason"] == "ended")
        await talk.say("Again")  # its place is free again
        assert await worker.given(talk.session, 2)


async def test_a_run_is_handed_back_unless_it_has_begun(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker, RawWorker(process, name="worker-2") as other:
        await worker.claim()
        await talk.say("Hello")
        run = await worker.given(talk.session)
        await worker.claim(most=0, runs=(run["run"],))
        for _ in range(2):  # a repeat is answered alike
            assert await worker.about(run, "hand-back") is True
        assert await worker.begin(run, delta("x")) == "fenced"
        await other.claim()
        assert await other.begin(await other.given(talk.session), text_start(), delta("Hi"))
        assert await other.about(run, "hand-back") is False
        assert await worker.about(run, "hand-back") == "fenced"


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
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        await worker.begin(run, *asks())
        await talk.send("approve", approval="approval_1", input_hash=(await approval_of(talk)).input_hash)
        await worker.publish(run, RESPONSE)
        assert await worker.about(run, "begin", approval="approval_1") == "begun"
        async with RawWorker(process, epoch=2) as successor:
            await successor.claim()
            await talk.tab.wait_until(lambda: talk.answers[-1].status == "interrupted")
        [part] = [part for part in talk.answers[-1].parts if "approval" in part]
        assert "not known" in part["errorText"]


async def test_a_begin_that_comes_after_a_stop_runs_nothing(process: Process) -> None:
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Pay")
        run = await worker.given(talk.session)
        await worker.begin(run, *asks())
        await talk.send("approve", approval="approval_1", input_hash=(await approval_of(talk)).input_hash)
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


# Absent agents


async def test_people_are_told_that_no_agent_is_there_until_one_comes(process: Process) -> None:
    async with Talk(process) as talk:
        asked = await talk.say("Hello")
        told = await talk.record(asked, lambda record: record["code"] == "no_agent")
        assert (told["status"], told["reason"]) == ("accepted", lifecycle.NOT_YET)
        async with RawWorker(process, name="worker-0") as full:
            await full.claim(most=0)
            cleared = await talk.record(asked, lambda record: record["code"] is None)
            assert (cleared["status"], cleared["reason"]) == ("accepted", None)
            async with RawWorker(process) as worker:
                await worker.claim()
                await worker.begin(await worker.given(talk.session), text_start(), delta("Hi"), finish())
        assert (await talk.final(asked))["status"] == "applied"


def test_a_check_and_the_admin_name_agents_without_a_worker(settings: Any, admin_client: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"REMOTE_AGENTS": ["here", "gone"]}
    models.Worker.objects.create(name="fleet worker-1", producer="fleet worker-1", agents='["here"]')
    models.Worker.objects.create(name="fleet worker-2", producer="fleet worker-2", agents='["gone"]', alive=False)
    found = [
        message.msg for message in run_checks(tags=["database"], databases=["default"]) if message.id == "holdfast.W036"
    ]
    assert len(found) == 1 and "'gone'" in found[0]
    page = admin_client.get("/admin/sessions_app/worker/").content.decode()
    assert "No worker runs gone" in page and ">here<" in page


def test_an_agent_that_runs_in_two_places_is_reported(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"REMOTE_AGENTS": ["demo", "far"]}
    assert [message.id for message in run_checks(tags=["holdfast"]) if message.id == "holdfast.W037"] == [
        "holdfast.W037"
    ]
