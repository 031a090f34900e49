"""The API's sessions: list, create, read, rename, delete, as their owner."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.test import Client

from sessions_app import conf
from sessions_app.event_log import queries
from sessions_app.event_log.moments import milliseconds
from sessions_app.models import Message, RetentionPolicy, Session
from tests.support.api import alice, refusal
from tests.support.stored import a_message, a_session, a_streaming_message, guest, unfolded

__all__ = ["alice"]  # a fixture

pytestmark = pytest.mark.django_db
SESSIONS = "/api/sessions/"


def create(client: Client, **fields: Any) -> Any:
    return client.post(SESSIONS, fields, content_type="application/json")


def patch(client: Client, session: Session, **fields: Any) -> Any:
    return client.patch(f"{SESSIONS}{session.pk}/", fields, content_type="application/json")


def test_a_session_is_created_with_the_sites_defaults(alice: Any) -> None:
    response = create(alice)
    assert response.status_code == 201
    session = Session.objects.get(owner=alice.owner)
    assert response.json() == {
        "id": session.pk,
        "external_id": None,
        "title": "",
        "agent": conf.settings.default_agent,
        "policy": "Three days",
        "cursor": f"{session.epoch}-0",
        "streaming": False,
        "held": False,
        "created_at": milliseconds(session.created_at),
        "active_at": milliseconds(session.active_at),
        "expires_at": milliseconds(session.active_at) + 72 * 3_600_000,
    }


def test_a_session_is_created_as_requested(alice: Any) -> None:
    body = create(alice, title="Trip to Rome 🛵", agent="", policy="One day").json()
    assert (body["title"], body["agent"], body["policy"]) == ("Trip to Rome 🛵", "", "One day")


def test_sessions_are_listed_by_last_activity(alice: Any) -> None:
    oldest, newest, middle = (a_session(alice.owner, hours=hours) for hours in (9, 1, 5))
    listed = alice.get(SESSIONS).json()
    assert [item["id"] for item in listed["results"]] == [newest.pk, middle.pk, oldest.pk]
    assert listed["next"] is None and listed["previous"] is None


def test_page_links_name_no_host(alice: Any) -> None:
    ids = [a_session(alice.owner, hours=hours).pk for hours in range(5)]
    seen, link = [], f"{SESSIONS}?limit=2"
    while link:
        assert link.startswith(SESSIONS)
        page = alice.get(link).json()
        seen.append([item["id"] for item in page["results"]])
        link = page["next"]
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    back = alice.get(page["previous"]).json()
    assert [item["id"] for item in back["results"]] == ids[2:4]


def test_pages_stay_correct_while_a_session_moves_to_the_top(alice: Any) -> None:
    ids = [a_session(alice.owner, hours=hours).pk for hours in range(1, 5)]
    page = alice.get(f"{SESSIONS}?limit=2").json()
    a_session(alice.owner)
    assert [item["id"] for item in alice.get(page["next"]).json()["results"]] == ids[2:]


def test_streaming_sessions_are_marked(alice: Any) -> None:
    quiet, busy = a_session(alice.owner, hours=1), a_session(alice.owner)
    a_message(quiet)
    a_streaming_message(busy, "Hel", "lo")
    listed = {item["id"]: item["streaming"] for item in alice.get(SESSIONS).json()["results"]}
    assert listed == {quiet.pk: False, busy.pk: True}
    assert alice.get(f"{SESSIONS}{busy.pk}/").json()["streaming"] is True


def test_the_lists_query_count_does_not_depend_on_its_length(alice: Any, django_assert_max_num_queries: Any) -> None:
    for hours in range(30):
        a_session(alice.owner, hours=hours)
    with django_assert_max_num_queries(2):  # the policies, then the sessions
        assert len(alice.get(SESSIONS).json()["results"]) == 30


def test_expired_sessions_are_left_out(alice: Any) -> None:
    a_session(alice.owner, hours=73)
    assert alice.get(SESSIONS).json()["results"] == []


def test_a_session_on_hold_does_not_expire(alice: Any) -> None:
    held = a_session(alice.owner, hours=1000, held=True)
    listed = alice.get(SESSIONS).json()["results"]
    assert [(item["id"], item["held"], item["expires_at"]) for item in listed] == [(held.pk, True, None)]
    assert alice.get(f"{SESSIONS}{held.pk}/").status_code == 200


def test_ones_own_expired_session_is_gone(alice: Any) -> None:
    session = a_session(alice.owner, hours=73)
    for response in (alice.get(f"{SESSIONS}{session.pk}/"), patch(alice, session, title="x")):
        assert refusal(response) == (410, "expired")


def test_a_session_is_renamed(alice: Any) -> None:
    session = a_session(alice.owner, title="Old")
    response = patch(alice, session, title="New")
    session.refresh_from_db()
    assert (response.status_code, response.json()["title"], session.title) == (200, "New", "New")


def test_a_sessions_policy_is_changed(alice: Any) -> None:
    session = a_session(alice.owner, hours=30)
    assert patch(alice, session, policy="One day").json()["policy"] == "One day"
    assert refusal(alice.get(f"{SESSIONS}{session.pk}/")) == (410, "expired")


def test_a_policy_longer_than_the_site_allows_is_refused(alice: Any) -> None:
    RetentionPolicy.objects.create(name="For ever", hours=100_000)
    response = patch(alice, a_session(alice.owner), policy="For ever")
    assert response.json()["fields"] == {"policy": ["Unknown policy. Available: One day, Two days, Three days."]}


def test_a_rename_does_not_disturb_a_concurrent_writer(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = a_session(alice.owner)
    read = queries.readable

    def read_and_publish(*args: Any) -> Session:
        found = read(*args)
        Session.objects.filter(pk=session.pk).update(tail=7)  # a commit between the request's read and its write
        return found

    monkeypatch.setattr(queries, "readable", read_and_publish)
    assert patch(alice, session, title="New").status_code == 200
    session.refresh_from_db()
    assert (session.title, session.tail) == ("New", 7)


def test_a_session_is_deleted_with_everything_that_belongs_to_it(alice: Any) -> None:
    session, other = a_session(alice.owner), a_session(alice.owner)
    for kept_or_not in (session, other):
        a_message(kept_or_not)
        a_streaming_message(kept_or_not, "Hel", "lo")
    response = alice.delete(f"{SESSIONS}{session.pk}/")
    assert (response.status_code, response.content) == (204, b"")
    assert refusal(alice.get(f"{SESSIONS}{session.pk}/")) == (404, "not_found")
    assert list(Session.objects.all()) == [other]
    assert (Message.objects.count(), unfolded()) == (2, 1)


def test_a_session_on_hold_is_not_deleted(alice: Any) -> None:
    session = a_session(alice.owner, held=True)
    assert refusal(alice.delete(f"{SESSIONS}{session.pk}/")) == (409, "session_held")
    assert Session.objects.exists()


def test_sessions_beyond_the_owners_limit_are_refused(alice: Any, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "SESSIONS_PER_OWNER": 2}
    a_session(alice.owner, hours=73)  # doesn't count
    assert [create(alice).status_code for _ in range(3)] == [201, 201, 409]
    assert create(guest()).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"title": None}, "title"),
        ({"title": ["x"]}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"agent": "nobody-knows-it"}, "agent"),
        ({"policy": "'; DROP TABLE sessions_app_session; --"}, "policy"),
        ({"policy": {"name": "One day"}}, "policy"),
        ({"policy": "\x00"}, "policy"),
        ({"titel": "x"}, "titel"),
        ({"owner": "user:1"}, "owner"),
        ({"held": True}, "held"),
        ({"tail": 5}, "tail"),
        ({"epoch": "0"}, "epoch"),
        ({"id": "x" * 22}, "id"),
        ([], "non_field_errors"),
        ("title", "non_field_errors"),
    ],
)
def test_invalid_fields_are_refused(alice: Any, body: Any, field: str) -> None:
    session = a_session(alice.owner, title="Old")
    before = Session.objects.values().get()
    for send, path in ((alice.post, SESSIONS), (alice.patch, f"{SESSIONS}{session.pk}/")):
        response = send(path, orjson.dumps(body), content_type="application/json")
        assert refusal(response) == (400, "invalid")
        assert list(response.json()["fields"]) == [field]
    assert Session.objects.values().get() == before


def test_a_sessions_agent_cannot_be_changed(alice: Any) -> None:
    session = a_session(alice.owner, agent="demo")
    assert refusal(patch(alice, session, agent="")) == (400, "invalid")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b" ", (400, "bad_json")),
        (b"{", (400, "bad_json")),
        (b'{"title": NaN}', (400, "bad_json")),
        (b'{"title": "\\ud800"}', (400, "bad_json")),
        (b'{"title": "\xff"}', (400, "bad_json")),
        (b"[" * 30_000, (400, "bad_json")),
        (b'{"title": "' + b"x" * 70_000 + b'"}', (413, "body_too_large")),
    ],
)
def test_an_invalid_body_is_refused(alice: Any, body: bytes, expected: tuple[int, str]) -> None:
    assert refusal(alice.post(SESSIONS, body, content_type="application/json")) == expected


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=201", "limit=x", "limit=1e9", "offset=5"])
def test_an_invalid_page_is_refused(alice: Any, query: str) -> None:
    assert refusal(alice.get(f"{SESSIONS}?{query}")) == (400, "invalid")


POSITIONS = [
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-11-30", "2026-11-30 10:00:00", "2026-13-45 10:00Z",
    "", "now", "\x00", "2026-11-30 10:00:00+99:99", "1", "é", "' OR 1=1 --", "9" * 400, "2026-11-30 10:00:00+00:00\x00",
]  # fmt: skip


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("more", ["", "r=1&", "o=1&", "o=999&r=0&"])
def test_an_invented_position_is_refused(alice: Any, position: str, more: str) -> None:
    a_session(alice.owner)
    cursor = b64encode(f"{more}{urlencode({'p': position})}".encode()).decode()
    assert refusal(alice.get(SESSIONS, {"cursor": cursor})) == (404, "bad_page")


@pytest.mark.parametrize("given", ["o=-1", "o=x", "r=x", "o=" + "9" * 600, "r=" + "9" * 600, "&" * 600, "o=1&o=x", "p"])
def test_an_invented_page_never_fails(alice: Any, given: str) -> None:
    assert alice.get(SESSIONS, {"cursor": b64encode(given.encode()).decode()}).status_code in (200, 400, 404)


@pytest.mark.parametrize("cursor", ["x", "cD1ub3dhdGltZQ==", "cD0lMDA=", "%00"])
def test_a_forged_page_is_refused(alice: Any, cursor: str) -> None:
    a_session(alice.owner)
    assert refusal(alice.get(SESSIONS, {"cursor": cursor}))[1] in ("bad_page", "invalid")
