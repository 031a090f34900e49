"""Cookies with the prefix `__Host-`, and their old names in the three days after the upgrade."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from sessions_app.auth import cookies, identity
from sessions_app.auth.identity import Identity, guest_cookie, identify, needs_database
from tests.support.stored import a_session

pytestmark = pytest.mark.django_db

GUEST = f"guest:{'0' * 32}"
NAMES = {"sessionid": "__Host-sessionid", "csrftoken": "__Host-csrftoken", "holdfast_guest": "__Host-holdfast_guest"}


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies, "_old_names_until", None)


@pytest.fixture
def over_https(settings: Any) -> Iterator[None]:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME = NAMES["sessionid"], NAMES["csrftoken"]
    yield


def upgraded(*, hours_ago: float) -> None:
    moment = timezone.now() - timedelta(hours=hours_ago)
    applied = MigrationRecorder.Migration.objects.filter(app="sessions_app", name__endswith=cookies.MIGRATION)
    assert applied.update(applied=moment) == 1


def old_guest() -> dict[str, str]:
    return {"holdfast_guest": guest_cookie("0" * 32)}


def browser(given: dict[str, str], **options: Any) -> Client:
    client = Client(**options)
    for name, value in given.items():
        client.cookies[name] = value
    return client


def test_one_migration_marks_the_upgrade() -> None:
    names = [name for app, name in MigrationLoader(None).disk_migrations if app == "sessions_app"]
    assert len([name for name in names if name.endswith(cookies.MIGRATION)]) == 1


@pytest.mark.parametrize(
    "values",
    [{"SESSION_COOKIE_SECURE": False}, {"SESSION_COOKIE_PATH": "/chat/"}, {"SESSION_COOKIE_DOMAIN": "example.com"}],
    ids=str,
)
def test_a_site_that_cannot_have_the_prefix_has_none(settings: Any, values: dict[str, Any]) -> None:
    for name, value in ({"SESSION_COOKIE_SECURE": True} | values).items():
        setattr(settings, name, value)
    assert "holdfast_guest" in Client().get("/", secure=True).cookies


def test_every_cookie_of_a_page_has_what_the_prefix_requires(over_https: None) -> None:
    given = Client().get("/", secure=True).cookies
    assert given.keys() == {NAMES["holdfast_guest"], NAMES["csrftoken"]}
    for cookie in given.values():
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


def test_a_login_and_a_logout_remove_the_guest_by_both_names(over_https: None) -> None:
    get_user_model().objects.create_user("alice", password="a password")
    client = browser(old_guest())
    client.get("/", secure=True)
    session = a_session(GUEST)
    client.post("/login/", {"username": "alice", "password": "a password"}, secure=True)
    session.refresh_from_db()
    assert session.owner.startswith("user:")
    assert not client.cookies["holdfast_guest"].value and not client.cookies[NAMES["holdfast_guest"]].value
    deleted = client.cookies[NAMES["holdfast_guest"]]
    assert (deleted["secure"], deleted["path"]) == (True, "/")  # otherwise a browser ignores it


def test_a_guest_keeps_its_sessions_over_the_upgrade(over_https: None) -> None:
    upgraded(hours_ago=71)
    session = a_session(GUEST)
    client = browser(old_guest())
    response = client.get("/api/sessions/", secure=True)  # a tab that is not reloaded
    assert [each["id"] for each in response.json()["results"]] == [session.pk]
    assert identify({NAMES["holdfast_guest"]: response.cookies[NAMES["holdfast_guest"]].value}) == Identity(GUEST)


def test_a_login_is_kept_over_the_upgrade(settings: Any) -> None:
    alice = get_user_model().objects.create_user("alice")
    before = Client()
    before.force_login(alice)
    old = {"sessionid": before.cookies["sessionid"].value}
    settings.SESSION_COOKIE_NAME = NAMES["sessionid"]
    owner = f"user:{alice.pk}"
    found = identify(old)  # as a socket's handshake does
    assert found is not None and found.owner == owner
    client = browser(old)
    response = client.get("/api/sessions/", secure=True)
    assert response.status_code == 200
    cookie = response.cookies[NAMES["sessionid"]]
    assert (cookie.value, cookie["httponly"], cookie["secure"]) == (old["sessionid"], True, True)
    response = client.post("/logout/", secure=True)
    assert not response.cookies[NAMES["sessionid"]].value
    assert identify({name: each.value for name, each in client.cookies.items()}) is None


def test_a_page_from_before_the_upgrade_can_still_send(over_https: None) -> None:
    client = browser(old_guest() | {"csrftoken": "t" * 32}, enforce_csrf_checks=True)
    page = {"X-CSRFToken": "t" * 32, "Origin": "https://testserver"}
    for _ in range(2):  # the second time, the browser has the cookie by both names
        response = client.post("/api/sessions/", {}, "application/json", secure=True, headers=page)
        assert response.status_code == 201
    assert client.cookies[NAMES["csrftoken"]].value == "t" * 32 and not client.cookies[NAMES["csrftoken"]]["httponly"]


@pytest.mark.parametrize("hours_ago", [72.001, 1000])
def test_old_names_are_not_read_for_longer(over_https: None, hours_ago: float) -> None:
    upgraded(hours_ago=hours_ago)
    assert identify(old_guest()) is None
    assert needs_database(old_guest()) is False  # known by now
    client = browser(old_guest() | {"csrftoken": "t" * 32}, enforce_csrf_checks=True)
    assert client.get("/api/sessions/", secure=True).status_code == 401
    response = client.get("/", secure=True)
    assert identify({NAMES["holdfast_guest"]: response.cookies[NAMES["holdfast_guest"]].value}) != Identity(GUEST)
    assert response.cookies[NAMES["csrftoken"]].value != "t" * 32


def test_old_names_end_in_a_process_that_goes_on(over_https: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identify(old_guest()) == Identity(GUEST)
    given, now = old_guest(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + cookies.OLD_NAMES_S)
    assert identify(given) is None


def test_without_a_record_of_the_upgrade_old_names_are_not_read(over_https: None) -> None:
    MigrationRecorder.Migration.objects.all().delete()
    assert identify(old_guest()) is None


def test_an_old_name_never_replaces_the_new_one(over_https: None) -> None:
    mine = {NAMES["holdfast_guest"]: guest_cookie("1" * 32)}
    assert identify(old_guest() | mine) == Identity(f"guest:{'1' * 32}")
    for forged in ("", "nonsense", "x" * 32 + ":1:1"):  # set by the site alone, so nothing else is asked
        assert identify(old_guest() | {NAMES["holdfast_guest"]: forged}) is None


def test_the_prefixed_name_means_nothing_to_a_site_without_it() -> None:
    assert identify({NAMES["holdfast_guest"]: guest_cookie("0" * 32)}) is None


def test_guests_cost_one_query_in_a_process_and_only_after_an_upgrade(
    over_https: None, django_assert_num_queries: Any
) -> None:
    new = {NAMES["holdfast_guest"]: guest_cookie("0" * 32)}
    with django_assert_num_queries(0):
        assert not needs_database(new) and identify(new) == Identity(GUEST)
    assert needs_database(old_guest())
    with django_assert_num_queries(1):
        assert [identify(old_guest()) for _ in range(3)] == [Identity(GUEST)] * 3


def test_a_login_cookie_needs_the_database(over_https: None) -> None:
    assert needs_database({NAMES["sessionid"]: "a" * 32}) and needs_database({"sessionid": "a" * 32})
    assert identity.guest_cookie_name() == NAMES["holdfast_guest"]
