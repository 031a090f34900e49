"""SQL of a commit: as few statements and round trips for a thousand answers as for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import Sent
from sessions_app.models import Message, Run, Session, Worker
from sessions_app.runs import claims, signal_handlers
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.writer import Writer, a_run, begun, delta, finish, run_fields, serials, text_of, writer

__all__ = ["writer"]
pytestmark = pytest.mark.django_db(transaction=True)

MANY = 40

Statement = tuple[str, bool]  # its SQL, and whether its answer was waited for at once


@contextmanager
def statements(writer: Writer) -> Iterator[list[Statement]]:
    """Collect the statements of the writer's connection."""
    collected: list[Statement] = []

    def note(execute: Any, sql: str, *others: Any) -> Any:
        # 0: the connection is in no pipeline, so the answer is waited for.
        waited = connection.vendor != "postgresql" or not connection.connection.pgconn.pipeline_status
        if not sql.startswith("BEGIN"):  # SQLite's
            collected.append((sql, waited))
        return execute(sql, *others)

    def listen() -> None:
        connection.execute_wrappers.append(note)

    def stop() -> None:
        connection.execute_wrappers.remove(note)

    writer.run(writer.log_writer.do(listen))
    yield collected
    writer.run(writer.log_writer.do(stop))


@pytest.fixture
def answers(writer: Writer) -> list[tuple[Session, Run]]:
    """Responses that have begun, of one worker."""
    worker = Worker.objects.create(name="test")
    sessions = [a_session("user:1") for _ in range(MANY)]
    answers = [(session, a_run(session, "r", worker)) for session in sessions]
    together(writer, answers, begun("r"))
    return answers


def together(writer: Writer, answers: list[tuple[Session, Run]], chunks: list[dict[str, Any]], **fields: Any) -> None:
    """Add to all the responses in one transaction."""
    with writer.together():
        appends = [writer.submit(session, run.uid, chunks, **run_fields(run), **fields) for session, run in answers]
    for append in appends:
        append.result(DEADLINE_S)


@pytest.mark.parametrize("count", [1, MANY])
def test_statements_for_answers_in_progress(writer: Writer, answers: list[tuple[Session, Run]], count: int) -> None:
    with statements(writer) as asked:
        together(writer, answers[:count], [delta("a"), delta("b")], after=2)
    assert [sql.split()[0] for sql, _ in asked] == ["SELECT", "INSERT", "WITH"]  # locks, journal, tails
    if connection.vendor == "postgresql":
        assert [waited for _, waited in asked] == [True, False, False]


@pytest.mark.parametrize("count", [1, MANY])
def test_fences_are_read_after_anothers_event(writer: Writer, answers: list[tuple[Session, Run]], count: int) -> None:
    together(writer, [(session, a_run(session, "other", run.worker)) for session, run in answers], begun("other"))
    with statements(writer) as asked:
        together(writer, answers[:count], [delta("a"), delta("b")], after=2)
    assert [sql.split()[0] for sql, _ in asked] == ["SELECT", "WITH", "INSERT", "WITH"]  # fences are the second


def test_statements_for_answers_that_begin_together(writer: Writer, answers: list[tuple[Session, Run]]) -> None:
    more = [(session, a_run(session, "more", run.worker)) for session, run in answers]
    with statements(writer) as one:
        together(writer, more[:1], begun("more"))
    with statements(writer) as many:
        together(writer, more[1:], begun("more"))
    assert len(many) == len(one) <= 8


def test_statements_for_answers_that_end_together(writer: Writer, answers: list[tuple[Session, Run]]) -> None:
    with statements(writer) as one:
        together(writer, answers[:1], [finish()])
    with statements(writer) as many:
        together(writer, answers[1:], [finish()])
    assert len(many) == len(one) <= 11


def test_statements_for_a_question_that_is_claimed_with_it(writer: Writer, answers: list[tuple[Session, Run]]) -> None:
    session, worker = a_session("user:2", agent="test"), answers[0][1].worker_id
    sent = Sent("q_1", "message", "user:2", {"parts": [{"type": "text", "text": "Hello"}]})
    with statements(writer) as asked, writer.together():
        receipt = writer.change(session, signal_handlers.handle, sent)
        claimed = writer.change(session, claims.claim_run, worker)
    assert receipt.result(DEADLINE_S).problem is None
    run = claimed.result(DEADLINE_S)
    assert (run.worker_id, run.cause.uid, run.cause.status) == (worker, "q_1", "delivered")
    assert len(asked) <= 19  # four of them savepoints


def test_a_write_that_fails_at_commit_fails_alone(writer: Writer, answers: list[tuple[Session, Run]]) -> None:
    (bad, bad_run), (good, good_run) = answers[:2]
    in_the_way = Message.objects.get(session=bad, uid="r")
    in_the_way.pk, in_the_way.uid = None, "of nobody's"
    in_the_way.first_serial = Session.objects.get(pk=bad.pk).tail + 1
    in_the_way.save()
    with writer.together():
        failing = writer.submit(bad, "more", begun("more"))
        stored = writer.submit(good, "r", [delta("kept")], **run_fields(good_run))
    with pytest.raises(HoldfastError) as refused:
        failing.result(DEADLINE_S)
    assert refused.value.code == "internal"
    assert stored.result(DEADLINE_S).serial == serials(writer, good)[-1]
    assert text_of(good, "r") == "kept"
    in_the_way.delete()
    writer.append(bad, "r", [delta("again")], **run_fields(bad_run))
    assert text_of(bad, "r") == "again"
