"""Two processes that compete for a run or signal: one gets it. On PostgreSQL their transactions overlap."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from sessions_app import models
from sessions_app.core import busy
from sessions_app.core.signals import Sent, input_hash
from sessions_app.event_log import queries
from sessions_app.runs import calls, claims, inbox, lifecycle, signal_handlers
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.writer import Writer, begun, finish, run_fields

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 15
TEXT = {"parts": [{"type": "text", "text": "Hello"}]}


@pytest.fixture
def two() -> Iterator[tuple[Writer, Writer]]:
    with Writer() as one, Writer() as other:
        yield one, other


@pytest.fixture(autouse=True)
def policy() -> None:
    busy.set_policy("test", "queue")


def asked() -> tuple[models.Session, models.Run]:
    """A session with a question that waits."""
    session = a_session("guest:1", agent="test")
    with Writer() as writer:
        writer.change(session, signal_handlers.handle, Sent("question-1", "message", "guest:1", TEXT)).result(
            DEADLINE_S
        )
    return session, models.Run.objects.get(session=session)


def outcomes(*waiting: "Future[Any]") -> list[Any]:
    """Return the result of each; a refusal is a result."""
    return [done.exception(DEADLINE_S) or done.result() for done in waiting]


def status(session: models.Session, uid: str) -> str:
    found: str = models.Signal.objects.get(session=session, uid=uid).status
    return found


def test_one_of_two_workers_claims_a_run(two: tuple[Writer, Writer]) -> None:
    workers = [models.Worker.objects.create(name="test").pk for _ in two]
    for _ in range(ROUNDS):
        session, run = asked()
        pending = [
            writer.change(session, claims.claim_run, each, (), ROUNDS)
            for writer, each in zip(two, workers, strict=True)
        ]
        claimed = outcomes(*pending)
        winners = [worker for worker, got in zip(workers, claimed, strict=True) if got is not None]
        run.refresh_from_db()
        assert winners == [run.worker_id]


def test_a_run_stopped_while_it_is_claimed_is_either_stopped_or_claimed(two: tuple[Writer, Writer]) -> None:
    worker = models.Worker.objects.create(name="test").pk
    for _ in range(ROUNDS):
        session, run = asked()
        claimed, _ = outcomes(
            two[0].change(session, claims.claim_run, worker, (), ROUNDS),
            two[1].change(session, signal_handlers.handle, Sent("stop-0001", "cancel", "guest:1")),
        )
        run.refresh_from_db()
        if claimed is None:  # it was stopped before
            assert (run.status, status(session, "stop-0001")) == ("ended", "applied")
            assert status(session, "question-1") == "rejected"
        else:
            assert (run.status, status(session, "stop-0001")) == ("running", "accepted")
            assert (run.pk, run.cancel_id, None) in inbox._find([worker])


def test_a_steer_that_arrives_as_the_answer_ends_becomes_the_next_question(two: tuple[Writer, Writer]) -> None:
    worker = models.Worker.objects.create(name="test").pk
    for _ in range(ROUNDS):
        session, _ = asked()
        run = two[0].change(session, claims.claim_run, worker, (), ROUNDS).result(DEADLINE_S)
        two[0].append(session, run.uid, begun(run.uid, "Hi"), **run_fields(run))
        outcomes(
            two[0].submit(session, run.uid, [finish()], **run_fields(run)),
            two[1].change(session, signal_handlers.handle, Sent("steer-0001", "steer", "guest:1", TEXT)),
        )
        (next_run,) = lifecycle.at_work(session.pk)
        assert next_run.prompt == "steer-0001"
        assert status(session, "steer-0001") == "accepted"
        assert queries.message(session.pk, "steer-0001") is not None


def test_one_of_two_concurrent_decisions_counts_and_the_call_begins_once(two: tuple[Writer, Writer]) -> None:
    worker = models.Worker.objects.create(name="test").pk
    payload = {"approval": "approval_1", "input_hash": input_hash({})}
    yes, no = Sent("yes-00001", "approve", "guest:1", payload), Sent("no-000001", "deny", "guest:1", payload)
    for _ in range(ROUNDS):
        session, _ = asked()
        run = two[0].change(session, claims.claim_run, worker, (), ROUNDS).result(DEADLINE_S)
        models.Approval.objects.create(
            session=session, run=run, uid="approval_1", call="call_1", tool="send_mail",
            input="{}", input_hash=input_hash({}),
        )  # fmt: skip
        receipts = outcomes(
            two[0].change(session, signal_handlers.handle, yes), two[1].change(session, signal_handlers.handle, no)
        )
        problems = [receipt.problem and receipt.problem.code for receipt in receipts]
        assert sorted(problems, key=str) == [None, "already_decided"]
        approved = models.Approval.objects.get(session=session).status == "approved"
        assert approved == (problems[0] is None)
        may = outcomes(
            *(writer.change(session, calls.begin_call, "approval_1", run.pk, models.new_id()) for writer in two)
        )
        assert sorted(may) == [False, approved]


def test_a_signal_sent_to_two_servers_is_stored_once(two: tuple[Writer, Writer]) -> None:
    for kind, payload in (("message", TEXT), ("steer", TEXT), ("cancel", {})):
        sent = Sent("signal-01", kind, "guest:1", payload)
        for _ in range(ROUNDS // 3):
            session, _ = asked()
            receipts = outcomes(*(writer.change(session, signal_handlers.handle, sent) for writer in two))
            assert [receipt.serial for receipt in receipts] == [receipts[0].serial] * 2
            assert status(session, "signal-01") in ("accepted", "applied")
