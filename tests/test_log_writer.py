"""LogWriter: acknowledged is committed, in one order, one message per response; a refusal affects nothing else."""

import json
import threading
from random import Random
from typing import Any

import pytest

from sessions_app import models
from sessions_app.core import fold
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.event_log.commands import AppendResult
from sessions_app.retention import purge
from tests.support.stored import a_session, unfolded
from tests.support.writer import (
    Writer,
    a_run,
    begun,
    delta,
    finish,
    run_fields,
    serials,
    shown,
    start,
    text_end,
    text_of,
    user_message,
    writer,
)

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def test_acknowledged_events_can_be_read(writer: Writer) -> None:
    session = a_session("guest:1")
    outcome = writer.append(session, "m_1", begun("m_1", "Hello"))
    assert outcome == AppendResult(3)
    assert text_of(session, "m_1") == "Hello"
    session.refresh_from_db()
    assert session.tail == 3


def test_readers_are_shown_stored_events_before_the_publisher_is_acknowledged(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1", "Hello"))
    frame = writer.frames[0]
    assert (frame.first, frame.last, frame.epoch) == (1, 3, session.epoch)
    first = shown(writer, session)[0]
    assert first["chunk"] == start("m_1")
    assert first["at"] == queries.message(session.pk, "m_1").created_at  # type: ignore[union-attr]


def test_many_sessions_share_one_transaction(writer: Writer) -> None:
    sessions = [a_session("guest:1") for _ in range(20)]
    transactions: list[int] = []
    deliver = writer.log_writer._deliver
    writer.log_writer._deliver = lambda frames: (transactions.append(len(frames)), deliver(frames))[1]
    with writer.together():
        waiting = [writer.submit(session, "m_1", begun("m_1", "Hi")) for session in sessions]
    assert [future.result(30) for future in waiting] == [AppendResult(3)] * 20
    assert transactions == [20]
    assert {frame.last for frame in writer.frames} == {3}
    assert models.Message.objects.count() == 20


def test_a_response_at_rest_is_one_row(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    for word in ("one ", "two ", "three"):
        writer.append(session, "m_1", [delta(word)])
    assert unfolded() == 3
    writer.append(session, "m_1", [text_end(), finish()])
    assert unfolded() == 0
    row = models.Message.objects.get(session=session)
    assert (row.status, row.first_serial, row.last_serial) == ("complete", 1, 7)
    assert json.loads(row.parts) == [{"type": "text", "text": "one two three", "state": "done"}]
    assert json.loads(row.open) == {"text": {}, "reasoning": {}, "tools": {}}


def test_a_whole_response_in_one_transaction_is_one_row(writer: Writer) -> None:
    session = a_session("guest:1")
    with writer.together():
        for chunks in (begun("m_1"), [delta("all ")], [delta("at once")], [finish()]):
            last = writer.submit(session, "m_1", chunks)
    assert last.result(30) == AppendResult(5)
    assert models.JournalEntry.objects.count() == 0
    assert text_of(session, "m_1") == "all at once"
    assert serials(writer, session) == [1, 2, 3, 4, 5]


@pytest.fixture
def journal_events(request: pytest.FixtureRequest, settings: Any) -> None:
    """Set the journal's size at which writers made afterwards conflate."""
    settings.HOLDFAST = settings.HOLDFAST | {"JOURNAL_EVENTS": request.param}


@pytest.mark.parametrize("journal_events", [4], indirect=True)
def test_a_long_response_is_conflated_while_it_streams(journal_events: None, writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    rows = []
    for number in range(10):
        writer.append(session, "m_1", [delta(f"{number} ")])
        rows.append(unfolded())
        assert text_of(session, "m_1") == "".join(f"{n} " for n in range(number + 1))
    assert rows == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]


@pytest.mark.parametrize("journal_events", [2], indirect=True)
def test_an_end_and_a_conflation_in_one_transaction_leave_nothing_behind(journal_events: None, writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    with writer.together():
        for number in range(5):
            writer.submit(session, "m_1", [delta(str(number))])
        last = writer.submit(session, "m_1", [finish()])
    last.result(30)
    assert unfolded() == 0
    assert text_of(session, "m_1") == "01234"
    assert models.Message.objects.get().status == "complete"


def test_two_answers_of_one_session_share_its_serials(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    writer.append(session, "m_2", begun("m_2"))
    with writer.together():
        waiting = [writer.submit(session, f"m_{1 + n % 2}", [delta(str(n))]) for n in range(10)]
    assert [future.result(30).serial for future in waiting] == list(range(5, 15))
    assert (text_of(session, "m_1"), text_of(session, "m_2")) == ("02468", "13579")
    assert serials(writer, session) == list(range(1, 15))


# One order, with several writers on one database


def test_two_writers_of_one_session_assign_each_serial_once() -> None:
    session = a_session("guest:1")
    with Writer() as one, Writer() as other:
        one.append(session, "m_1", begun("m_1"))
        other.append(session, "m_2", begun("m_2"))
        waiting = []
        for number in range(100):
            waiting.append(one.submit(session, "m_1", [delta(f"{number} ")]))
            waiting.append(other.submit(session, "m_2", [delta(f"{number} ")]))
        acknowledged = [future.result(30).serial for future in waiting]
        shown_serials = serials(one, session) + serials(other, session)
    assert sorted(acknowledged) == list(range(5, 205))
    assert sorted(shown_serials) == list(range(1, 205))
    session.refresh_from_db()
    assert session.tail == 204
    wanted = "".join(f"{number} " for number in range(100))
    assert (text_of(session, "m_1"), text_of(session, "m_2")) == (wanted, wanted)


def test_writers_that_lock_the_same_sessions_do_not_deadlock() -> None:
    sessions = [a_session("guest:1") for _ in range(8)]
    random = Random(1)
    with Writer() as one, Writer() as other:
        waiting = []
        for number in range(10):
            for writer, name in ((one, "a"), (other, "b")):
                with writer.together():
                    for session in random.sample(sessions, len(sessions)):
                        waiting.append(writer.submit(session, f"m_{name}{number}", [user_message("Hi")]))
        outcomes = [future.result(30) for future in waiting]
    assert len(outcomes) == 160
    assert {session.tail for session in models.Session.objects.all()} == {20}


def test_the_journal_has_no_gaps_or_duplicates(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    for number in range(20):
        writer.append(session, "m_1", [delta(str(number))])
    assert [serial for serial, _ in queries.journal_after(session.pk, 0)] == list(range(3, 23))


# What is refused


def refused(future: Any) -> str:
    with pytest.raises(HoldfastError) as refusal:
        future.result(30)
    return str(refusal.value.code)


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (delta("x", part="unknown"), "unknown_part"),
        ({"type": "tool-output-available", "toolCallId": "none", "output": 1}, "unknown_part"),
        (start("m_1"), "message_exists"),
        (user_message("a turn within an answer"), "message_exists"),
    ],
)
def test_a_refused_chunk_refuses_the_chunks_after_it(writer: Writer, chunk: dict[str, Any], code: str) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1", "before"))
    assert refused(writer.submit(session, "m_1", [delta(" it"), chunk, delta(" after")])) == code
    assert text_of(session, "m_1") == "before it"
    writer.append(session, "m_1", [delta(", and on"), finish()])
    assert text_of(session, "m_1") == "before it, and on"
    assert serials(writer, session) == [1, 2, 3, 4, 5, 6]


def test_nothing_is_stored_after_the_end(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", [*begun("m_1", "done"), finish()])
    assert refused(writer.submit(session, "m_1", [delta(" not")])) == "message_ended"
    assert refused(writer.submit(session, "m_1", [finish()])) == "message_ended"
    assert text_of(session, "m_1") == "done"
    assert serials(writer, session) == [1, 2, 3, 4]


def test_nothing_is_stored_after_the_end_within_one_append(writer: Writer) -> None:
    session = a_session("guest:1")
    assert refused(writer.submit(session, "m_1", [*begun("m_1", "done"), finish(), delta(" not")])) == "message_ended"
    assert text_of(session, "m_1") == "done"
    assert models.Message.objects.get().status == "complete"


def test_an_answer_begins_with_its_start(writer: Writer) -> None:
    session = a_session("guest:1")
    assert refused(writer.submit(session, "m_1", [delta("Hi")])) == "no_such_message"
    assert writer.append(session, "m_1", begun("m_1")) == AppendResult(2)


def test_a_deleted_session_stores_nothing(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    purge.delete_sessions([session.pk])
    assert refused(writer.submit(session, "m_1", [delta("too late")])) == "not_found"
    assert models.JournalEntry.objects.count() == models.Message.objects.count() == 0


def test_a_response_has_a_maximum_size_and_can_still_end(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"RESPONSE_BYTES": 4096}
    session = a_session("guest:1")
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1"))
        writer.append(session, "m_1", [delta("x" * 3000)])
        assert refused(writer.submit(session, "m_1", [delta("y" * 3000)])) == "response_too_large"
        writer.append(session, "m_1", [{"type": "error", "errorText": "too long"}])
    assert text_of(session, "m_1") == "x" * 3000
    assert models.Message.objects.get().status == "failed"


def test_one_publishers_error_does_not_affect_another(writer: Writer) -> None:
    session, other = a_session("guest:1"), a_session("guest:2")
    writer.append(session, "m_1", begun("m_1"))
    with writer.together():
        wrong = writer.submit(session, "m_1", [delta("x", part="none")])
        right = writer.submit(other, "m_2", begun("m_2", "fine"))
        unknown = writer.submit(models.Session(pk=models.new_id()), "m_3", begun("m_3"))
    assert right.result(30) == AppendResult(3)
    assert (refused(wrong), refused(unknown)) == ("unknown_part", "not_found")


# Whose response it is


def test_a_worker_that_lost_its_run_is_fenced(writer: Writer) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", begun("m_1", "mine"), **run_fields(run))
    models.Run.objects.filter(pk=run.pk).update(status=models.Run.Status.ENDED)
    assert refused(writer.submit(session, "m_1", [delta(" no more")], **run_fields(run))) == "fenced"
    assert text_of(session, "m_1") == "mine"


def test_another_worker_is_fenced(writer: Writer) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", begun("m_1", "mine"), **run_fields(run))
    other = models.Worker.objects.create(name="other").pk
    assert refused(writer.submit(session, "m_1", [delta(" stolen")], run=run.pk, worker=other)) == "fenced"
    assert text_of(session, "m_1") == "mine"


def test_a_fenced_append_does_not_affect_others_of_its_transaction(writer: Writer) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", begun("m_1"), **run_fields(run))
    other = models.Worker.objects.create(name="other").pk
    with writer.together():
        before = writer.submit(session, "m_1", [delta("one ")], **run_fields(run))
        fenced = writer.submit(session, "m_1", [delta("stolen")], run=run.pk, worker=other)
        after = writer.submit(session, "m_1", [delta("two")], **run_fields(run))
    assert (before.result(30), refused(fenced), after.result(30)) == (AppendResult(3), "fenced", AppendResult(4))
    writer.append(session, "m_1", [finish()], **run_fields(run))
    assert text_of(session, "m_1") == "one two"


def test_the_end_of_a_response_ends_its_run(writer: Writer) -> None:
    session = a_session("guest:1")
    run = a_run(session, "m_1")
    writer.append(session, "m_1", [*begun("m_1"), finish()], **run_fields(run))
    run.refresh_from_db()
    assert (run.status, run.ended_at is not None) == ("ended", True)


# A session's last moments


def test_a_session_can_be_deleted_while_it_is_written_to(writer: Writer) -> None:
    session, other = a_session("guest:1"), a_session("guest:2")
    for one in (session, other):
        writer.append(one, "m_1", begun("m_1"))
    deleted = threading.Event()
    outcomes: list[AppendResult | HoldfastError] = []

    def publish() -> None:
        while not outcomes or isinstance(outcomes[-1], AppendResult):
            try:
                outcomes.append(writer.append(session, "m_1", [delta("x")]))
            except HoldfastError as problem:
                outcomes.append(problem)
        assert deleted.wait(30)

    publisher = threading.Thread(target=publish)
    publisher.start()
    while len(outcomes) < 5:
        pass
    purge.delete_sessions([session.pk])
    deleted.set()
    publisher.join(30)
    assert isinstance(outcomes[-1], HoldfastError) and outcomes[-1].code == "not_found"
    assert not models.Session.objects.filter(pk=session.pk).exists()
    assert unfolded() == 0
    writer.append(other, "m_1", [delta("unharmed"), finish()])
    assert text_of(other, "m_1") == "unharmed"


@pytest.mark.parametrize("journal_events", [3], indirect=True)
def test_the_stored_message_is_the_fold_of_the_shown_events(journal_events: None, writer: Writer) -> None:
    session = a_session("guest:1")
    random = Random(7)
    open_texts: dict[str, int] = {}
    for number in range(60):
        uid = random.choice(["m_1", "m_2", "m_3"])
        if uid not in open_texts:
            open_texts[uid] = 0
            writer.append(session, uid, begun(uid))
        else:
            writer.append(session, uid, [delta(f"{number} ")] * random.randint(1, 3))
    messages: dict[str, fold.MessageState] = {}
    for event in shown(writer, session):
        fold.fold(messages, event)
    for uid, message in messages.items():
        assert queries.message(session.pk, uid) == message
