"""Identity by cookies: guests and users, what a cookie proves, and for how long."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as Login
from django.core import signing
from django.test import Client
from django.utils import timezone

from sessions_app.auth.identity import GUEST_COOKIE, GUEST_COOKIE_S, Identity, identify, still_valid
from tests.support.stored import a_session, guest, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return get_user_model().objects.create_user("alice", password="a password")


def cookies_of(client: Client) -> dict[str, str]:
    return {name: morsel.value for name, morsel in client.cookies.items() if morsel.value}


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def log_in(client: Client, **fields: str) -> Any:
    return client.post("/login/", {"username": "alice", "password": "a password"} | fields)


def identity_of(client: Client) -> Identity:
    identity = identify(cookies_of(client))
    assert identity is not None
    return identity


def test_a_page_visitor_becomes_a_guest() -> None:
    client = guest()
    assert identity_of(client) == Identity(owner_of(client))


def test_two_visitors_are_two_guests() -> None:
    assert identity_of(guest()) != identity_of(guest())


def test_a_guest_keeps_the_same_identity_across_visits() -> None:
    client = guest()
    before = identity_of(client)
    client.get("/login/")
    assert identity_of(client) == before


@pytest.mark.parametrize("path", ["/", "/s/AAAAAAAAAAAAAAAAAAAAAA/"])
def test_the_page_provides_its_scripts_data_and_is_not_cached(client: Client, path: str) -> None:
    response = client.get(path)
    assert {GUEST_COOKIE, "csrftoken"} <= response.cookies.keys()
    assert "private" in response.headers["Cache-Control"]


def test_only_pages_create_guests(client: Client) -> None:
    for path in ("/api/sessions/", "/api/schema/"):
        assert GUEST_COOKIE not in client.get(path).cookies


def test_the_guest_cookie_is_inaccessible_to_scripts_and_other_sites() -> None:
    cookie = guest().cookies[GUEST_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", GUEST_COOKIE_S)


def test_the_guest_cookie_is_secure_if_the_session_cookie_is(settings: Any) -> None:
    assert not guest().cookies[GUEST_COOKIE]["secure"]
    settings.SESSION_COOKIE_SECURE = True
    assert Client().get("/", secure=True).cookies[f"__Host-{GUEST_COOKIE}"]["secure"]


def test_a_guest_costs_no_query(django_assert_num_queries: Any) -> None:
    cookies = cookies_of(guest())
    with django_assert_num_queries(0):
        assert identify(cookies) is not None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "0" * 32,
        "0" * 32 + ":1wXyZ:" + "A" * 43,
        signing.TimestampSigner(salt="another").sign("0" * 32),
        signing.TimestampSigner(key="another key", salt="holdfast.guest").sign("0" * 32),
        "\x00",
        "é" * 1000,
    ],
    ids=lambda forged: f"{forged:.20}",  # the signatures have the time in them
)
def test_a_forged_guest_cookie_is_not_authenticated(forged: str) -> None:
    assert identify({GUEST_COOKIE: forged}) is None


def test_another_guests_id_with_ones_own_signature_is_not_authenticated() -> None:
    mine, theirs = (cookies_of(guest())[GUEST_COOKIE] for _ in range(2))
    assert identify({GUEST_COOKIE: theirs.split(":")[0] + ":" + mine.split(":", 1)[1]}) is None


def test_an_expired_guest_cookie_is_not_authenticated(monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = cookies_of(guest())
    now = signing.time.time()
    monkeypatch.setattr(signing.time, "time", lambda: now + GUEST_COOKIE_S + 1)
    assert identify(cookies) is None


def test_a_login_identifies_its_user(alice: User) -> None:
    identity = identity_of(logged_in(alice))
    assert (identity.owner, identity.user_id) == (f"user:{alice.pk}", alice.pk)


@pytest.mark.parametrize("key", ["nosuchkey0123456789", "x", "\x00" * 32, "é" * 32, "' OR 1=1 --"])
def test_a_forged_login_is_not_authenticated(key: str) -> None:
    assert identify({"sessionid": key}) is None


def test_a_forged_login_does_not_change_the_guest() -> None:
    client = guest()
    assert identify(cookies_of(client) | {"sessionid": "nosuchkey0123456789"}) == identity_of(client)


def test_logging_in_transfers_the_guests_sessions_to_the_user(alice: User) -> None:
    client = guest()
    session = a_session(owner_of(client))
    log_in(client)
    session.refresh_from_db()
    assert session.owner == f"user:{alice.pk}" == identity_of(client).owner
    assert GUEST_COOKIE not in cookies_of(client)


def test_logging_in_does_not_transfer_other_guests_sessions(alice: User) -> None:
    other = a_session(owner_of(guest()))
    log_in(guest())
    other.refresh_from_db()
    assert other.owner.startswith("guest:")


def test_a_forged_guest_cookie_transfers_no_sessions_at_login(alice: User) -> None:
    victim = guest()
    session = a_session(owner_of(victim))
    attacker = Client()
    attacker.cookies[GUEST_COOKIE] = owner_of(victim).removeprefix("guest:") + ":1wXyZ:" + "A" * 43
    log_in(attacker)
    session.refresh_from_db()
    assert session.owner == owner_of(victim)


def test_a_failed_login_changes_nothing(alice: User) -> None:
    client = guest()
    before = identity_of(client)
    log_in(client, password="wrong")
    assert identity_of(client) == before


def test_logging_out_makes_a_new_guest(alice: User) -> None:
    client = guest()
    before = identity_of(client)
    log_in(client)
    client.post("/logout/")
    client.get("/login/")
    assert identity_of(client).owner.startswith("guest:") and identity_of(client) != before


def remove_login(user: User) -> None:
    Login.objects.all().delete()


def expire_login(user: User) -> None:
    Login.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def deactivate(user: User) -> None:
    user.is_active = False
    user.save()


def change_password(user: User) -> None:
    user.set_password("another password")
    user.save()


def remove_user(user: User) -> None:
    user.delete()


@pytest.mark.parametrize("revoke", [remove_login, expire_login, deactivate, change_password, remove_user])
def test_the_end_of_a_login_applies_to_sockets_too(alice: User, revoke: Any) -> None:
    client, other = logged_in(alice), Identity(owner_of(guest()))
    identity = identity_of(client)
    assert still_valid([identity, other]) == {identity, other}
    revoke(alice)
    assert still_valid([identity, other]) == {other}
    assert identify(cookies_of(client)) is None


def test_rotating_the_secret_key_ends_no_login(alice: User, settings: Any) -> None:
    client = logged_in(alice)
    identity = identity_of(client)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key"
    assert still_valid([identity]) == {identity}
    assert identify(cookies_of(client)) == identity


def many(user: User) -> Iterable[Identity]:
    return [identity_of(logged_in(user)) for _ in range(5)]


def test_checking_many_identities_takes_two_queries(alice: User, django_assert_num_queries: Any) -> None:
    identities = many(alice)
    with django_assert_num_queries(2):
        assert still_valid(identities) == set(identities)


def test_checking_guests_takes_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert still_valid([Identity("guest:1")]) == {Identity("guest:1")}
