"""Signals in a catch-up: within the bytes of one answer, the newest ones; what a resume can't hold is a reset."""

from typing import Any

import orjson
import pytest

from sessions_app import models
from sessions_app.core.cursor import Cursor
from sessions_app.delivery import catchup
from sessions_app.event_log import queries
from tests.support.stored import a_message, a_session, a_streaming_message

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
BOUND = 65_536
LONG = "x" * 4000


@pytest.fixture(autouse=True)
def bound(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"SNAPSHOT_BYTES": BOUND}


def steers(session: models.Session, count: int, text: str = LONG, **fields: Any) -> list[str]:
    """Store open steers; return their ids in order."""
    payload = orjson.dumps({"parts": [{"type": "text", "text": text}]}).decode()
    fields = {"kind": "steer", "actor": OWNER, "status": "accepted", "payload": payload} | fields
    first = session.tail + 1
    rows = [
        models.Signal(session=session, uid=f"{fields['kind']}-{n:04}", serial=n, last_serial=n, **fields)
        for n in range(first, first + count)
    ]
    models.Signal.objects.bulk_create(rows)
    session.tail += count
    session.save(update_fields=["tail"])
    return [row.uid for row in rows]


def attach(session: models.Session, after: int | None = None) -> Any:
    cursor = None if after is None else Cursor(session.epoch, after)
    return catchup.read(session.pk, OWNER, cursor=cursor)


def size(frame: Any) -> int:
    return len(orjson.dumps(frame))


def ids(frame: Any) -> list[str]:
    return [record["id"] for record in frame["signals"]]


@pytest.mark.parametrize("status", ["accepted", "applied"])
def test_an_attach_has_the_newest_signals_within_its_bytes_and_the_api_has_the_rest(status: str) -> None:
    session = a_session(OWNER)
    sent = steers(session, 60, status=status)
    frame = attach(session)
    assert size(frame) <= BOUND
    assert ids(frame) == sent[-len(ids(frame)) :] and len(ids(frame)) >= 5
    records = queries.signal_history(session.pk, limit=200, after=0).records
    assert ids({"signals": [record for _, record in records]}) == sent[: len(records)]
    assert frame["older"] is (status == "accepted")  # of settled ones, an attach has never had all


def test_signals_leave_half_of_an_attach_to_the_newest_messages() -> None:
    session = a_session(OWNER)
    messages = [a_message(session, LONG).uid for _ in range(20)]
    steers(session, 60)
    frame = attach(session)
    shown = [message["id"] for message in frame["messages"]]
    assert size(frame) <= BOUND
    assert shown == messages[-len(shown) :] and len(shown) >= 5


def test_few_signals_are_all_there() -> None:
    session = a_session(OWNER)
    settled = steers(session, 5, "Shorter", status="applied", kind="cancel")
    sent = steers(session, 5, "Shorter")
    frame = attach(session)
    assert ids(frame) == settled + sent and frame["older"] is False


def test_a_resume_has_all_changed_signals_or_is_a_bounded_reset() -> None:
    session = a_session(OWNER)
    sent = steers(session, 60)
    resumed = attach(session, after=50)
    assert resumed["resumed"] and ids(resumed) == sent[50:]
    reset = attach(session, after=10)
    assert (reset["resumed"], reset["reason"]) == (False, "too-far")
    assert size(reset) <= BOUND and ids(reset) == sent[-len(ids(reset)) :]


def test_messages_and_signals_of_a_resume_share_its_bytes() -> None:
    session = a_session(OWNER)
    for _ in range(10):
        a_message(session, LONG)
    steers(session, 10)
    assert attach(session, after=1)["reason"] == "too-far"
    assert attach(session, after=8)["resumed"]


def test_more_streaming_text_than_one_answer_holds_is_a_reset() -> None:
    session = a_session(OWNER)
    for _ in range(20):
        a_streaming_message(session, LONG, "")
        session.refresh_from_db()
    frame = attach(session, after=1)
    assert frame["reason"] == "too-far" and size(frame) <= 1.1 * BOUND  # what messages have besides their parts
