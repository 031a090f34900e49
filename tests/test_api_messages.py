"""The API's history: pages in both directions, the response in progress, and changes since a cursor."""

from typing import Any

import orjson
import pytest

from sessions_app.event_log import queries
from sessions_app.models import Message, Session
from tests.support.api import alice, refusal, session, walk
from tests.support.stored import a_message, a_session, a_streaming_message, hours_ago

__all__ = ["alice", "session"]  # fixtures

# Without a transaction around the test: the history is read in one of its own.
pytestmark = pytest.mark.django_db(transaction=True)


def path(session: Session) -> str:
    return f"/api/sessions/{session.pk}/messages/"


def serials(page: Any) -> list[int]:
    return [message["first_serial"] for message in page["results"]]


def test_a_message_is_listed_in_its_wire_form(alice: Any, session: Session) -> None:
    message = a_message(session, "Hi")
    (given,) = alice.get(path(session)).json()["results"]
    assert given == {
        "id": message.uid,
        "role": "user",
        "status": "complete",
        "reason": None,
        "metadata": None,
        "first_serial": 1,
        "last_serial": 1,
        "created_at": round(message.created_at.timestamp() * 1000),
        "parent": None,
        "continues": None,
        "replaced_by": None,
        "parts": [{"type": "text", "text": "Hi"}],
        "open": given["open"],
    }


def test_a_response_in_progress_is_listed_as_far_as_written(alice: Any, session: Session) -> None:
    a_streaming_message(session, "Hel", "lo")
    (given,) = alice.get(path(session)).json()["results"]
    assert (given["status"], given["parts"][0]["text"], given["last_serial"]) == ("streaming", "Hello", 2)


def test_an_empty_session_has_one_empty_page(alice: Any, session: Session) -> None:
    for order in ("newest", "oldest"):
        page = alice.get(f"{path(session)}?order={order}").json()
        assert page == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    ("order", "pages"),
    [("newest", [[7, 6, 5], [4, 3, 2], [1]]), ("oldest", [[1, 2, 3], [4, 5, 6], [7]])],
)
def test_pages_go_in_both_orders_and_back(alice: Any, session: Session, order: str, pages: Any) -> None:
    for _ in range(7):
        a_message(session)
    assert walk(alice, f"{path(session)}?limit=3&order={order}", "next", serials) == pages
    second = alice.get(alice.get(f"{path(session)}?limit=3&order={order}").json()["next"]).json()
    assert serials(second) == pages[1]
    assert serials(alice.get(second["previous"]).json()) == pages[0]


def test_before_and_after_list_the_neighbours_of_a_message(alice: Any, session: Session) -> None:
    for _ in range(7):
        a_message(session)
    assert serials(alice.get(f"{path(session)}?before=5&limit=2").json()) == [4, 3]
    assert serials(alice.get(f"{path(session)}?after=5&limit=1&order=newest").json()) == [6]
    assert serials(alice.get(f"{path(session)}?before=3&order=oldest").json()) == [1, 2]


def test_pages_stay_correct_while_messages_arrive(alice: Any, session: Session) -> None:
    for _ in range(4):
        a_message(session)
    page = alice.get(f"{path(session)}?limit=2").json()
    a_message(session)
    assert serials(alice.get(page["next"]).json()) == [2, 1]


def test_a_page_of_long_messages_is_shorter_and_loses_none(alice: Any, session: Session, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "SNAPSHOT_BYTES": 5000}
    for _ in range(5):
        a_message(session, "x" * 2000)
    assert walk(alice, path(session), "next", serials) == [[5, 4], [3, 2], [1]]
    assert walk(alice, f"{path(session)}?order=oldest", "next", serials) == [[1, 2], [3, 4], [5]]


def test_a_message_that_is_too_long_for_a_page_comes_alone(alice: Any, session: Session, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "SNAPSHOT_BYTES": 5000}
    for _ in range(2):
        a_message(session, "x" * 9000)
    assert walk(alice, path(session), "next", serials) == [[2], [1]]


def test_expired_messages_are_left_out(alice: Any) -> None:
    session = a_session(alice.owner, created_at=hours_ago(100))
    a_message(session, hours=80)
    a_message(session)
    assert serials(alice.get(path(session)).json()) == [2]


def test_since_lists_the_changes_after_a_cursor(alice: Any, session: Session) -> None:
    for text in ("one", "two", "three"):
        a_message(session, text)
    changes = alice.get(f"{path(session)}?since={session.epoch}-2").json()
    assert (changes["cursor"], changes["resumed"], changes["reason"]) == (f"{session.epoch}-3", True, None)
    assert [(message["id"], message["from"], message["at"]) for message in changes["messages"]] == [("m3", 0, 0)]
    assert "type" not in changes


def test_since_the_tail_lists_nothing(alice: Any, session: Session) -> None:
    a_message(session)
    changes = alice.get(f"{path(session)}?since={session.epoch}-1").json()
    assert (changes["messages"], changes["cursor"]) == ([], f"{session.epoch}-1")


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("{epoch}-9", "ahead"), ("0123456789ab-1", "epoch-changed"), ("{epoch}-1", "trimmed")],
)
def test_a_cursor_that_cannot_be_resumed_is_a_reset(alice: Any, session: Session, cursor: str, reason: str) -> None:
    for _ in range(3):
        a_message(session)
    Session.objects.filter(pk=session.pk).update(trimmed=2)
    response = alice.get(path(session), {"since": cursor.format(epoch=session.epoch)})
    assert response.status_code == 410
    body = response.json()
    assert (body["code"], body["reason"], body["cursor"]) == ("reset", reason, f"{session.epoch}-3")
    assert (body["retryable"], bool(body["message"])) == (False, True)


def test_a_message_hidden_but_not_yet_removed_is_a_reset_too(alice: Any, session: Session) -> None:
    a_message(session, hours=80)
    a_message(session)
    response = alice.get(path(session), {"since": f"{session.epoch}-0"})
    assert (response.status_code, response.json()["reason"]) == (410, "trimmed")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "-5"},
        {"limit": "all"},
        {"limit": "1" * 2000},
        {"before": "0"},
        {"before": "1.5"},
        {"before": str(2**63)},
        {"after": "-1"},
        {"after": "1 OR 1=1"},
        {"before": "2", "after": "1"},
        {"since": "0123456789ab-1", "after": "1"},
        {"order": "random"},
        {"befor": "2"},
    ],
)
def test_a_bad_query_is_refused(alice: Any, session: Session, query: dict[str, str]) -> None:
    assert refusal(alice.get(path(session), query)) == (400, "invalid")


@pytest.mark.parametrize("cursor", ["x", "-1", "0123456789ab-01", "' OR 1=1-1", "0-" + "9" * 16])
def test_a_bad_cursor_is_refused(alice: Any, session: Session, cursor: str) -> None:
    assert refusal(alice.get(path(session), {"since": cursor})) == (400, "bad_cursor")


def test_reading_a_page_takes_few_queries(alice: Any, session: Session, django_assert_max_num_queries: Any) -> None:
    for _ in range(20):
        a_message(session)
    with django_assert_max_num_queries(6):
        alice.get(path(session))


def test_a_session_deleted_while_it_is_read_is_not_found(
    alice: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, readable = path(session), queries.readable

    def readable_then_deleted(*args: str) -> Session:
        found = readable(*args)
        session.delete()
        return found

    monkeypatch.setattr(queries, "readable", readable_then_deleted)
    assert refusal(alice.get(address)) == (404, "not_found")


def test_message_content_is_returned_as_data(alice: Any, session: Session) -> None:
    text = "<script>alert(1)</script>\u2028\x00 ' OR 1=1 --"
    a_message(session, text)
    response = alice.get(path(session))
    assert response.headers["Content-Type"] == "application/json"
    assert orjson.loads(response.content)["results"][0]["parts"][0]["text"] == text


@pytest.fixture
def regenerated(session: Session) -> Session:
    """A session whose first answer was regenerated twice."""
    a_message(session, "Hello", uid="u_1")
    for uid, replaced_by in (("m_1", "m_2"), ("m_2", "m_3"), ("m_3", None)):
        a_message(session, uid, uid=uid, role="assistant", parent="u_1", replaced_by=replaced_by)
    return session


def ids(page: Any) -> list[str]:
    return [message["id"] for message in page["results"]]


def test_replaced_messages_are_listed_only_on_request(alice: Any, regenerated: Session) -> None:
    assert ids(alice.get(path(regenerated)).json()) == ["m_3", "u_1"]
    everything = alice.get(path(regenerated), {"replaced": "true"}).json()
    assert ids(everything) == ["m_3", "m_2", "m_1", "u_1"]
    assert [message["replaced_by"] for message in everything["results"]] == [None, "m_3", "m_2", None]


def test_pages_do_not_count_replaced_messages(alice: Any, regenerated: Session) -> None:
    for replaced, shown in (("true", [["m_3", "m_2", "m_1"], ["u_1"]]), ("false", [["m_3"], ["u_1"]])):
        first = alice.get(path(regenerated), {"replaced": replaced, "limit": 1}).json()
        second = alice.get(first["next"]).json()
        assert [ids(first), ids(second), second["next"]] == [*shown, None]


def test_changes_name_the_replaced_messages(alice: Any, regenerated: Session) -> None:
    since = {"since": f"{regenerated.epoch}-3"}
    changes = alice.get(path(regenerated), since).json()
    assert ([message["id"] for message in changes["messages"]], changes["replaced"]) == (["m_3"], [])
    Message.objects.filter(uid="m_2").update(last_serial=4)
    assert alice.get(path(regenerated), since).json()["replaced"] == ["m_2"]
    changes = alice.get(path(regenerated), since | {"replaced": "true"}).json()
    assert ([message["id"] for message in changes["messages"]], changes["replaced"]) == (["m_2", "m_3"], [])


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_replaced_is_true_or_false(alice: Any, session: Session, value: str) -> None:
    assert alice.get(path(session), {"replaced": value}).status_code == 400
