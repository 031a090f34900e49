"""Messages, stops and steers to an agent at work, each with its receipts."""

import asyncio
from typing import Any

import pytest

from agents_app.local.runner import STOPPED, STOPPED_BUSY
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.process import Process
from sessions_app.runs import leases, lifecycle
from tests.support.agents import Conversation, endless, parrot, process
from tests.support.person import text_of

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


# Messages


async def test_a_message_is_delivered_when_claimed_and_applied_when_its_answer_begins(process: Process) -> None:
    async with Conversation(process, parrot) as talk:
        id = await talk.say("Hello")
        record = await talk.final(id)
        answer = await talk.answered()
        assert (record["status"], record["message"], record["actor"]) == ("applied", answer.id, "guest:1")
        seen = [frame["events"] for frame in talk.tab.frames if frame["type"] == "events"]
        told = [event["signal"]["status"] for events in seen for event in events if "signal" in event]
        assert told == ["delivered", "applied"]
        run = await talk.run()
        assert (run.status, run.prompt, run.uid) == ("ended", id, answer.id)


async def test_serials_have_no_gap_with_signals_among_them(process: Process) -> None:
    async with Conversation(process, parrot) as talk:
        for number in range(3):
            await talk.say(f"{number}")
            await talk.answered(number + 1)
        await talk.wait_until(lambda: len([r for r in talk.signals.values() if r["status"] == "applied"]) == 3)
        assert talk.followed.serials == list(range(1, len(talk.followed.serials) + 1))
        assert not talk.followed.gaps


async def test_catching_up_on_signals_equals_live(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        early = await talk.second_tab()
        start = early.sessions[talk.session].cursor
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers and len(text_of(talk.answers[0])) > 10)
        await talk.say("more", kind="steer")
        await talk.final((await talk.send("cancel"))["id"])
        await talk.answered()
        late = await talk.second_tab()
        resumed = await talk.second_tab()
        await resumed.send({"type": "attach", "session": talk.session, "cursor": str(start)})
        for tab in (early, late, resumed):
            await tab.wait_until(lambda tab=tab: tab.sessions[talk.session].cursor == talk.followed.cursor)
            assert tab.sessions[talk.session].signals == talk.signals


# Stopping


async def test_a_stop_is_applied_when_the_agent_has_stopped_and_keeps_its_text(process: Process) -> None:
    stopped: list[str] = []

    async def agent(turn: Turn) -> None:
        try:
            await endless()(turn)
        finally:
            stopped.append("agent")

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers and len(text_of(talk.answers[0])) > 20)
        receipt = await talk.send("cancel")
        assert receipt["status"] == "accepted"
        record = await talk.final(receipt["id"])
        assert (record["status"], record["reason"], stopped) == ("applied", STOPPED, ["agent"])
        answer = await talk.answered()
        assert (answer.status, answer.reason) == ("cancelled", STOPPED)
        assert len(text_of(answer)) > 20
        assert record["message"] == answer.id


async def test_an_agent_that_ignores_a_stop_is_cut_off(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr("agents_app.local.runner.GRACE_S", 0.1)
    refused = asyncio.Event()

    async def stubborn(turn: Turn) -> None:
        while True:
            try:
                await turn.text("still here ")
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                pass
            except Exception:
                refused.set()
                raise

    async with Conversation(process, stubborn) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        record = await talk.final((await talk.send("cancel"))["id"])
        assert (record["status"], record["reason"]) == ("applied", STOPPED_BUSY)
        serial = talk.followed.cursor.serial
        await asyncio.wait_for(refused.wait(), 30)
        assert (await talk.answered()).status == "cancelled"
        assert talk.followed.cursor.serial == serial


async def test_a_run_that_ignores_a_stop_is_ended_by_another_process(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr(leases, "STOP_S", 0.2)
    async with Conversation(process, parrot) as talk:
        response = process.writers.unprompted(talk.session, agent="elsewhere")
        for chunk in ({"type": "start", "messageId": response.uid}, {"type": "text-start", "id": "t"}):
            await response.write(chunk)
        await response.flush()
        record = await talk.final((await talk.send("cancel", message=response.uid))["id"])
        assert (record["status"], record["reason"]) == ("applied", leases.STOPPED_LATE)
        await response.write({"type": "text-delta", "id": "t", "delta": "a zombie"})
        with pytest.raises(Exception, match="fenced"):
            await response.flush()
        assert text_of(await talk.answered()) == ""


async def test_a_waiting_run_is_stopped_before_it_begins(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        await talk.say("First")
        await talk.wait_until(lambda: talk.answers)
        waiting = await talk.say("Second")
        receipt = await talk.send("cancel")
        await talk.answered(2)
        assert [answer.status for answer in talk.answers] == ["cancelled", "cancelled"]
        assert (await talk.final(receipt["id"]))["status"] == "applied"
        record = await talk.final(waiting)
        assert (record["status"], record["code"], record["reason"]) == ("rejected", *lifecycle.UNBEGUN["cancelled"])


async def test_a_stop_of_several_runs_is_applied_when_all_have_ended(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        response = process.writers.unprompted(talk.session, agent="elsewhere")  # so the others are not claimed here
        await response.write({"type": "start", "messageId": response.uid})
        await response.flush()
        for text in ("First", "Second"):
            await talk.say(text)
        runs_ = await threads.run(lambda: [run.uid for run in lifecycle.at_work(talk.session)])
        await response.close({"type": "finish"})
        receipt = await talk.send("cancel")
        record = await talk.final(receipt["id"])
        assert record["status"] == "applied"
        stored = await threads.run(models.Signal.objects.get, session=talk.session, uid=receipt["id"])
        for uid in runs_:
            message = await threads.run(queries.message, talk.session, uid)
            assert message and message.last_serial < stored.last_serial


async def test_one_of_several_answers_can_be_stopped(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        await talk.say("First")
        await talk.wait_until(lambda: talk.answers)
        second = await talk.say("Second")
        run = await threads.run(models.Run.objects.get, cause__uid=second)
        await talk.final((await talk.send("cancel", message=run.uid))["id"])
        await talk.wait_until(lambda: any(answer.status == "cancelled" for answer in talk.answers))
        assert {answer.id: answer.status for answer in talk.answers}[run.uid] == "cancelled"
        assert [answer.status for answer in talk.answers if answer.id != run.uid] == ["streaming"]


async def test_a_stop_without_a_run_is_refused(process: Process) -> None:
    async with Conversation(process, parrot) as talk:
        assert (await talk.send("cancel"))["error"]["code"] == "nothing_to_stop"
        await talk.say("Hello")
        answer = await talk.answered()
        assert (await talk.send("cancel", message=answer.id))["error"]["code"] == "nothing_to_stop"
        assert answer.status == "complete"


async def test_two_tabs_that_stop_a_run_both_get_receipts(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        other = await talk.second_tab()
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers)
        first, second = await asyncio.gather(
            talk.tab.signal(talk.session, "cancel", {}), other.signal(talk.session, "cancel", {})
        )
        await talk.answered()
        for id in (first, second):
            if talk.tab.receipts.get(id, other.receipts.get(id, {}))["status"] == "accepted":
                assert (await talk.final(id))["status"] in ("applied", "rejected")


# Steering


async def test_a_steer_is_applied_at_the_next_step_and_joins_the_answer(process: Process) -> None:
    async with Conversation(process, endless()) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers)
        id = await talk.say("shorter", kind="steer")
        record = await talk.final(id)
        assert (record["status"], record["message"]) == ("applied", talk.answers[0].id)
        assert record["payload"] == {"parts": [{"type": "text", "text": "shorter"}]}
        await talk.wait_until(lambda: "[shorter]" in text_of(talk.answers[0]))
        parts = [part for part in talk.answers[0].parts if part["type"] == "steering-message"]
        assert [part["id"] for part in parts] == [id]


async def test_a_late_steer_becomes_the_next_question(process: Process) -> None:
    go = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text(f"about {turn.prompt}")
        if turn.prompt == "this":
            await go.wait()

    async with Conversation(process, agent) as talk:
        await talk.say("this")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        payload = {"parts": [{"type": "text", "text": "that"}], "metadata": {"reply_to": "m_1"}}
        id = await talk.tab.signal(talk.session, "steer", payload)
        go.set()
        await talk.answered(2)
        record = await talk.final(id)
        assert (record["status"], record["reason"]) == ("applied", lifecycle.UNREAD_NEXT)
        assert [text_of(message) for message in talk.messages] == ["this", "about this", "that", "about that"]
        assert record["message"] == talk.answers[1].id
        assert record["payload"]["metadata"] == talk.messages[2].metadata == {"reply_to": "m_1"}


async def test_a_steer_that_becomes_a_question_says_so_while_it_waits(process: Process) -> None:
    go = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("working")
        if turn.prompt == "this":
            await go.wait()
        else:
            await asyncio.sleep(60)

    async with Conversation(process, agent) as talk:
        await talk.say("this")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        await talk.say("another question")
        id = await talk.say("that", kind="steer")
        await talk.tab.wait_status(talk.session, id, "delivered")
        go.set()
        await talk.wait_until(lambda: talk.signals[id]["reason"] == lifecycle.UNREAD_NEXT)
        assert talk.signals[id]["status"] in ("accepted", "delivered")
        late = await talk.second_tab()
        assert late.sessions[talk.session].signals[id] == talk.signals[id]


async def test_a_steer_without_a_run_is_a_question(process: Process) -> None:
    async with Conversation(process, parrot) as talk:
        id = await talk.say("Hello", kind="steer")
        assert text_of(await talk.answered()) == "Hello"
        assert (await talk.final(id))["status"] == "applied"
        assert talk.messages[0].id == id


async def test_an_unread_steer_begins_no_run_after_a_stop(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("working")
        await asyncio.sleep(60)

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        steer = await talk.say("faster", kind="steer")
        await talk.final((await talk.send("cancel"))["id"])
        record = await talk.final(steer)
        assert (record["status"], record["reason"]) == ("rejected", lifecycle.UNREAD_STOPPED)
        assert [text_of(message) for message in talk.messages] == ["Go", "working", "faster"]
        assert (await talk.run()).prompt != steer
