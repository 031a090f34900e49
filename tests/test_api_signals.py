"""The API's signals: listed in their wire form, in pages of both directions."""

from typing import Any

import orjson
import pytest

from sessions_app.models import Session
from tests.support.api import alice, refusal, session, walk
from tests.support.stored import a_message, a_session, a_signal, hours_ago

__all__ = ["alice", "session"]  # fixtures

# Without a transaction around the test: they are read in one of their own.
pytestmark = pytest.mark.django_db(transaction=True)


def path(session: Session) -> str:
    return f"/api/sessions/{session.pk}/signals/"


def ids(page: Any) -> list[int]:
    """The numbers in their ids, which are the serials at which they were stored."""
    return [int(record["id"].removeprefix("signal-")) for record in page["results"]]


def test_a_signal_is_listed_in_its_wire_form(alice: Any, session: Session) -> None:
    payload = {"message": "m_1", "call": "call_1", "output": "secret of who gave it"}
    signal = a_signal(
        session, kind="tool-result", status="rejected", code="already_decided", reason="The result was given.",
        message="m_1", payload=orjson.dumps(payload).decode(),
    )  # fmt: skip
    assert alice.get(path(session)).json() == {
        "next": None,
        "previous": None,
        "results": [
            {
                "id": "signal-1",
                "kind": "tool-result",
                "status": "rejected",
                "code": "already_decided",
                "reason": "The result was given.",
                "actor": alice.owner,
                "at": round(signal.created_at.timestamp() * 1000),
                "message": "m_1",
                "payload": {"call": "call_1"},
            }
        ],
    }


def test_a_session_without_signals_has_one_empty_page(alice: Any, session: Session) -> None:
    for order in ("newest", "oldest"):
        assert alice.get(f"{path(session)}?order={order}").json() == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    ("order", "pages"),
    [("newest", [[11, 9, 7], [5, 3, 1]]), ("oldest", [[1, 3, 5], [7, 9, 11]])],
)
def test_pages_go_in_both_orders_and_back(alice: Any, session: Session, order: str, pages: Any) -> None:
    for _ in range(6):
        a_signal(session)
        a_message(session)  # serials are of messages too
    first = alice.get(f"{path(session)}?limit=3&order={order}").json()
    assert walk(alice, f"{path(session)}?limit=3&order={order}", "next", ids) == pages
    second = alice.get(first["next"]).json()
    assert ids(alice.get(second["previous"]).json()) == pages[0]


def test_pages_stay_correct_while_signals_arrive_and_change(alice: Any, session: Session) -> None:
    changing, *_ = [a_signal(session) for _ in range(4)]
    page = alice.get(f"{path(session)}?limit=2").json()
    a_signal(session)
    changing.last_serial = 9
    changing.save()
    assert ids(alice.get(page["next"]).json()) == [2, 1]


def test_before_and_after_list_the_neighbours_of_a_serial(alice: Any, session: Session) -> None:
    for _ in range(5):
        a_signal(session)
    assert ids(alice.get(f"{path(session)}?before=4&limit=2").json()) == [3, 2]
    assert ids(alice.get(f"{path(session)}?after=3&order=oldest").json()) == [4, 5]


def test_a_page_of_large_payloads_is_shorter_and_loses_none(alice: Any, session: Session, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "SNAPSHOT_BYTES": 5000}
    for size in (2000, 2000, 9000, 2000):
        a_signal(session, payload=orjson.dumps({"parts": [{"type": "text", "text": "x" * size}]}).decode())
    assert walk(alice, path(session), "next", ids) == [[4], [3], [2, 1]]
    assert walk(alice, f"{path(session)}?order=oldest", "next", ids) == [[1, 2], [3], [4]]


def test_expired_signals_are_left_out_and_open_ones_are_not(alice: Any) -> None:
    session = a_session(alice.owner, created_at=hours_ago(200))
    for status in ("applied", "accepted", "delivered", "rejected", "expired"):
        a_signal(session, hours=100, status=status)
    assert ids(alice.get(path(session)).json()) == [3, 2]
    Session.objects.update(held=True)
    assert ids(alice.get(path(session)).json()) == [5, 4, 3, 2, 1]


def test_a_list_holds_only_its_sessions_signals(alice: Any, session: Session) -> None:
    a_signal(a_session(alice.owner))
    a_signal(a_session("guest:2"))
    assert alice.get(path(session)).json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"}, {"limit": "-1"}, {"limit": "1e3"}, {"limit": "100000"}, {"before": "0"}, {"before": "x"},
        {"after": "-1"}, {"after": str(2**64)}, {"before": "5", "after": "1"}, {"order": "random"}, {"befor": "2"},
        {"since": "0123456789ab-0"},
    ],
)  # fmt: skip
def test_a_bad_query_is_refused(alice: Any, session: Session, query: dict[str, str]) -> None:
    assert refusal(alice.get(path(session), query)) == (400, "invalid")


def test_reading_a_page_takes_few_queries(alice: Any, session: Session, django_assert_max_num_queries: Any) -> None:
    for _ in range(20):
        a_signal(session)
    with django_assert_max_num_queries(7):
        assert len(alice.get(path(session)).json()["results"]) == 20


def test_an_expired_session_is_reported_to_its_owner(alice: Any) -> None:
    assert refusal(alice.get(path(a_session(alice.owner, hours=100)))) == (410, "expired")


def test_signal_content_is_returned_as_data(alice: Any, session: Session) -> None:
    text = "<script>alert(1)</script>\u2028 ' OR 1=1 --"
    a_signal(session, payload=orjson.dumps({"parts": [{"type": "text", "text": text}]}).decode())
    response = alice.get(path(session))
    assert response.headers["Content-Type"] == "application/json"
    assert "no-store" in response.headers["Cache-Control"]
    assert response.json()["results"][0]["payload"]["parts"][0]["text"] == text


def test_too_many_reads_get_a_retry_time(alice: Any, session: Session, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "READS_PER_MINUTE": 2}
    assert [alice.get(path(session)).status_code for _ in range(3)] == [200, 200, 429]
