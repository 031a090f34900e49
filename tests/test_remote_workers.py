"""Remote workers: runs are claimed, begun, handed back and stopped, and people are told of agents that are absent."""

import asyncio
import threading
from typing import Any

import pytest
from django.core.checks import run_checks

from sessions_app import models
from sessions_app.process import Process
from sessions_app.runs import lifecycle
from sessions_app.workers import pages
from tests.support.harness import DEADLINE_S
from tests.support.person import text_of
from tests.support.remote_worker import AGENT, RawWorker, Talk, process
from tests.support.writer import delta, finish, text_start

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

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


async def test_a_signal_comes_after_its_run(process: Process, monkeypatch: Any) -> None:
    """What is sent before the worker has heard of the run: it would know nothing of it."""
    reading, go = threading.Event(), threading.Event()
    run_frame = pages.run_frame

    def slow(run: models.Run, traceparent: str) -> str:
        reading.set()
        assert go.wait(DEADLINE_S)
        return run_frame(run, traceparent)

    monkeypatch.setattr(pages, "run_frame", slow)
    async with Talk(process) as talk, RawWorker(process) as worker:
        await worker.claim()
        await talk.say("Hello")
        assert await asyncio.to_thread(reading.wait, DEADLINE_S)
        await talk.say("shorter", kind="steer")
        await asyncio.sleep(0.2)  # several polls of inboxes
        go.set()
        await worker.heard("steer")
        assert [frame["type"] for frame in worker.frames] == ["answer", "run", "inbox"]


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
