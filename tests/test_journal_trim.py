"""The journal's rows go once their messages' rows hold them, oldest first; what is read stays the same throughout."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from sessions_app.core.branches import Place
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import JournalEntry, Message, Session
from sessions_app.retention import journal
from tests.support.stored import a_session, a_streaming_message, unfolded
from tests.support.writer import Writer, begun, delta, finish, serials, text_of, user_message, writer

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["writer"]


def ids() -> list[int]:
    return list(JournalEntry.objects.order_by("id").values_list("id", flat=True))


def trim_all() -> int:
    return journal.trim(journal.newest())


def test_rows_of_ended_messages_go(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1", "one "))
    writer.append(session, "m_1", [delta("two ")])
    writer.append(session, "m_1", [finish()])
    assert (trim_all(), trim_all(), ids()) == (1, 0, [])
    assert text_of(session, "m_1") == "one two "


def test_what_still_streams_is_folded_first(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1", "one "))
    writer.append(session, "m_1", [delta("two ")])
    last = journal.newest()
    writer.append(session, "m_1", [delta("three ")])
    assert (journal.trim(last), len(ids()), unfolded()) == (1, 1, 0)
    assert text_of(session, "m_1") == "one two three "
    writer.append(session, "m_1", [delta("four")])  # its writer goes on from memory
    assert text_of(session, "m_1") == "one two three four"
    writer.append(session, "m_1", [finish()])
    assert (text_of(session, "m_1"), serials(writer, session)[-1]) == ("one two three four", 7)


def test_rows_of_deleted_messages_go() -> None:
    message = a_streaming_message(a_session("guest:1"), "Hel", "lo")
    message.delete()
    assert len(ids()) == 1
    assert (trim_all(), ids()) == (1, [])


def test_more_messages_than_one_step_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FOLDED", 2)
    sessions = [a_session("guest:1") for _ in range(7)]
    messages = [a_streaming_message(session, "Hel", "lo") for session in sessions]
    assert journal.trim(journal.newest(), batch=3) == 7
    assert {text_of(message.session, message.uid) for message in messages} == {"Hello"}


def test_an_event_that_no_link_leads_to_does_not_hold_the_trim_up(caplog: pytest.LogCaptureFixture) -> None:
    session, other = a_session("guest:1"), a_session("guest:2")
    a_streaming_message(session, "Hel", "lo")
    Session.objects.filter(pk=session.pk).update(journal=0)
    message = a_streaming_message(other, "Hel", "lo")
    assert (trim_all(), len(ids())) == (1, 1)
    assert "can't be folded" in caplog.text
    assert text_of(other, message.uid) == "Hello"


def test_newer_rows_stay(writer: Writer) -> None:
    sessions = [a_session("guest:1") for _ in range(2)]
    for session in sessions:
        writer.append(session, "m_1", begun("m_1"))
        writer.append(session, "m_1", [delta("kept")])
    first, second = ids()
    assert journal.trim(first) == 1
    assert ids() == [second]
    assert [text_of(session, "m_1") for session in sessions] == ["kept", "kept"]


def test_ids_are_used_once(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    seen: set[int] = set()
    for number in range(3):
        writer.append(session, "m_1", [delta(str(number))])
        new = set(ids())
        assert new and min(new) > max(seen, default=0)
        seen |= new
        trim_all()


def test_a_refused_change_leaves_the_journal_linked(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_1", begun("m_1"))
    writer.append(session, "m_1", [delta("one ")])

    def refused(log: SessionLog) -> None:
        log.append("m_1", [delta("undone ")])
        raise HoldfastError("bad_signal")

    with writer.together():
        refusal = writer.change(session, refused)
        stored = writer.change(session, lambda log: log.append("m_1", [delta("two")]))
    with pytest.raises(HoldfastError, match="bad_signal"):
        refusal.result(30)
    stored.result(30)  # and folded: after a refusal a message is read again
    writer.append(session, "m_1", [delta(" three")])
    assert text_of(session, "m_1") == "one two three"
    assert [serial for serial, _ in queries.journal_after(session.pk, 0)] == [3, 5]


def test_a_replaced_message_that_streams_keeps_its_text(writer: Writer) -> None:
    session = a_session("guest:1")
    writer.append(session, "m_0", [user_message("Hi")])
    writer.append(session, "m_1", begun("m_1", "one "))
    writer.append(session, "m_1", [delta("two ")])
    writer.append(session, "m_2", begun("m_2"), place=Place("m_0", instead_of="m_1"))
    assert (text_of(session, "m_1"), unfolded()) == ("one two ", 0)
    writer.append(session, "m_1", [delta("three"), finish()])
    row = Message.objects.get(uid="m_1")
    assert (text_of(session, "m_1"), row.replaced_by) == ("one two three", "m_2")


def test_a_reused_id_shows_no_events_of_others(writer: Writer) -> None:
    """A restored database may give an id a second time."""
    session, other = a_session("guest:1"), a_session("guest:2")
    for each, text in ((session, "mine"), (other, "another's")):
        writer.append(each, "m_1", begun("m_1"))
        writer.append(each, "m_1", [delta(text)])
    other.refresh_from_db()
    Session.objects.filter(pk=session.pk).update(journal=other.journal)
    assert queries.journal_after(session.pk, 0) == []
    assert text_of(session, "m_1") == ""


@pytest.fixture(params=range(6))
def random(request: pytest.FixtureRequest) -> Random:
    return Random(request.param)


@pytest.fixture
def writers(settings: Any, random: Random) -> Iterator[list[Writer]]:
    """Writers of two processes that fold at different sizes."""
    settings.HOLDFAST = settings.HOLDFAST | {"JOURNAL_EVENTS": random.choice([2, 5, 1000])}
    with Writer() as one, Writer() as other:
        yield [one, other]


def test_messages_read_the_same_whatever_is_trimmed_when(random: Random, writers: list[Writer]) -> None:
    sessions = [a_session("guest:1") for _ in range(3)]
    texts: dict[tuple[Session, str], str] = {}
    ended: set[tuple[Session, str]] = set()
    newest = [0]
    for number in range(60):
        key = random.choice([(session, f"m_{name}") for session in sessions for name in (0, 1, number)])
        if key in ended:
            continue
        writer = writers[key[1] == "m_1"]  # a message's own
        if key not in texts:
            writer.append(*key, begun(key[1]))
        words = [f"{number}.{word} " for word in range(random.randint(1, 3))]
        writer.append(*key, [delta(word) for word in words])
        texts[key] = texts.get(key, "") + "".join(words)
        if random.random() < 0.1:
            writer.append(*key, [finish()])
            ended.add(key)
        newest.append(journal.newest())
        if random.random() < 0.3:
            journal.trim(random.choice(newest[-10:]), batch=random.choice([1, 3, 100]))
        assert {key: text_of(*key) for key in texts} == texts
    trim_all()
    assert (ids(), {key: text_of(*key) for key in texts}) == ([], texts)
