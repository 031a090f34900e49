"""Catch-up equals live: from every cut point, across conflation, a client ends with the fold of the whole log."""

import copy
import json
from random import Random
from typing import Any

import pytest

from sessions_app import models
from sessions_app.core import fold
from sessions_app.core.cursor import Cursor
from sessions_app.core.errors import HoldfastError
from sessions_app.core.snapshot import apply_attached, held
from sessions_app.delivery import catchup
from sessions_app.event_log import queries
from sessions_app.retention import purge as retention
from tests.core.sequences import response
from tests.support.stored import a_message, a_session, default_policy
from tests.support.writer import Writer, begun, delta, finish, user_message

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
Messages = dict[str, fold.MessageState]


@pytest.fixture
def limit(settings: Any) -> Any:
    """Set Holdfast's settings, for writers made afterwards."""

    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


def attach(session: models.Session, cursor: int | str | None, **more: Any) -> dict[str, Any]:
    where = (
        None if cursor is None else Cursor.parse(cursor) if isinstance(cursor, str) else Cursor(session.epoch, cursor)
    )
    frame = catchup.read(session.pk, OWNER, cursor=where, **more)
    return dict(json.loads(json.dumps(frame)))


def applied(messages: Messages, attached: Any, *, after: int = 0) -> Messages:
    """Return the messages of a client, as they were at serial `after`, once it has applied a catch-up."""
    state = copy.deepcopy(messages)
    apply_attached(state, attached, after=after)
    return state


def wire(messages: Messages) -> dict[str, Any]:
    return {id_: fold.to_wire(message) for id_, message in messages.items()}


def held_of(messages: Messages) -> dict[str, list[int]]:
    return {id_: held(message) for id_, message in messages.items() if not fold.ended(message)}


def script(seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Two answers at once between the turns of a person, chunk by chunk."""
    random = Random(seed)
    answers = {f"m_{number}": response(seed * 10 + number, length=25) for number in (1, 2, 3)}
    for uid, chunks in answers.items():
        chunks[0] = chunks[0] | {"messageId": uid}
    lines = []
    while any(answers.values()):
        uid = random.choice([uid for uid, chunks in answers.items() if chunks][:2])
        lines.append((uid, answers[uid].pop(0)))
        if random.random() < 0.05:
            lines.append((f"u_{len(lines)}", user_message("Hello 🙂")))
    return lines


@pytest.mark.parametrize(("seed", "journal_events"), [(0, 1), (1, 4), (2, 1000)])
def test_a_client_ends_with_the_whole_log_from_every_cut_point(seed: int, journal_events: int, limit: Any) -> None:
    limit(JOURNAL_EVENTS=journal_events)
    session, random = a_session(OWNER), Random(seed)
    whole: Messages = {}
    at: list[Messages] = [{}]  # by serial: what a client had then
    with Writer() as writer:
        for uid, chunk in script(seed):
            writer.append(session, uid, [chunk])
            fold.fold(whole, json.loads(writer.frames[-1].text)["events"][0])
            at.append(copy.deepcopy(whole))
            cut = random.randrange(len(at))
            check(session, at[cut], cut, whole)
        for cut in range(len(at)):
            check(session, at[cut], cut, whole)


def check(session: models.Session, had: Messages, cut: int, whole: Messages) -> None:
    for known in (held_of(had), None):
        answer = attach(session, cut, held=known)
        assert (answer["resumed"], answer["reason"]) == (True, None)
        assert wire(applied(had, answer)) == wire(whole), f"from {cut}, held {known}"


@pytest.mark.parametrize("seed", range(3))
def test_a_catch_up_and_the_events_after_it_make_the_whole_log(seed: int, limit: Any) -> None:
    limit(JOURNAL_EVENTS=3)
    session, random = a_session(OWNER), Random(seed)
    lines = script(seed)
    clients: list[Messages] = []
    whole: Messages = {}
    with Writer() as writer:
        for uid, chunk in lines:
            writer.append(session, uid, [chunk])
            event = json.loads(writer.frames[-1].text)["events"][0]
            for messages in (whole, *clients):
                fold.fold(messages, copy.deepcopy(event))
            if random.random() < 0.3:
                clients.append(applied({}, attach(session, random.choice([0, None]), rewind=200)))
    assert len(clients) > 10
    for messages in clients:
        assert wire(messages) == wire(whole)


@pytest.mark.parametrize("lie", [{"m_1": [9999]}, {"m_1": []}, {"none": [1]}, {"m_1": [1] * 500}, {"m_1": [0, 0, 3]}])
def test_a_client_with_a_false_state_is_handled(lie: dict[str, list[int]]) -> None:
    session = a_session(OWNER)
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1", "Hällo 🙂"))
        writer.append(session, "m_1", [delta(" and more")])
    answer = attach(session, 3, held=lie)
    assert answer["resumed"] is True
    assert answer["cursor"] == f"{session.epoch}-4"


def test_a_resume_costs_only_the_missed_content() -> None:
    session = a_session(OWNER)
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1", "x" * 50_000))
        writer.append(session, "m_1", [delta("the rest")])
    answer = attach(session, 3, held={"m_1": [50_000]})
    assert len(json.dumps(answer)) < 1000
    assert [part["text"] for part in answer["messages"][0]["parts"]] == ["the rest"]


def test_an_up_to_date_client_gets_nothing() -> None:
    session = a_session(OWNER)
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1", "so far"))
        assert attach(session, 3)["messages"] == []
        writer.append(session, "m_1", [finish()])
        assert attach(session, 4)["messages"] == []


# Rewind


def test_a_client_without_a_cursor_gets_the_newest_messages() -> None:
    session = a_session(OWNER)
    for number in range(1, 6):
        a_message(session, f"turn {number}")
    answer = attach(session, None, rewind=2)
    assert (answer["resumed"], answer["reason"], answer["older"]) == (False, None, True)
    assert [message["id"] for message in answer["messages"]] == ["m4", "m5"]
    assert attach(session, None)["older"] is False
    assert attach(session, None, rewind=0)["messages"] == []


def test_a_rewind_is_bounded_in_messages(limit: Any) -> None:
    limit(HISTORY_MAX=3)
    session = a_session(OWNER)
    for number in range(1, 6):
        a_message(session, f"turn {number}")
    assert len(attach(session, None, rewind=2**31)["messages"]) == 3


def test_a_rewind_is_bounded_in_bytes(limit: Any) -> None:
    limit(SNAPSHOT_BYTES=4096)
    session = a_session(OWNER)
    for _ in range(5):
        a_message(session, "x" * 1500)
    answer = attach(session, None)
    assert [message["id"] for message in answer["messages"]] == ["m4", "m5"]
    assert answer["older"] is True


# Reset


def test_another_epoch_is_a_reset() -> None:
    session = a_session(OWNER)
    a_message(session)
    answer = attach(session, "000000000000-1")
    assert (answer["resumed"], answer["reason"], len(answer["messages"])) == (False, "epoch-changed", 1)


def test_another_sessions_cursor_is_a_reset() -> None:
    session, other = a_session(OWNER), a_session(OWNER)
    for one in (session, other):
        a_message(one)
    assert attach(session, f"{other.epoch}-1")["reason"] == "epoch-changed"


def test_a_cursor_beyond_the_tail_is_a_reset() -> None:
    session = a_session(OWNER)
    a_message(session)
    assert attach(session, 2)["reason"] == "ahead"
    assert attach(session, 1)["reason"] is None


def test_content_removed_by_retention_causes_a_reset_until_the_client_is_past_it() -> None:
    session = a_session(OWNER, hours=100, active_at=retention.timezone.now())
    for hours in (90, 80, 1):
        a_message(session, hours=hours)
    for purged in (False, True):
        if purged:
            retention.purge()
        reasons = [attach(session, cut)["reason"] for cut in (0, 1, 2, 3)]
        assert reasons == ["trimmed", "trimmed", None, None]
        assert [message["id"] for message in attach(session, 0)["messages"]] == ["m3"]


def test_more_messages_than_one_catch_up_holds_cause_a_reset(limit: Any) -> None:
    limit(HISTORY_MAX=3, HISTORY_DEFAULT=2)
    session = a_session(OWNER)
    for _ in range(5):
        a_message(session)
    assert attach(session, 2)["reason"] is None
    answer = attach(session, 1)
    assert (answer["reason"], [message["id"] for message in answer["messages"]]) == ("too-far", ["m4", "m5"])


def test_more_bytes_than_one_catch_up_holds_cause_a_reset(limit: Any) -> None:
    limit(SNAPSHOT_BYTES=4096)
    session = a_session(OWNER)
    for _ in range(3):
        a_message(session, "x" * 1500)
    assert attach(session, 1)["reason"] is None
    assert attach(session, 0)["reason"] == "too-far"


# Doors


@pytest.mark.parametrize(("owner", "code"), [("guest:2", "not_found"), ("", "not_found"), (OWNER, "")])
def test_only_the_owner_may_catch_up(owner: str, code: str) -> None:
    session = a_session(OWNER)
    if not code:
        assert catchup.read(session.pk, owner, cursor=None)
        return
    with pytest.raises(HoldfastError, match=code):
        catchup.read(session.pk, owner, cursor=None)


def test_an_expired_session_is_reported_to_its_owner_alone() -> None:
    session = a_session(OWNER, hours=default_policy().hours + 1)
    with pytest.raises(HoldfastError, match="expired"):
        catchup.read(session.pk, OWNER, cursor=None)
    with pytest.raises(HoldfastError, match="not_found"):
        catchup.read(session.pk, "guest:2", cursor=None)


# One consistent read


def test_a_catch_up_reads_one_snapshot_while_others_write() -> None:
    session = a_session(OWNER)
    with Writer() as writer:
        writer.append(session, "m_1", begun("m_1"))
        waiting = [writer.submit(session, "m_1", [delta(f"{number} ")]) for number in range(300)]
        seen = set()
        while not waiting[-1].done():
            answer = attach(session, None)
            tail = Cursor.parse(answer["cursor"]).serial
            [message] = answer["messages"]
            assert message["last_serial"] == tail
            assert message["parts"][0]["text"] == "".join(f"{number} " for number in range(tail - 2))
            seen.add(tail)
    assert queries.message(session.pk, "m_1")
