"""A run's inbox: each signal to an agent at work arrives once, in order, from any process."""

from collections.abc import Iterator

import pytest

from sessions_app import models
from sessions_app.core import signals
from sessions_app.core.signals import Sent
from sessions_app.runs import inbox, lifecycle, signal_handlers
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session, a_signal
from tests.support.writer import Writer, a_run

pytestmark = pytest.mark.django_db(transaction=True)

STEERS = 20


@pytest.fixture
def two() -> Iterator[tuple[Writer, Writer]]:
    """The agent's process and another."""
    with Writer() as own, Writer() as other:
        yield own, other


class InboxReader:
    """A run's inbox, and the process's reads of it."""

    def __init__(self, writer: Writer, run: models.Run) -> None:
        self._writer = writer
        self._inboxes = inbox.RunInboxes(writer.log_writer)
        self._inbox = self._inboxes.open(run)

    def look(self) -> list[str]:
        """The ids of what was new."""
        self._writer.run(self._inboxes.poll())
        return [steer.id for steer in self._inbox.take_steers()]

    def check(self) -> None:
        self._writer.run(self._inboxes.check())

    @property
    def stopped(self) -> bool:
        return self._inbox.stop.is_set()


def steer(number: int) -> Sent:
    return Sent(f"steer-{number:04}", "steer", "guest:1", {"parts": [{"type": "text", "text": "Hello"}]})


def test_new_signals_are_read_once(two: tuple[Writer, Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session("guest:1", agent="test")
    other, run = a_run(session, "m_other"), a_run(a_session("guest:1", agent="test"), "m_1")
    reader, read, asked = InboxReader(two[0], run), inbox._read, []
    monkeypatch.setattr(inbox, "_read", lambda runs: asked.append(runs) or read(runs))
    a_signal(session, run=other, status="accepted")
    a_signal(run.session, run=run, status="applied")
    assert reader.look() == []
    for number in (1, 2):
        two[1].change(run.session, signal_handlers.handle, steer(number)).result(DEADLINE_S)
    assert (reader.look(), reader.look()) == (["steer-0001", "steer-0002"], [])
    two[1].change(run.session, signal_handlers.handle, steer(3)).result(DEADLINE_S)
    first = models.Signal.objects.get(uid="steer-0001")
    two[0].change(run.session, lifecycle.settle_by_key, first.pk, signals.APPLIED).result(DEADLINE_S)
    assert (reader.look(), reader.look()) == (["steer-0003"], [])
    assert asked == [[run.pk], [run.pk]]


def test_reads_concurrent_with_two_writers_miss_nothing(two: tuple[Writer, Writer]) -> None:
    """On PostgreSQL the writers' transactions overlap."""
    run = a_run(a_session("guest:1", agent="test"), "m_1")
    reader, got = InboxReader(two[0], run), []
    for number in range(0, STEERS, 2):
        stored = [two[n].change(run.session, signal_handlers.handle, steer(number + n)) for n in (0, 1)]
        got += reader.look()
        for each in stored:
            each.result(DEADLINE_S)
    got += reader.look()
    assert got == list(models.Signal.objects.order_by("serial").values_list("uid", flat=True))
    assert len(got) == STEERS


def test_a_run_is_stopped_by_a_cancel_and_by_another_process_ending_it(two: tuple[Writer, Writer]) -> None:
    cancelled, ended, kept = (a_run(a_session("guest:1", agent="test"), "m_1") for _ in range(3))
    readers = [InboxReader(two[0], run) for run in (cancelled, ended, kept)]
    two[1].change(cancelled.session, signal_handlers.handle, Sent("stop-0001", "cancel", "guest:1")).result(DEADLINE_S)
    for reader in readers:
        reader.look()
    assert [reader.stopped for reader in readers] == [True, False, False]
    models.Run.objects.filter(pk=ended.pk).update(status="ended")
    for reader in readers:
        reader.check()  # it may just be being stored
    assert [reader.stopped for reader in readers] == [True, False, False]
    for reader in readers:
        reader.check()
    assert [reader.stopped for reader in readers] == [True, True, False]
