"""Approvals: the first decision counts, for exact arguments; an approved call runs once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import OperationalError, transaction

from agents_app.local.runner import Runner
from agents_app.tool_call import EXPIRED, TOOL_FAILED, Decision, ToolFailed
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.auth.identity import Identity
from sessions_app.core.signals import input_hash
from sessions_app.core.tokens import SCOPES, Grant
from sessions_app.core.tools import UNKNOWN_OUTCOME, UNTOLD
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.runs import calls
from tests.support.agents import Conversation
from tests.support.person import Frame, text_of
from tests.support.stored import a_session
from tests.support.writer import a_run

pytestmark = pytest.mark.django_db(transaction=True)

MAIL = {"to": "ann@example.com", "text": "Hello"}


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "LEASE_MS": 900}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    if not process.stopping:
        await process.stop()


class Sender:
    """An agent that asks before it sends a mail. `sent`: the mails sent; `decisions`: the decisions received."""

    def __init__(self, **asking: Any) -> None:
        self.asking = asking
        self.sent: list[Any] = []
        self.decisions: list[Decision] = []

    async def __call__(self, turn: Turn) -> None:
        call = await turn.tool("send_mail", MAIL)
        decision = await call.approval("It goes outside.", **self.asking)
        self.decisions.append(decision)
        if decision.approved:
            await call.execute(self.send)
        await turn.text("done")

    async def send(self, arguments: Any) -> str:
        self.sent.append(arguments)
        return "sent"


def part(talk: Conversation) -> Frame:
    """Return the tool call of the first answer."""
    return [part for part in talk.answers[0].parts if part["type"] == "tool-send_mail"][-1]


async def asked(talk: Conversation) -> str:
    """Have the agent ask; return the approval's id."""
    await talk.say("Send it")
    await talk.wait_until(lambda: talk.answers and any(p.get("approval") for p in talk.answers[0].parts))
    id: str = part(talk)["approval"]["id"]
    return id


async def test_an_approved_call_runs_once_with_the_arguments_shown(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        assert part(talk)["input"] == MAIL
        assert part(talk)["approval"]["requestReason"] == "It goes outside."
        descriptor = part(talk)["approval"]["descriptor"]
        assert descriptor["input_hash"] == input_hash(MAIL) and not descriptor["editable"]
        receipt = await talk.send("approve", approval=approval, input_hash=descriptor["input_hash"])
        await talk.answered()
        assert (await talk.final(receipt["id"]))["status"] == "applied"
        assert sender.sent == [MAIL]
        assert (part(talk)["state"], part(talk)["output"]) == ("output-available", "sent")
        decided = part(talk)["callProviderMetadata"]["holdfast"]
        assert (decided["decided_by"], decided["edited"]) == ("guest:1", False)
        stored = await talk.stored(models.Approval)
        assert (stored.status, stored.execution) == ("approved", "done")


async def test_a_denied_call_does_not_run(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        receipt = await talk.send("deny", approval=approval, reason="Not to her")
        await talk.answered()
        assert (await talk.final(receipt["id"]))["payload"] == {
            "approval": approval,
            "reason": "Not to her",
            "edited": False,
        }
        assert sender.sent == []
        assert sender.decisions == [Decision(False, MAIL, "Not to her", "guest:1")]
        assert part(talk)["state"] == "output-denied"
        assert part(talk)["approval"]["approved"] is False


async def test_a_decision_by_a_token_names_its_issuer(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        grant = Grant("t-1", 0, 2**40, frozenset(SCOPES), ("*",), "user:7")
        talk.tab.connection.act_as(Identity(talk.tab.owner, grant=grant))
        receipt = await talk.send("deny", approval=approval)
        await talk.answered()
        assert (await talk.final(receipt["id"]))["issued_by"] == "user:7"
        assert sender.decisions == [Decision(False, MAIL, "", "guest:1", "user:7")]
        decided = part(talk)["callProviderMetadata"]["holdfast"]
        assert (decided["decided_by"], decided["issued_by"]) == ("guest:1", "user:7")
        stored = await threads.run(lambda: models.Approval.objects.select_related("decision").get())
        assert stored.decision and stored.decision.issued_by == "user:7"
        asking = await threads.run(lambda: models.Signal.objects.get(kind="message"))
        assert asking.issued_by is None  # it was sent with cookies


async def test_the_first_of_two_tabs_decides_and_the_other_is_notified(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        other = await talk.second_tab()
        approval = await asked(talk)
        payloads = {"approval": approval, "input_hash": input_hash(MAIL)}
        ids = await asyncio.gather(
            talk.tab.signal(talk.session, "approve", payloads), other.signal(talk.session, "deny", payloads)
        )
        await talk.answered()
        receipts = [talk.tab.receipts.get(id) or other.receipts[id] for id in ids]
        assert sorted(receipt["status"] for receipt in receipts) == ["accepted", "rejected"]
        (loser,) = [receipt for receipt in receipts if receipt["status"] == "rejected"]
        assert loser["error"]["code"] == "already_decided"
        assert loser["error"]["message"].startswith("This was already decided: you ")
        assert len(sender.sent) == (1 if receipts[0]["status"] == "accepted" else 0)
        # All tabs see it, and the same signal is answered as the first time when it is repeated.
        record = await talk.final(loser["id"])
        assert (record["status"], record["code"]) == ("rejected", "already_decided")
        again = other if loser["id"] in other.receipts else talk.tab
        await again.signal(talk.session, record["kind"], payloads, id=loser["id"])
        assert again.receipts[loser["id"]]["error"] == loser["error"]


async def test_an_approval_of_other_arguments_is_rejected(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        receipt = await talk.send("approve", approval=approval, input_hash=input_hash({"to": "eve@example.com"}))
        assert receipt["error"]["code"] == "input_mismatch"
        edited = await talk.send(
            "approve", approval=approval, input_hash=input_hash(MAIL), input={"to": "eve@example.com"}
        )
        assert edited["error"]["code"] == "not_editable"
        assert sender.sent == []
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        await talk.answered()
        assert sender.sent == [MAIL]


async def test_arguments_can_be_edited_if_the_tool_allows_it(process: Process) -> None:
    sender = Sender(editable=True)
    edited = {"to": "bob@example.com", "text": "Hi"}
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL), input=edited)
        await talk.answered()
        assert sender.sent == [edited]
        assert part(talk)["input"] == edited
        assert part(talk)["callProviderMetadata"]["holdfast"]["edited"] is True


async def test_an_approval_expires(process: Process) -> None:
    sender = Sender(expires_s=0.1)
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        await talk.answered()
        assert sender.decisions == [Decision(False, MAIL, EXPIRED, None)]
        assert part(talk)["state"] == "output-denied"
        assert part(talk)["callProviderMetadata"]["holdfast"]["decided_by"] is None
        receipt = await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert receipt["error"]["code"] == "approval_expired"
        assert sender.sent == []


async def test_an_approval_expires_when_its_run_is_stopped(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        await talk.final((await talk.send("cancel"))["id"])
        receipt = await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert receipt["error"]["code"] == "approval_expired"
        assert sender.sent == []
        assert (await talk.stored(models.Approval)).status == "expired"


@pytest.mark.parametrize(("approval", "code"), [("approval_none", "no_such_approval"), ("", "bad_signal")])
async def test_a_decision_about_no_approval_is_refused(process: Process, approval: str, code: str) -> None:
    async with Conversation(process, Sender()) as talk:
        receipt = await talk.send("approve", approval=approval, input_hash="sha256:0")
        assert receipt["error"]["code"] == code


async def test_an_approval_of_another_session_does_not_exist(process: Process) -> None:
    async with Conversation(process, Sender()) as talk, Conversation(process, Sender()) as other:
        approval = await asked(talk)
        receipt = await other.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert receipt["error"]["code"] == "no_such_approval"


async def test_only_a_tools_own_error_text_is_shown(process: Process) -> None:
    errors: list[str] = []

    async def agent(turn: Turn) -> None:
        for problem in (ToolFailed("The mailbox is full."), ValueError("a secret of the inside")):
            call = await turn.tool("send_mail", MAIL)
            await call.approval()

            async def fail(arguments: Any, problem: Exception = problem) -> None:
                raise problem

            try:
                await call.execute(fail)
            except ToolFailed as failure:
                errors.append(str(failure))

    async with Conversation(process, agent) as talk:
        await talk.say("Send it")
        for number in range(2):
            await talk.wait_until(
                lambda number=number: (
                    talk.answers and [p["approval"]["id"] for p in talk.answers[0].parts if p.get("approval")][number:]
                )
            )
            approvals = [p["approval"]["id"] for p in talk.answers[0].parts if p.get("approval")]
            await talk.send("approve", approval=approvals[number], input_hash=input_hash(MAIL))
        await talk.answered()
        assert errors == ["The mailbox is full.", TOOL_FAILED]
        failed = [p["errorText"] for p in talk.answers[0].parts if p["type"] == "tool-send_mail"]
        assert failed == errors


@pytest.mark.parametrize("output", [object(), "x" * 100_000], ids=["no JSON", "too large"])
async def test_a_call_whose_output_cannot_be_stored_counts_as_done(process: Process, output: Any) -> None:
    async def agent(turn: Turn) -> None:
        call = await turn.tool("send_mail", MAIL)
        await call.approval()

        async def act(arguments: Any) -> Any:
            return output

        await call.execute(act)

    async with Conversation(process, agent) as talk:
        approval = await asked(talk)
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert (await talk.answered()).status == "failed"
        assert (part(talk)["state"], part(talk)["errorText"]) == ("output-error", UNTOLD)
        assert (await talk.stored(models.Approval)).execution == "done"


async def test_a_call_that_is_not_approved_or_has_begun_does_not_run(process: Process) -> None:
    sender = Sender()

    async def agent(turn: Turn) -> None:
        unasked = await turn.tool("send_mail", MAIL)
        with pytest.raises(ToolFailed):
            await unasked.execute(sender.send)
        call = await turn.tool("send_mail", MAIL)
        await call.approval()
        await call.execute(sender.send)
        with pytest.raises(ToolFailed):
            await call.execute(sender.send)
        await turn.text("done")

    async with Conversation(process, agent) as talk:
        approval = await asked(talk)
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        assert text_of(await talk.answered()) == "done"
        assert sender.sent == [MAIL]


async def test_a_call_does_not_run_if_the_run_was_stopped_just_before(process: Process, monkeypatch: Any) -> None:
    """The stop is stored, and the agent has not been stopped yet when it begins the approved call."""
    sender = Sender()
    decided, stopped = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        call = await turn.tool("send_mail", MAIL)
        await call.approval()
        decided.set()
        await stopped.wait()
        await call.execute(sender.send)

    async with Conversation(process, agent) as talk:
        approval = await asked(talk)
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        await decided.wait()
        look = process.inboxes.poll
        looking = asyncio.Event()

        async def look_later() -> None:
            await looking.wait()
            await look()

        monkeypatch.setattr(process.inboxes, "poll", look_later)
        cancel = await talk.send("cancel")
        stopped.set()
        await asyncio.sleep(0.1)  # it reaches the call
        looking.set()
        assert (await talk.answered()).status == "cancelled"
        assert (await talk.final(cancel["id"]))["status"] == "applied"
        assert sender.sent == []


async def test_the_outcome_of_a_call_is_unknown_if_its_process_died(process: Process) -> None:
    calling = asyncio.Event()

    async def agent(turn: Turn) -> None:
        call = await turn.tool("send_mail", MAIL)
        await call.approval()

        async def hang(arguments: Any) -> None:
            calling.set()
            await asyncio.sleep(60)

        await call.execute(hang)

    async with Conversation(process, agent) as talk:
        approval = await asked(talk)
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        await calling.wait()
        # Its worker counts as dead: to all others, its process has died here.
        await threads.run(lambda: models.Worker.objects.update(alive=False))
        answer = await talk.answered()
        assert answer.status == "interrupted"
        assert (part(talk)["state"], part(talk)["errorText"]) == ("output-error", UNKNOWN_OUTCOME)
        assert (await talk.stored(models.Approval)).execution == "begun"


async def test_a_tool_result_decides_no_approval(process: Process) -> None:
    sender = Sender()
    async with Conversation(process, sender) as talk:
        approval = await asked(talk)
        message = talk.answers[0].id
        for call in (approval, part(talk)["toolCallId"], "call_2"):
            receipt = await talk.send("tool-result", message=message, call=call, output="approved")
            assert receipt["error"]["code"] == "no_such_call"
        await talk.send("approve", approval=approval, input_hash=input_hash(MAIL))
        await talk.answered()
        assert sender.sent == [MAIL]


@pytest.mark.parametrize("reason", ["with a \0 in it"])
async def test_a_reason_may_contain_any_character(process: Process, reason: str) -> None:
    """PostgreSQL can't store a NUL."""

    async def agent(turn: Turn) -> None:
        await (await turn.tool("send_mail", MAIL)).approval(reason)

    async with Conversation(process, agent) as talk:
        await asked(talk)
        assert part(talk)["approval"]["requestReason"] == reason


def test_an_approval_gets_a_new_key_at_each_attempt() -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    asked, other = (
        models.Approval(session=session, run=run, uid=uid, input="{}", input_hash="", call="call_1", tool="send_mail")
        for uid in ("approval_1", "approval_2")
    )
    with pytest.raises(OperationalError), transaction.atomic():
        calls.insert_approval(asked, log=None)  # type: ignore[arg-type]
        raise OperationalError("database is locked")
    other.save()  # SQLite gives it the number that the other had
    calls.insert_approval(asked, log=None)  # type: ignore[arg-type]
    assert models.Approval.objects.count() == 2
