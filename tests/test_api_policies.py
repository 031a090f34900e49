"""The API's retention policies: for staff alone, and never in a state that leaves new sessions without one."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app.models import RetentionPolicy
from tests.support.api import refusal
from tests.support.stored import a_session, guest

pytestmark = pytest.mark.django_db
POLICIES = "/api/policies/"


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("olivia", is_staff=True))
    return client


def create(client: Client, **fields: Any) -> Any:
    return client.post(POLICIES, fields, content_type="application/json")


def patch(client: Client, policy: RetentionPolicy, **fields: Any) -> Any:
    return client.patch(f"{POLICIES}{policy.pk}/", fields, content_type="application/json")


def named(name: str) -> RetentionPolicy:
    return RetentionPolicy.objects.get(name=name)


def defaults() -> list[str]:
    return [policy.name for policy in RetentionPolicy.objects.filter(is_default=True)]


def test_a_new_site_has_three_of_them(staff: Client) -> None:
    a_session("guest:1")
    listed = staff.get(POLICIES).json()
    assert [(item["name"], item["hours"], item["is_default"], item["sessions"]) for item in listed] == [
        ("One day", 24, False, 0),
        ("Two days", 48, False, 0),
        ("Three days", 72, True, 1),
    ]


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize("who", ["guest", "user"])
def test_only_staff_may_touch_them(method: str, who: str) -> None:
    client = guest()
    if who == "user":
        client.force_login(get_user_model().objects.create_user("mallory"))
    path = POLICIES if method == "post" else f"{POLICIES}{named('One day').pk}/"
    response = getattr(client, method)(path, content_type="application/json")
    assert refusal(response) == (403, "forbidden")
    assert RetentionPolicy.objects.count() == 3


def test_nobody_is_nobody_here_too() -> None:
    assert refusal(Client().get(POLICIES)) == (401, "signed_out")


def test_staff_need_the_csrf_token(staff: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert refusal(create(strict, name="x", hours=30)) == (403, "csrf_failed")


def test_it_creates_one(staff: Client) -> None:
    response = create(staff, name="Thirty hours", hours=30)
    assert response.status_code == 201
    policy = named("Thirty hours")
    assert response.json() == {
        "id": policy.pk, "name": "Thirty hours", "hours": 30, "is_default": False, "sessions": 0,
    }  # fmt: skip
    assert staff.get(f"{POLICIES}{policy.pk}/").json() == response.json()


def test_another_default_takes_the_place_of_the_first(staff: Client) -> None:
    assert create(staff, name="Thirty hours", hours=30, is_default=True).status_code == 201
    assert defaults() == ["Thirty hours"]
    assert patch(staff, named("One day"), is_default=True).status_code == 200
    assert defaults() == ["One day"]


def test_there_is_always_a_default(staff: Client) -> None:
    response = patch(staff, named("Three days"), is_default=False)
    assert response.json()["fields"] == {
        "is_default": ["New sessions need a policy: make another one the default instead."]
    }
    assert refusal(staff.delete(f"{POLICIES}{named('Three days').pk}/")) == (409, "policy_is_default")
    assert defaults() == ["Three days"]


def test_a_change_takes_effect_at_once(staff: Client) -> None:
    alice = guest()
    session = a_session(alice.owner, hours=30)  # type: ignore[attr-defined]
    assert patch(staff, named("Three days"), hours=24).status_code == 200
    assert refusal(alice.get(f"/api/sessions/{session.pk}/")) == (410, "expired")


def test_it_deletes_one_that_no_session_has(staff: Client) -> None:
    policy = named("One day")
    session = a_session("guest:1", policy=policy)
    assert refusal(staff.delete(f"{POLICIES}{policy.pk}/")) == (409, "policy_in_use")
    session.delete()
    assert staff.delete(f"{POLICIES}{policy.pk}/").status_code == 204
    assert not RetentionPolicy.objects.filter(pk=policy.pk).exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "x", "hours": 23}, "hours"),
        ({"name": "x", "hours": 73}, "hours"),
        ({"name": "x", "hours": 0}, "hours"),
        ({"name": "x", "hours": "long"}, "hours"),
        ({"name": "x", "hours": 10**30}, "hours"),
        ({"name": "x"}, "hours"),
        ({"hours": 30}, "name"),
        ({"name": "", "hours": 30}, "name"),
        ({"name": "x" * 65, "hours": 30}, "name"),
        ({"name": "One day", "hours": 30}, "name"),
        ({"name": "x", "hours": 30, "sessions": 4}, "sessions"),
    ],
)
def test_it_refuses(staff: Client, fields: dict[str, Any], field: str) -> None:
    response = create(staff, **fields)
    assert refusal(response) == (400, "invalid")
    assert list(response.json()["fields"]) == [field]
    assert RetentionPolicy.objects.count() == 3


def test_longer_ones_are_allowed_where_the_site_allows_them(staff: Client, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "RETENTION_MAX_HOURS": 8760}
    assert create(staff, name="A year", hours=8760).status_code == 201


@pytest.mark.parametrize("id", ["999", "x", "-1", "9" * 18, "9" * 30])
def test_what_isnt_there_isnt_there(staff: Client, id: str) -> None:
    assert refusal(staff.get(f"{POLICIES}{id}/"))[0] == 404
