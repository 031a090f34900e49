"""Approved calls while the database fails: every one runs once, and its answer is complete."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.signals import connection_created

from agents_app.local.runner import Runner
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.core.message import MessageState
from sessions_app.database import threads
from sessions_app.event_log import writer as writer_module
from sessions_app.process import Process
from sessions_app.runs import calls, claims
from tests.support.agents import Conversation
from tests.support.harness import DEADLINE_S
from tests.support.person import Frame
from tests.support.stored import a_session, a_signal, an_approval
from tests.support.writer import Writer, a_run, writer

__all__ = ["writer"]  # a fixture
pytestmark = pytest.mark.django_db(transaction=True)
postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL's connections")
sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite's lock")


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


class Payer:
    """An agent that pays twice, once approved each. `paid`: its payments."""

    def __init__(self, calls: int = 2) -> None:
        self.calls = calls
        self.paid: list[int] = []

    async def __call__(self, turn: Turn) -> None:
        for number in range(self.calls):
            call = await turn.tool("pay", {"amount": number})
            if (await call.approval()).approved:
                await call.execute(self.pay)
            for steer in await turn.step():
                await turn.text(f"[{steer}]")
        await turn.text("done")

    async def pay(self, arguments: Any) -> str:
        self.paid.append(arguments["amount"])
        return "paid"


async def insist(talk: Conversation, kind: str, id: str, payload: Frame) -> None:
    """Send a signal as a client does: again with the same id while its refusal is retryable."""
    async with asyncio.timeout(30):
        while True:
            await talk.tab.signal(talk.session, kind, payload, id=id)
            if not talk.tab.receipts[id].get("error", {}).get("retryable"):
                return
            await asyncio.sleep(0.02)


def waiting(talk: Conversation, number: int) -> Frame | None:
    """Return the approval with this number, once it is asked for."""
    parts = [part for part in talk.answers[0].parts if "approval" in part] if talk.answers else []
    return parts[number]["approval"] if len(parts) > number else None  # type: ignore[return-value]


async def perform(process: Process, payer: Payer) -> tuple[MessageState, list[models.Approval]]:
    """Have the agent's calls approved one after the other; return its answer."""
    async with Conversation(process, payer) as talk:
        await insist(talk, "message", "question", {"parts": [{"type": "text", "text": "Pay"}]})
        for number in range(payer.calls):
            await talk.wait_until(lambda number=number: waiting(talk, number))
            asked = waiting(talk, number)
            assert asked
            about = {"approval": asked["id"], "input_hash": asked["descriptor"]["input_hash"]}
            await insist(talk, "approve", f"approval-{number}", about)
        answer = await talk.answered()
        stored = await threads.run(lambda: list(models.Approval.objects.filter(session=talk.session).order_by("id")))
        return answer, stored


def check(payer: Payer, answer: MessageState, stored: list[models.Approval]) -> None:
    assert payer.paid == list(range(payer.calls))
    assert answer.status == "complete"
    assert [part["state"] for part in answer.parts if part["type"] == "tool-pay"] == ["output-available"] * payer.calls
    assert [approval.execution for approval in stored] == ["done"] * payer.calls


@pytest.mark.parametrize("told", [True, False], ids=["before COMMIT", "after COMMIT"])
@pytest.mark.parametrize("problem", [OperationalError, InterfaceError])
async def test_every_write_may_fail_once(
    process: Process, monkeypatch: pytest.MonkeyPatch, told: bool, problem: type[Exception]
) -> None:
    commit = process.log_writer._commit
    tries = 0

    def fail_every_other(group: list[Any]) -> Any:
        nonlocal tries
        tries += 1
        if tries % 2 == 0:
            return commit(group)
        if not told:
            commit(group)
        raise problem("the connection is closed")

    monkeypatch.setattr(process.log_writer, "_commit", fail_every_other)
    payer = Payer()
    check(payer, *await perform(process, payer))


async def test_every_read_of_an_inbox_may_fail_once(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    call = threads._call
    failed: set[str] = set()
    reads = 0

    def fail_every_other(function: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        if function.__module__ != "sessions_app.runs.inbox":
            return call(function, *args, **kwargs)
        reads += 1
        if reads % 2:
            failed.add(function.__name__)
            raise OperationalError("the connection is closed")
        return call(function, *args, **kwargs)

    monkeypatch.setattr(threads, "_call", fail_every_other)
    payer = Payer()
    check(payer, *await perform(process, payer))
    assert {"_find", "_read"} & failed


# Real connections


def cut() -> None:
    """End this thread's connection, from another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    thread = threading.Thread(target=_terminate, args=[pid])
    thread.start()
    thread.join()


def _terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    connection.close()


@postgresql
@pytest.mark.parametrize("moment", ["before", "during", "after"])
async def test_a_terminated_connection_loses_no_call(
    process: Process, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It is ended before, within or just after the transaction of each of a call's steps."""
    commit, transaction = process.log_writer._commit, writer_module.Transaction
    cuts = 0

    def commit_and_cut(group: list[Any]) -> Any:
        nonlocal cuts
        cuts += 1
        if cuts % 2 == 0:
            return commit(group)
        if moment == "before":
            cut()
        result = commit(group)
        if moment == "after":
            raise OperationalError("the connection was lost before the answer came")
        return result

    class Cut(transaction):
        def finish(self) -> Any:
            if moment == "during" and cuts % 2:
                cut()
            return super().finish()

    monkeypatch.setattr(process.log_writer, "_commit", commit_and_cut)
    monkeypatch.setattr(writer_module, "Transaction", Cut)
    payer = Payer()
    check(payer, *await perform(process, payer))
    assert cuts > 12


@sqlite
async def test_a_locked_database_delays_a_call(process: Process) -> None:
    """Another process holds the write lock for longer than a transaction waits, again and again."""

    def impatient(connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 20")

    ended = threading.Event()

    def lock_and_let_go() -> None:
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, timeout=10)
        while not ended.is_set():
            other.execute("BEGIN IMMEDIATE")
            ended.wait(0.15)
            other.execute("ROLLBACK")
            ended.wait(0.05)
        other.close()

    connection_created.connect(impatient)
    await process.log_writer.do(lambda: connection.close())  # the next one is impatient
    locking = asyncio.create_task(asyncio.to_thread(lock_and_let_go))
    try:
        payer = Payer()
        check(payer, *await perform(process, payer))
    finally:
        ended.set()
        await locking
        connection_created.disconnect(impatient)


# What is repeated after a lost answer


def begun_by(attempt: str, approval: models.Approval, writer: Writer) -> bool | None:
    change = writer.change(approval.session, calls.begin_call, approval.uid, approval.run_id, attempt)
    begun: bool | None = change.result(DEADLINE_S)
    return begun


@pytest.fixture
def approved() -> models.Approval:
    run = a_run(a_session("guest:1", agent="test"), "m_1")
    return an_approval(run, status="approved")


def test_a_repeated_beginning_counts_once_and_another_is_refused(writer: Writer, approved: models.Approval) -> None:
    assert [begun_by(attempt, approved, writer) for attempt in ("one", "one", "two", "one")] == [
        True,
        True,
        False,
        True,
    ]
    approved.refresh_from_db()
    assert approved.execution == "begun"
    models.Approval.objects.update(execution="done")
    assert begun_by("one", approved, writer) is False


def test_a_beginning_that_a_stop_overtook_is_taken_back(writer: Writer, approved: models.Approval) -> None:
    assert begun_by("one", approved, writer) is True
    models.Run.objects.update(cancel=a_signal(approved.session, kind="cancel", status="accepted"))
    assert [begun_by("two", approved, writer), begun_by("one", approved, writer)] == [None, None]
    approved.refresh_from_db()
    assert (approved.execution, approved.attempt) == ("", None)


def test_a_run_is_handed_back_once(writer: Writer) -> None:
    run = a_run(a_session("guest:1", agent="test"), "m_1")
    worker, other = run.worker_id, models.Worker.objects.create(name="other")

    def hand_back() -> Any:
        return writer.change(run.session, claims.hand_back_run, run.pk, worker).result(DEADLINE_S)

    assert [hand_back(), hand_back()] == [True, True]
    models.Run.objects.update(status="running", worker=other)
    assert hand_back() is True
    run.refresh_from_db()
    assert (run.status, run.worker) == ("running", other)
