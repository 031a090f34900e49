"""Repeats: appends and signals sent again for lack of a result are stored once."""

import pytest

from sessions_app import models
from sessions_app.event_log.commands import AppendResult
from tests.support.stored import a_session
from tests.support.writer import Writer, a_run, begun, delta, run_fields, serials, text_of, user_message, writer

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_repeated_signal_is_stored_once_and_gets_the_same_receipt(writer: Writer) -> None:
    session = a_session("guest:1")
    assert writer.append(session, "signal_1", [user_message("Hello")]) == AppendResult(1)
    writer.append(session, "signal_2", [user_message("and more")])
    assert writer.append(session, "signal_1", [user_message("Hello")]) == AppendResult(1, repeated=True)
    assert models.Message.objects.count() == 2
    assert serials(writer, session) == [1, 2]


def test_a_signal_twice_in_one_transaction_is_stored_once_with_one_run(writer: Writer) -> None:
    session = a_session("guest:1")
    runs = [models.Run(session=session, agent="test") for _ in range(2)]
    with writer.together():
        waiting = [writer.submit(session, "signal_1", [user_message("Hello")], starts=run) for run in runs]
    assert [future.result(30) for future in waiting] == [AppendResult(1), AppendResult(1, repeated=True)]
    assert models.Run.objects.count() == 1


def test_a_signal_to_two_servers_at_once_is_stored_once() -> None:
    session = a_session("guest:1")
    with Writer() as one, Writer() as other:
        waiting = [
            writer.submit(session, f"signal_{n}", [user_message("Hi")]) for n in range(30) for writer in (one, other)
        ]
        outcomes = [future.result(30) for future in waiting]
    assert sum(not outcome.repeated for outcome in outcomes) == 30
    assert models.Message.objects.count() == 30
    session.refresh_from_db()
    assert session.tail == 30


def test_the_same_id_in_two_sessions_is_two_messages(writer: Writer) -> None:
    one, other = a_session("guest:1"), a_session("guest:1")
    with writer.together():
        waiting = [writer.submit(session, "signal_1", [user_message("Hi")]) for session in (one, other)]
    assert [future.result(30) for future in waiting] == [AppendResult(1), AppendResult(1)]


@pytest.mark.parametrize("same_writer", [True, False], ids=["same process", "restarted"])
def test_an_append_repeated_after_an_unconfirmed_commit_is_stored_once(writer: Writer, same_writer: bool) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", begun("m_1", "one "), after=0, **run_fields(run))
    untold = writer.append(session, "m_1", [delta("two ")], after=3, **run_fields(run))
    with Writer() as fresh:
        again = (writer if same_writer else fresh).append(session, "m_1", [delta("two ")], after=3, **run_fields(run))
        assert again == AppendResult(untold.serial, repeated=True)
        (writer if same_writer else fresh).append(
            session, "m_1", [delta("three")], after=again.serial, **run_fields(run)
        )
    assert text_of(session, "m_1") == "one two three"


def test_a_start_repeated_after_an_unconfirmed_commit_is_stored_once(writer: Writer) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", begun("m_1", "one"), after=0, **run_fields(run))
    assert writer.append(session, "m_1", begun("m_1", "one"), after=0, **run_fields(run)) == AppendResult(
        3, repeated=True
    )
    assert text_of(session, "m_1") == "one"
