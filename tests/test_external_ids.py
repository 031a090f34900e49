"""A client's own ids of sessions: unique among one person's, unknown to all others."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from sessions_app.auth.identity import Identity, identify_by_token
from sessions_app.auth.middleware import give_guests_sessions_to_user
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.fairness.payer import payer_of
from sessions_app.http import own_sessions
from sessions_app.http.own_sessions import own_or_new_session, own_session
from sessions_app.models import Session
from sessions_app.retention import purge
from tests.support.api import alice, refusal
from tests.support.stored import a_message, a_session, a_streaming_message, guest
from tests.support.tokens import KEYS, SUB, bearer, token

__all__ = ["alice"]  # a fixture

pytestmark = pytest.mark.django_db
SESSIONS = "/api/sessions/"
ID = "chat_1.2:3-X"
ALICE = Identity("user:1")


def create(client: Client, external_id: Any = ID, **fields: Any) -> Any:
    return client.post(SESSIONS, {"external_id": external_id} | fields, content_type="application/json")


def found(client: Client, external_id: str = ID) -> list[str]:
    return [item["id"] for item in client.get(SESSIONS, {"external_id": external_id}).json()["results"]]


def new(identity: Identity, id_: str | None = ID) -> tuple[Session, bool]:
    return own_or_new_session(identity, id_, payer_of(identity, "192.0.2.1"))


def code(call: Callable[[], object]) -> str:
    with pytest.raises(HoldfastError) as refused:
        call()
    return refused.value.code


class TestRestApi:
    def test_the_first_request_creates_a_session_and_the_next_finds_it(self, alice: Any) -> None:
        first, second = create(alice, title="Rome"), create(alice, title="Paris")
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == second.json()
        assert (first.json()["external_id"], first.json()["title"]) == (ID, "Rome")

    def test_a_session_that_is_found_says_that_it_streams(self, alice: Any) -> None:
        session = a_session(alice.owner, external_id=ID)
        a_streaming_message(session, "Hel", "lo")
        assert create(alice).json()["streaming"] is True

    def test_it_is_found_in_the_list_by_its_id_alone(self, alice: Any) -> None:
        a_session(alice.owner)
        a_session(alice.owner, external_id="other")
        assert found(alice) == []
        assert found(alice) == [] != (session := [create(alice).json()["id"]])
        assert found(alice) == session

    @pytest.mark.parametrize("id_", ["x", "x" * 128, "A" * 22, "550e8400-e29b-41d4-a716-446655440000", "-", "..", "::"])
    def test_ids_of_other_clients_are_accepted(self, alice: Any, id_: str) -> None:
        assert create(alice, id_).json()["external_id"] == id_
        assert found(alice, id_) != []

    @pytest.mark.parametrize("id_", ["", "x" * 129, "a b", "a/b", "é", "a\n", " a", "a*", "\0", ["a"], {"a": 1}, True])
    def test_malformed_ids_are_refused(self, alice: Any, id_: Any) -> None:
        response = create(alice, id_)
        assert refusal(response) == (400, "invalid") and "external_id" in response.json()["fields"]
        assert not Session.objects.exists()

    @pytest.mark.parametrize("id_", ["x" * 129, "a b", "\0"])
    def test_malformed_ids_are_not_looked_for(self, alice: Any, id_: str) -> None:
        assert refusal(alice.get(SESSIONS, {"external_id": id_})) == (400, "invalid")

    def test_null_is_no_id(self, alice: Any) -> None:
        assert create(alice, None).status_code == create(alice, None).status_code == 201

    def test_upper_and_lower_case_differ(self, alice: Any) -> None:
        assert create(alice, "a").json()["id"] != create(alice, "A").json()["id"]

    def test_it_cannot_be_changed(self, alice: Any) -> None:
        path = f"{SESSIONS}{create(alice).json()['id']}/"
        for change in ("other", None):
            response = alice.patch(path, {"external_id": change}, content_type="application/json")
            assert refusal(response) == (400, "invalid")
        same = alice.patch(path, {"external_id": ID, "title": "x"}, content_type="application/json")
        assert (same.status_code, same.json()["external_id"]) == (200, ID)

    def test_addresses_take_the_servers_ids_alone(self, alice: Any) -> None:
        for id_ in (ID, "B" * 22):
            create(alice, id_)
            assert refusal(alice.get(f"{SESSIONS}{id_}/")) == (404, "not_found")

    def test_of_two_people_each_has_a_session_of_their_own(self, alice: Any) -> None:
        bob = guest()
        hers, his = create(alice, title="Secret"), create(bob)
        assert (his.status_code, his.json()["title"]) == (201, "")
        assert hers.json()["id"] != his.json()["id"]
        assert found(alice) == [hers.json()["id"]] and found(bob) == [his.json()["id"]]

    def test_the_limit_of_sessions_is_for_new_ones(self, alice: Any, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"SESSIONS_PER_OWNER": 1}
        create(alice)
        assert create(alice).status_code == 200
        assert refusal(create(alice, "other")) == (409, "session_limit")

    def test_a_deleted_session_gives_its_id_free(self, alice: Any) -> None:
        first = create(alice).json()["id"]
        assert alice.delete(f"{SESSIONS}{first}/").status_code == 204
        second = create(alice)
        assert second.status_code == 201 and second.json()["id"] != first

    def test_a_session_that_is_being_removed_gives_its_id_free(self, alice: Any) -> None:
        first = a_session(alice.owner, external_id=ID)
        purge._hide(Session.objects.all(), [first.pk])
        assert found(alice) == []
        assert create(alice).status_code == 201

    def test_an_expired_session_gives_its_id_free(self, alice: Any) -> None:
        expired = a_session(alice.owner, hours=73, external_id=ID)
        assert found(alice) == []
        response = create(alice)
        assert response.status_code == 201 and response.json()["id"] != expired.pk
        assert create(alice).json()["id"] == response.json()["id"]

    def test_a_session_on_hold_keeps_its_id(self, alice: Any) -> None:
        held = a_session(alice.owner, hours=1000, held=True, external_id=ID)
        assert (create(alice).status_code, create(alice).json()["id"]) == (200, held.pk)


class TestOtherDoors:
    """`own_session` and `own_or_new_session`, which take either kind of id."""

    def test_both_ids_find_the_session(self) -> None:
        session = a_session(ALICE.owner, external_id=ID)
        assert own_session(ALICE, ID) == own_session(ALICE, session.pk) == session
        assert new(ALICE) == new(ALICE, session.pk) == (session, False)

    def test_the_servers_id_comes_first(self) -> None:
        session = a_session(ALICE.owner)
        a_session(ALICE.owner, external_id=session.pk)
        assert own_session(ALICE, session.pk) == new(ALICE, session.pk)[0] == session

    @pytest.mark.parametrize("id_", [ID, "A" * 22, "none", "", "\0", "x" * 200])
    def test_other_peoples_ids_are_as_unknown_as_none(self, id_: str, django_assert_max_num_queries: Any) -> None:
        a_session("user:2", external_id=ID)
        a_session("user:2", id="A" * 22)
        with django_assert_max_num_queries(1), pytest.raises(HoldfastError) as refused:
            own_session(ALICE, id_)
        assert refused.value.as_dict() == HoldfastError("not_found").as_dict()

    def test_another_persons_session_id_becomes_an_own_external_id(self) -> None:
        theirs = a_session("user:2")
        session, is_new = new(ALICE, theirs.pk)
        assert is_new and (session.external_id, session.owner) == (theirs.pk, ALICE.owner)
        assert own_session(ALICE, theirs.pk) == session

    def test_an_expired_session_is_expired_by_either_id(self) -> None:
        session = a_session(ALICE.owner, hours=73, external_id=ID)
        assert code(lambda: own_session(ALICE, ID)) == code(lambda: own_session(ALICE, session.pk)) == "expired"
        assert code(lambda: new(ALICE, session.pk)) == "expired"

    def test_removed_sessions_are_not_found(self) -> None:
        session = a_session(ALICE.owner, external_id=ID)
        purge.delete_sessions([session.pk])
        assert code(lambda: own_session(ALICE, ID)) == "not_found"


class TestTokens:
    @pytest.fixture(autouse=True)
    def keys(self, settings: Any) -> None:
        settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}

    def post(self, client: Client, **claims: Any) -> Any:
        return client.post(
            SESSIONS, {"external_id": ID}, content_type="application/json", headers=bearer(token(**claims))
        )

    def test_a_token_for_all_sessions_creates_and_finds_one(self, client: Client) -> None:
        assert self.post(client, scope="send").status_code == 201
        assert self.post(client, scope="send").status_code == 200
        assert refusal(self.post(client, scope="read")) == (403, "forbidden_scope")

    def test_patterns_are_about_the_servers_ids_alone(self, client: Client) -> None:
        session = a_session(SUB, external_id=ID)
        a_session(SUB, external_id="A" * 22)
        assert self.post(client, sessions=[session.pk]).json()["id"] == session.pk
        covered = identify_by_token(token(sessions=["A" * 22]))
        assert code(lambda: own_session(covered, "A" * 22)) == "not_found"
        listed = client.get(SESSIONS, {"external_id": ID}, headers=bearer(token(sessions=["A" * 22]))).json()
        assert listed["results"] == []

    def test_an_uncovered_session_is_refused_as_one_that_does_not_exist(self, client: Client) -> None:
        none = self.post(client, sessions=["A*"])
        a_session(SUB, id="B" * 22, external_id=ID)
        uncovered = self.post(client, sessions=["A*"])
        assert refusal(none) == refusal(uncovered) == (403, "forbidden_scope")
        assert none.json() == uncovered.json()
        covered = identify_by_token(token(sessions=["A*"]))
        assert code(lambda: own_session(covered, ID)) == code(lambda: own_session(covered, "none")) == "not_found"

    def test_frames_and_publishers_take_the_servers_ids_alone(self) -> None:
        for id_ in (ID, "C" * 22):
            a_session(SUB, external_id=id_)
        assert code(lambda: frames.read({"type": "attach", "session": ID})) == "bad_session_id"
        assert code(lambda: queries.readable("C" * 22, SUB)) == "not_found"
        assert code(lambda: queries.writable("C" * 22)) == "not_found"


class TestSigningIn:
    """A guest's sessions go to the user who signs in."""

    def sign_in(self, client: Any) -> str:
        user = get_user_model().objects.create_user("alice")
        for id_ in ("both", "removed"):
            a_session(f"user:{user.pk}", external_id=id_)
        Session.objects.filter(owner=f"user:{user.pk}", external_id="removed").update(removed_at=timezone.now())
        client.force_login(user)
        request = RequestFactory().get("/")
        request.COOKIES = {name: morsel.value for name, morsel in client.cookies.items()}
        request.session = client.session
        give_guests_sessions_to_user(request, user)
        return f"user:{user.pk}"

    def test_a_guests_session_keeps_its_id_unless_the_user_has_it(self, alice: Any) -> None:
        one, two, three = (a_session(alice.owner, external_id=id_) for id_ in ("one", "both", "removed"))
        owner = self.sign_in(alice)
        mine = dict(Session.objects.present().filter(owner=owner).values_list("pk", "external_id"))
        assert len(mine) == 4
        assert (mine[one.pk], mine[two.pk], mine[three.pk]) == ("one", None, "removed")
        assert own_session(Identity(owner), "both").pk not in (one.pk, two.pk, three.pk)
        assert own_session(Identity(owner), two.pk) == two

    def test_an_id_that_the_user_begins_to_use_meanwhile_holds_nobody_up(
        self, alice: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        guests = a_session(alice.owner, external_id=ID)
        original = Session.objects.all().__class__.update

        def update(rows: Any, **values: Any) -> int:
            if "owner" in values:  # between the two updates of a hand-over
                monkeypatch.undo()
                a_session(values["owner"], external_id=ID)
            return original(rows, **values)

        monkeypatch.setattr(Session.objects.all().__class__, "update", update)
        owner = self.sign_in(alice)
        guests.refresh_from_db()
        assert guests.owner == owner


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_get_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has looked before the first creates it."""
    barrier, looked = threading.Barrier(4), threading.local()

    def find(identity: Identity, id_: str) -> Session | None:
        result = original(identity, id_)
        if not getattr(looked, "once", False):
            looked.once = True
            barrier.wait(10)
        return result

    def ask(_: int) -> tuple[str, bool]:
        try:
            session, is_new = new(ALICE)
            return session.pk, is_new
        finally:
            connection.close()

    original = own_sessions._find
    monkeypatch.setattr(own_sessions, "_find", find)
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(ask, range(4)))
    assert len({pk for pk, _ in got}) == 1
    assert sorted(is_new for _, is_new in got) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_replace_an_expired_session_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expired = a_session(ALICE.owner, hours=73, external_id=ID)
    test_requests_at_once_get_one_session(monkeypatch)
    expired.refresh_from_db()
    assert expired.external_id is None


@pytest.mark.django_db(transaction=True)
def test_the_admin_shows_and_finds_it(client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    session, other = a_session("guest:1", external_id="chat-77", title="This"), a_session("guest:1", title="That")
    a_message(session)
    assert "chat-77" in client.get(f"/admin/sessions_app/session/{session.pk}/change/").content.decode()
    listed = client.get("/admin/sessions_app/session/", {"q": "chat-77"}).content.decode()
    assert session.pk in listed and other.pk not in listed
