"""Retention policies in the API: each operation requires its permission, and new sessions always have a policy."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client

from sessions_app.models import RetentionPolicy
from tests.support.api import refusal
from tests.support.stored import a_session, guest, staff_with

pytestmark = pytest.mark.django_db
POLICIES = "/api/policies/"
PERMISSIONS = {
    "get": "view_retentionpolicy",
    "head": "view_retentionpolicy",
    "post": "add_retentionpolicy",
    "patch": "change_retentionpolicy",
    "delete": "delete_retentionpolicy",
}
# Each operation, as method, address, body, and status when it is done.
OPERATIONS: dict[str, tuple[str, str, Any, int]] = {
    "list": ("get", POLICIES, None, 200),
    "create": ("post", POLICIES, {"name": "Thirty hours", "hours": 30}, 201),
    "read": ("get", f"{POLICIES}{{id}}/", None, 200),
    "read its headers": ("head", f"{POLICIES}{{id}}/", None, 200),
    "change": ("patch", f"{POLICIES}{{id}}/", {"hours": 30}, 200),
    "delete": ("delete", f"{POLICIES}{{id}}/", None, 204),
}
operations = pytest.mark.parametrize("operation", OPERATIONS)


@pytest.fixture
def staff() -> Client:
    return staff_with(*PERMISSIONS.values())


def create(client: Client, **fields: Any) -> Any:
    return client.post(POLICIES, fields, content_type="application/json")


def patch(client: Client, policy: RetentionPolicy, **fields: Any) -> Any:
    return client.patch(f"{POLICIES}{policy.pk}/", fields, content_type="application/json")


def named(name: str) -> RetentionPolicy:
    return RetentionPolicy.objects.get(name=name)


def do(client: Client, operation: str) -> Any:
    method, address, body, _ = OPERATIONS[operation]
    return getattr(client, method)(address.format(id=named("One day").pk), body, content_type="application/json")


def contents() -> list[tuple[str, int]]:
    return list(RetentionPolicy.objects.values_list("name", "hours"))


def defaults() -> list[str]:
    return [policy.name for policy in RetentionPolicy.objects.filter(is_default=True)]


def test_a_new_site_has_three_policies(staff: Client) -> None:
    a_session("guest:1")
    listed = staff.get(POLICIES).json()
    assert [(item["name"], item["hours"], item["is_default"], item["sessions"]) for item in listed] == [
        ("One day", 24, False, 0),
        ("Two days", 48, False, 0),
        ("Three days", 72, True, 1),
    ]


@operations
@pytest.mark.parametrize("who", ["guest", "user", "user with permissions", "staff", "staff with the others"])
def test_an_operation_without_its_permission_is_refused_and_names_it(operation: str, who: str) -> None:
    needed = PERMISSIONS[OPERATIONS[operation][0]]
    client = guest()
    if who == "user":
        client.force_login(get_user_model().objects.create_user("mallory"))
    elif who == "user with permissions":
        client = staff_with(*PERMISSIONS.values())
        get_user_model().objects.update(is_staff=False)
    elif who == "staff":
        client = staff_with()
    elif who == "staff with the others":
        client = staff_with(*set(PERMISSIONS.values()) - {needed})
    before = contents()
    response = do(client, operation)
    assert response.status_code == 403
    if operation != "read its headers":
        assert response.json() == {
            "code": "forbidden",
            "message": f"Only staff with the required permission may do this: sessions_app.{needed}",
            "retryable": False,
        }
    assert contents() == before


@operations
def test_an_operations_permission_alone_suffices(operation: str) -> None:
    method, _, _, done = OPERATIONS[operation]
    assert do(staff_with(PERMISSIONS[method]), operation).status_code == done


@operations
def test_superusers_need_no_permission(operation: str) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    assert do(client, operation).status_code == OPERATIONS[operation][3]


def test_a_permission_by_group_counts() -> None:
    client = staff_with()
    group = Group.objects.create(name="Readers")
    group.permissions.add(Permission.objects.get(codename="view_retentionpolicy"))
    get_user_model().objects.get().groups.add(group)
    assert do(client, "list").status_code == 200


def test_an_unauthenticated_client_is_refused() -> None:
    assert refusal(Client().get(POLICIES)) == (401, "signed_out")


def test_staff_need_the_csrf_token(staff: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert refusal(create(strict, name="x", hours=30)) == (403, "csrf_failed")


def test_a_policy_is_created(staff: Client) -> None:
    response = create(staff, name="Thirty hours", hours=30)
    assert response.status_code == 201
    policy = named("Thirty hours")
    assert response.json() == {
        "id": policy.pk, "name": "Thirty hours", "hours": 30, "is_default": False, "sessions": 0,
    }  # fmt: skip
    assert staff.get(f"{POLICIES}{policy.pk}/").json() == response.json()


def test_a_new_default_replaces_the_previous_one(staff: Client) -> None:
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


def test_an_unused_policy_is_deleted(staff: Client) -> None:
    policy = named("One day")
    session = a_session("guest:1", policy=policy)
    assert refusal(staff.delete(f"{POLICIES}{policy.pk}/")) == (409, "policy_in_use")
    session.delete()
    assert staff.delete(f"{POLICIES}{policy.pk}/").status_code == 204
    assert not RetentionPolicy.objects.filter(pk=policy.pk).exists()


def test_a_number_beyond_64_bits_is_no_json(staff: Client) -> None:
    assert refusal(create(staff, name="x", hours=10**30)) == (400, "bad_json")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "x", "hours": 23}, "hours"),
        ({"name": "x", "hours": 73}, "hours"),
        ({"name": "x", "hours": 0}, "hours"),
        ({"name": "x", "hours": "long"}, "hours"),
        ({"name": "x", "hours": 2**63}, "hours"),
        ({"name": "x"}, "hours"),
        ({"hours": 30}, "name"),
        ({"name": "", "hours": 30}, "name"),
        ({"name": "x" * 65, "hours": 30}, "name"),
        ({"name": "One day", "hours": 30}, "name"),
        ({"name": "x", "hours": 30, "sessions": 4}, "sessions"),
    ],
)
def test_invalid_changes_are_refused(staff: Client, fields: dict[str, Any], field: str) -> None:
    response = create(staff, **fields)
    assert refusal(response) == (400, "invalid")
    assert list(response.json()["fields"]) == [field]
    assert RetentionPolicy.objects.count() == 3


def test_longer_terms_are_allowed_by_the_site(staff: Client, settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "RETENTION_MAX_HOURS": 8760}
    assert create(staff, name="A year", hours=8760).status_code == 201


@pytest.mark.parametrize("id", ["999", "x", "-1", "9" * 18, "9" * 30])
def test_a_missing_policy_is_not_found(staff: Client, id: str) -> None:
    assert refusal(staff.get(f"{POLICIES}{id}/"))[0] == 404
