"""Groups of the log writer: a lease is renewed in time, however many people write at once."""

from concurrent.futures import Future
from typing import Any

import pytest

from sessions_app.event_log import writer as log_writer
from sessions_app.event_log.commands import DatabaseJob, SessionLog
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.writer import Writer, begun, finish, text_end, writer

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 4 * log_writer.CHANGES


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
    sessions = [a_session("guest:1") for _ in range(MANY)]
    for session in sessions:
        writer.append(session, "m_1", begun("m_1", "Hello"))
    writer.outcomes.clear()
    with writer.together():
        ends = [writer.submit(session, "m_1", [text_end(), finish()]) for session in sessions]
        beat = submit_beat(writer, writer.outcomes)
    assert beat.result(DEADLINE_S) <= log_writer.CHANGES
    for future in ends:
        future.result(DEADLINE_S)
