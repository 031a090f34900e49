"""LogWriter while the database fails: publishers get errors, readers see only stored events, and it continues."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries, sql
from sessions_app.event_log.commands import AppendResult
from sessions_app.runs import lifecycle
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session, a_signal, unfolded
from tests.support.writer import Writer, a_run, begun, delta, finish, run_fields, user_message

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 0.2  # how long a transaction waits for SQLite's write lock, in these tests
LARGE = delta("x" * 60_000)  # more than the free pages of a file hold


def text_of(session: models.Session, uid: str) -> str:
    message = queries.message(session.pk, uid)
    assert message is not None
    return "".join(part.get("text", "") for part in message.parts)


def refusal(future: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as refused:
        future.result(30)
    return refused.value


# SQLite's locks and files. A connection that failed is opened anew, and then the fault may be gone.

Fault = Callable[[], AbstractContextManager[None]]


@contextmanager
def locked() -> Iterator[None]:
    """Another connection holds the write lock."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def opened_with(pragma: str) -> Iterator[None]:
    """Give connections that are opened within the block this pragma."""

    def prepare(connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(pragma)

    connection_created.connect(prepare)
    try:
        yield
    finally:
        connection_created.disconnect(prepare)


def read_only() -> AbstractContextManager[None]:
    return opened_with("PRAGMA query_only = ON")


def full() -> AbstractContextManager[None]:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # no free pages
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
    return opened_with(f"PRAGMA max_page_count = {pages}")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> models.Session:
    """A session with an answer that says "before"; no writer has a connection open."""
    if connection.vendor != "sqlite":
        pytest.skip("is about SQLite's locks and files")
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "timeout", PATIENCE_S)
    session = a_session("guest:1")
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1", "before"))
    return session


@pytest.mark.parametrize("fault", [locked, read_only, full])
def test_the_publisher_gets_the_error_and_readers_see_nothing(session: models.Session, fault: Fault) -> None:
    with Writer() as writer, fault():
        problem = refusal(writer.submit(session, "m_1", [LARGE]))
        assert (problem.code, problem.kind.retryable) == ("storage_unavailable", True)
        assert writer.frames == []
        assert text_of(session, "m_1") == "before"


@pytest.mark.parametrize("fault", [locked, read_only, full])
def test_the_writer_continues_after_the_fault(session: models.Session, fault: Fault) -> None:
    with Writer() as writer:
        with fault():
            refusal(writer.submit(session, "m_1", [LARGE]))
        assert writer.append(session, "m_1", [LARGE]) == AppendResult(4)
        assert writer.append(session, "m_1", [finish()]) == AppendResult(5)
        assert [frame.first for frame in writer.frames] == [4, 5]
    assert text_of(session, "m_1") == "before" + LARGE["delta"]
    assert unfolded() == 0


@pytest.mark.parametrize("fault", [locked, read_only, full])
def test_chunks_after_an_unstored_one_are_not_stored_either(session: models.Session, fault: Fault) -> None:
    with Writer() as writer:
        with fault():
            refusal(writer.submit(session, "m_1", [LARGE], after=3))
        assert refusal(writer.submit(session, "m_1", [delta("a hole")], after=4)).code == "storage_unavailable"
        assert text_of(session, "m_1") == "before"


def test_a_short_lock_delays_and_refuses_nothing(session: models.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "timeout", DEADLINE_S)
    with Writer() as writer:
        with locked():
            future = writer.submit(session, "m_1", [delta(" and after")])
        assert future.result(30) == AppendResult(4)


# One append that can't be stored


class AppendFault(Exception):
    pass


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Let every later transaction with a message that says "poison" fail with an exception."""

    def poison(error: Exception) -> None:
        original = sql._columns

        def columns(message: Any) -> Any:
            fields = original(message)
            if "poison" in fields.parts:
                raise error
            return fields

        monkeypatch.setattr(sql, "_columns", columns)

    return poison


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AppendFault(), "internal"),
        (DataError("not to this column"), "unstorable"),
        (IntegrityError("twice"), "internal"),
    ],
)
def test_an_append_that_cannot_be_stored_fails_alone(
    poisoned: Callable[[Exception], None], error: Exception, code: str
) -> None:
    sessions = [a_session("guest:1") for _ in range(5)]
    poisoned(error)
    with Writer() as writer:
        with writer.together():
            waiting = [
                writer.submit(session, "m_1", [user_message("poison" if number == 2 else "food")])
                for number, session in enumerate(sessions)
            ]
        assert refusal(waiting.pop(2)).code == code
        assert [future.result(30) for future in waiting] == [AppendResult(1)] * 4
        assert len(writer.frames) == 4
    assert models.Message.objects.count() == 4


def test_without_the_database_appends_are_not_retried_one_by_one(poisoned: Callable[[Exception], None]) -> None:
    sessions = [a_session("guest:1") for _ in range(5)]
    poisoned(OperationalError("the server closed the connection"))
    with Writer() as writer:
        with writer.together():
            waiting = [writer.submit(session, "m_1", [user_message("poison")]) for session in sessions]
        refusals = [refusal(future) for future in waiting]
        assert {problem.code for problem in refusals} == {"storage_unavailable"}
        assert not any("connection" in problem.message for problem in refusals)  # which is nobody's business


# Text that a database may not take


@pytest.mark.parametrize(
    "chunks",
    [
        [user_message("a NUL\u0000 within")],
        [*begun("m_1", "a NUL\u0000 within"), finish()],
        [*begun("m_1"), {"type": "error", "errorText": "a NUL\u0000 within"}],
        [*begun("m_1"), {"type": "abort", "reason": "a NUL\u0000 within"}],
        [{"type": "start", "messageId": "m_1", "messageMetadata": {"a NUL\u0000": "\u0000"}}, finish()],
    ],
    ids=["person", "answer", "error", "abort", "metadata"],
)
def test_a_nul_is_stored_like_any_other_character(chunks: list[dict[str, Any]]) -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        assert writer.append(session, "m_1", chunks) == AppendResult(len(chunks))
    message = queries.message(session.pk, "m_1")
    assert message is not None
    assert "\u0000" in f"{message.parts}{message.reason}{message.metadata}".replace("\\x00", "\u0000")


def test_stop_commits_queued_appends() -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        with writer.together():
            waiting = [writer.submit(session, f"m_{number}", [user_message("Hi")]) for number in range(10)]
    assert [future.result(0).serial for future in waiting] == list(range(1, 11))


def test_after_the_stop_publishers_get_an_unavailable_error() -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        writer.run(writer.log_writer.stop())
        with pytest.raises(HoldfastError) as refused:
            writer.run(writer.log_writer.append(session.pk, "m_1", [user_message("Hi")]))
        assert refused.value.code == "going_away"


def test_a_failed_delivery_does_not_affect_the_publishers_result(monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        monkeypatch.setattr(writer.log_writer, "_deliver", lambda frames: 1 / 0)
        assert writer.append(session, "m_1", [user_message("Hi")]) == AppendResult(1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite's write lock")
def test_errors_around_commits_leave_no_transaction_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them would leave a savepoint open, in which all later writes were made, to be committed by none."""
    session = a_session("guest:1")
    with Writer() as writer:
        for number, step in enumerate(["set_autocommit", "savepoint_commit"]):
            with monkeypatch.context() as patch:
                patch.setattr(BaseDatabaseWrapper, step, _fail_in_writer(getattr(BaseDatabaseWrapper, step)))
                writer.submit(session, f"m_{number}", [user_message("One")]).exception(DEADLINE_S)
        writer.append(session, "m_3", [user_message("Three")])
        assert queries.message(session.pk, "m_3") is not None  # as another connection reads it


def _fail_in_writer(original: Callable[..., Any]) -> Callable[..., Any]:
    def fail(wrapper: BaseDatabaseWrapper, argument: Any, **options: Any) -> Any:
        if argument and threading.current_thread().name == "log_writer":
            raise RuntimeError("not a database error")
        return original(wrapper, argument, **options)

    return fail


def test_an_unread_steer_becomes_the_next_question_even_if_the_end_is_stored_on_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = a_session("guest:1")
    with Writer() as writer:
        run = a_run(session, "m_1")
        writer.append(session, "m_1", begun("m_1"), **run_fields(run))
        steer = a_signal(session, run=run, message="m_1", status="delivered")
        with monkeypatch.context() as patch:
            patch.setattr(sql, "advance_tails", _fail)
            assert refusal(writer.submit(session, "m_1", [finish()], **run_fields(run))).code == "storage_unavailable"
        writer.append(session, "m_1", [finish()], **run_fields(run))
    steer.refresh_from_db()
    assert (steer.status, steer.reason) == ("delivered", lifecycle.UNREAD_NEXT)
    assert models.Run.objects.get(cause=steer).prompt == steer.uid
    message = queries.message(session.pk, steer.uid)
    assert message is not None and message.role == "user"


def _fail(*_: object) -> None:
    raise OperationalError("the server closed the connection")
