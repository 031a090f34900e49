"""Groups of the log writer: text is shown and a lease renewed in time, however many people write at once."""

from concurrent.futures import Future
from typing import Any

import pytest

from sessions_app.event_log import writer as log_writer
from sessions_app.event_log.commands import DatabaseJob, SessionLog
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.writer import Writer, begun, delta, finish, text_end, text_of, writer

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 4 * log_writer.CHANGES
MANY_ENDS = 2 * log_writer.ENDS


def submit_beat(writer: Writer, made: list[Any]) -> "Future[int]":
    """Submit what stands for a lease's beat; the future is the number of `made` before it was stored."""
    future: Future[int] = Future()
    job = DatabaseJob(lambda: None, lambda _: future.set_result(len(made)), at_once=True)
    writer.log_writer.submit(job)
    return future


def test_a_beat_does_not_wait_for_hundreds_of_changes(writer: Writer) -> None:
    session = a_session("guest:1")
    made: list[int] = []

    def change(log: SessionLog, number: int) -> None:
        made.append(number)

    with writer.together():
        changes = [writer.change(session, change, number) for number in range(MANY)]
        beat = submit_beat(writer, made)
    assert beat.result(DEADLINE_S) <= log_writer.CHANGES
    for future in changes:
        future.result(DEADLINE_S)
    assert made == list(range(MANY))


def test_a_beat_does_not_wait_for_hundreds_of_ends(writer: Writer) -> None:
    sessions = [a_session("guest:1") for _ in range(MANY_ENDS)]
    for session in sessions:
        writer.append(session, "m_1", begun("m_1", "Hello"))
    writer.outcomes.clear()
    with writer.together():
        ends = [writer.submit(session, "m_1", [text_end(), finish()]) for session in sessions]
        beat = submit_beat(writer, writer.outcomes)
    assert beat.result(DEADLINE_S) <= log_writer.ENDS
    for future in ends:
        future.result(DEADLINE_S)


def test_text_does_not_wait_for_hundreds_of_ends(writer: Writer) -> None:
    sessions = [a_session("guest:1") for _ in range(MANY_ENDS)]
    speaks = a_session("guest:2")
    for session in (*sessions, speaks):
        writer.append(session, "m_1", begun("m_1", "Hello"))
    first = len(writer.frames)
    with writer.together():
        ends = [writer.submit(session, "m_1", [text_end(), finish()]) for session in sessions]
        text = writer.submit(speaks, "m_1", [delta(" there")])
    text.result(DEADLINE_S)
    for future in ends:
        future.result(DEADLINE_S)
    shown = [frame.session for frame in writer.frames[first:]]
    assert shown.index(speaks.pk) <= log_writer.ENDS


def test_what_is_of_one_session_keeps_its_order_in_a_crowd(writer: Writer) -> None:
    crowd = [a_session("guest:1") for _ in range(log_writer.CHANGES)]
    session = a_session("guest:2")
    made: list[str] = []

    def change(log: SessionLog, name: str) -> None:
        made.append(name)

    def job() -> None:
        made.append("job")

    writer.append(session, "m_1", begun("m_1", "Hello"))
    with writer.together():
        changes = [writer.change(each, change, "crowd") for each in crowd]
        changes.append(writer.change(session, change, "first"))
        text = writer.submit(session, "m_1", [delta(" there")])
        done: Future[object] = Future()
        writer.log_writer.submit(DatabaseJob(job, done.set_result))
        changes.append(writer.change(session, change, "second"))
    for future in (*changes, text, done):
        future.result(DEADLINE_S)
    assert made == ["crowd"] * log_writer.CHANGES + ["first", "second", "job"]
    assert text_of(session, "m_1") == "Hello there"
