"""Interruptions from the admin: runs and approvals of an agent at work in another process."""

import asyncio

import pytest
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client

from agents_app.tool_call import EXPIRED
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.admin.runs import INTERRUPTED
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import input_hash
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.runs import admin_changes, lifecycle
from tests.support.agents import Conversation, endless, process
from tests.support.person import text_of
from tests.support.stored import a_session, unfolded
from tests.support.writer import Writer, a_run, begun, delta, finish, run_fields
from tests.test_approvals import MAIL, Sender, asked, part

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


async def administer(action: str, one: Model) -> None:
    """An administrator confirms an action, in a process that shares nothing with the agent's but the database."""

    def act() -> None:
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("olivia"))
        data = {"action": action, "_selected_action": [one.pk], "confirmed": "yes"}
        assert client.post(f"/admin/sessions_app/{one._meta.model_name}/", data).status_code == 302

    await threads.run(act)


async def test_a_run_at_work_is_interrupted_and_its_agent_stopped(process: Process) -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        try:
            await endless(began)(turn)
        finally:
            stopped.set()

    async with Conversation(process, agent) as talk:
        id = await talk.say("Go")
        await began.wait()
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        await administer("interrupt", await talk.run())
        answer = await talk.answered()
        assert (answer.status, answer.reason) == ("interrupted", INTERRUPTED)
        assert (await talk.final(id))["status"] == "applied"
        await stopped.wait()
        late = await talk.second_tab()
        assert text_of(late.sessions[talk.session].messages[answer.id]) == text_of(answer)
        # The session goes on.
        await talk.say("Once more")
        await talk.wait_until(lambda: len(talk.answers) == 2)
        await talk.final((await talk.send("cancel"))["id"])


async def test_a_sleeping_agent_is_stopped_too(process: Process) -> None:
    stopped = asyncio.Event()

    async def agent(turn: Turn) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with Conversation(process, agent) as talk:
        await talk.say("Go")
        await talk.wait_until(lambda: talk.answers)
        await administer("interrupt", await talk.run())
        await stopped.wait()
        assert (await talk.answered()).reason == INTERRUPTED


async def test_an_approval_of_an_interrupted_run_can_no_longer_be_decided(process: Process) -> None:
    sender = Sender(expires_s=None)
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        await administer("interrupt", await talk.run())
        await talk.answered()
        receipt = await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert receipt["error"]["code"] == "approval_expired"
        assert sender.sent == []


async def test_an_agent_waiting_for_a_decision_learns_that_it_expired(process: Process) -> None:
    sender = Sender(expires_s=None)
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        await administer("expire", await talk.stored(models.Approval))
        answer = await talk.answered()
        (decision,) = sender.decisions
        assert (decision.approved, decision.input, decision.reason, decision.actor) == (False, MAIL, EXPIRED, None)
        assert (answer.status, part(talk)["state"], sender.sent) == ("complete", "output-denied", [])
        receipt = await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert receipt["error"]["code"] == "approval_expired"


# A worker that doesn't look


def test_a_worker_that_writes_after_an_interruption_is_fenced() -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        run = a_run(session, "m_1")
        writer.append(session, "m_1", begun("m_1", "mine"), **run_fields(run))
        assert admin_changes.change_session(session.pk, lifecycle.interrupt, run.pk, INTERRUPTED) is True
        for chunk in (delta(" more"), finish()):
            with pytest.raises(HoldfastError) as refusal:
                writer.append(session, "m_1", [chunk], after=3, **run_fields(run))
            assert refusal.value.code == "fenced"
        message = models.Message.objects.get()
        assert (message.status, message.last_serial) == ("interrupted", 4)
        assert '"text":"mine"' in message.parts and not unfolded()
        # A second administrator was slower.
        assert admin_changes.change_session(session.pk, lifecycle.interrupt, run.pk, INTERRUPTED) is False
        assert models.Session.objects.get().tail == 4


def test_a_run_of_another_session_is_not_interrupted() -> None:
    session, other = a_session("guest:1"), a_session("guest:1")
    run = a_run(session, "m_1")
    assert admin_changes.change_session(other.pk, lifecycle.interrupt, run.pk, INTERRUPTED) is False
    with pytest.raises(HoldfastError) as refusal:
        admin_changes.change_session(models.new_id(), lifecycle.interrupt, run.pk, INTERRUPTED)
    assert refusal.value.code == "not_found"
    assert models.Run.objects.get().status == "running"
