"""Tokens in the API: permissions to issue and to revoke, and the recipe by which another back end signs its own."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app.auth import tokens
from sessions_app.models import RevokedToken
from tests.support.api import refusal
from tests.support.stored import a_session, guest, staff_with
from tests.support.tokens import KEY, KEYS, SUB, bearer, token

pytestmark = pytest.mark.django_db

TOKENS = "/api/tokens/"
PERMISSIONS = ("issue_token", "issue_token_for_others", "add_revokedtoken")
ASKED: dict[str, Any] = {"sub": SUB, "scope": "read send", "sessions": ["*"], "life_s": 60}
DOCUMENT = (Path(__file__).parents[1] / "docs" / "publishing.md").read_text()


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS}


@pytest.fixture
def staff() -> Client:
    return staff_with(*PERMISSIONS)


def issue(client: Client, asked: Any = ASKED) -> Any:
    return client.post(TOKENS, asked, content_type="application/json")


def test_an_issued_token_is_accepted_until_it_is_revoked(staff: Client, client: Client) -> None:
    session = a_session(SUB)
    response = issue(staff)
    assert response.status_code == 201
    issued = response.json()
    assert (
        issued.keys() == {"token", "jti", "expires_at"} and 50_000 < issued["expires_at"] - time.time() * 1000 <= 60_000
    )
    address = f"/api/sessions/{session.pk}/"
    assert client.get(address, headers=bearer(issued["token"])).status_code == 200
    assert staff.delete(f"{TOKENS}{issued['jti']}/").status_code == 204
    assert refusal(client.get(address, headers=bearer(issued["token"]))) == (401, "token_expired")


def test_without_a_lifetime_a_token_gets_the_longest_one(staff: Client) -> None:
    _, grant = tokens.read(
        issue(staff, {name: value for name, value in ASKED.items() if name != "life_s"}).json()["token"]
    )
    assert grant.expires_at - grant.issued_at == 3600


@pytest.mark.parametrize(
    ("field", "value"),
    [("sub", "guest:1"), ("sub", ""), ("sub", 7), ("scope", "admin"), ("scope", ""), ("sessions", []),
     ("sessions", ["x"]), ("sessions", ["*"] * 65), ("sessions", "*"), ("life_s", 0), ("life_s", 3601),
     ("life_s", "soon"), ("more", 1)],
)  # fmt: skip
def test_an_invalid_request_is_refused_with_its_field(staff: Client, field: str, value: Any) -> None:
    response = issue(staff, ASKED | {field: value})
    assert refusal(response) == (400, "invalid") and response.json()["fields"].keys() == {field}


def lacks(response: Any, permission: str) -> bool:
    """Return whether a response refuses for want of this permission, by its name."""
    message: str = response.json()["message"]
    return refusal(response) == (403, "forbidden") and message.endswith(f": sessions_app.{permission}")


@pytest.mark.parametrize("who", ["guest", "user", "token"])
def test_only_logged_in_staff_may_issue_tokens(staff: Any, who: str) -> None:
    client, headers = guest(), {}
    if who == "user":
        client.force_login(get_user_model().objects.create_user("mallory"))
    elif who == "token":
        headers = bearer(token(sub=staff.owner))
    asked = client.post(TOKENS, ASKED, content_type="application/json", headers=headers)
    assert refusal(asked) == refusal(client.delete(f"{TOKENS}t-1/", headers=headers)) == (403, "forbidden")
    assert not RevokedToken.objects.exists()


@pytest.mark.parametrize("permissions", [(), ("issue_token_for_others", "add_revokedtoken", "view_revokedtoken")])
def test_issuing_requires_its_permission(permissions: tuple[str, ...]) -> None:
    client: Any = staff_with(*permissions)
    for sub in (client.owner, SUB, "user:1"):
        assert lacks(issue(client, ASKED | {"sub": sub}), "issue_token")


def test_with_the_permission_to_issue_a_token_acts_as_its_issuer_alone() -> None:
    client: Any = staff_with("issue_token")
    mallory = get_user_model().objects.create_user("mallory")
    issued = issue(client, ASKED | {"sub": client.owner})
    assert issued.status_code == 201 and tokens.read(issued.json()["token"])[0] == client.owner
    for sub in (SUB, f"user:{mallory.pk}", f"{client.owner}0", client.owner.replace(":", ":0"), "agent:billing"):
        assert lacks(issue(client, ASKED | {"sub": sub}), "issue_token_for_others")


def test_publishing_into_other_peoples_sessions_requires_the_permission_to_issue_for_others() -> None:
    client: Any = staff_with("issue_token")
    asked = ASKED | {"sub": client.owner, "scope": "read publish"}
    assert lacks(issue(client, asked), "issue_token_for_others")


def test_issuing_for_others_requires_both_permissions() -> None:
    issued = issue(staff_with("issue_token", "issue_token_for_others"))
    assert issued.status_code == 201 and tokens.read(issued.json()["token"])[0] == SUB


@pytest.mark.parametrize("permissions", [(), ("issue_token", "issue_token_for_others", "delete_revokedtoken")])
def test_revoking_requires_its_permission(permissions: tuple[str, ...]) -> None:
    assert lacks(staff_with(*permissions).delete(f"{TOKENS}t-1/"), "add_revokedtoken")
    assert not RevokedToken.objects.exists()


def test_the_permission_to_revoke_is_enough_to_revoke() -> None:
    assert staff_with("add_revokedtoken").delete(f"{TOKENS}t-1/").status_code == 204
    assert RevokedToken.objects.get().jti == "t-1"


def test_superusers_need_no_permission(client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    assert issue(client).status_code == 201
    assert client.delete(f"{TOKENS}t-1/").status_code == 204


@pytest.mark.parametrize("change", ["is_active", "is_staff"])
def test_a_former_staff_member_loses_the_permissions(settings: Any, change: str) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    client: Any = staff_with(*PERMISSIONS)
    get_user_model().objects.update(is_superuser=True, **{change: False})
    assert lacks(issue(client, ASKED | {"sub": client.owner}), "issue_token")
    assert lacks(client.delete(f"{TOKENS}t-1/"), "add_revokedtoken")


def test_an_unauthenticated_client_is_refused(client: Client) -> None:
    assert refusal(issue(client)) == (401, "signed_out")


def test_staff_need_the_csrf_token(staff: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    assert refusal(issue(strict)) == (403, "csrf_failed")


def test_revoking_a_token_by_its_id_is_idempotent(staff: Client) -> None:
    for _ in range(2):
        assert staff.delete(f"{TOKENS}{'x' * 64}/").status_code == 204
    assert RevokedToken.objects.get().jti == "x" * 64
    assert staff.delete(f"{TOKENS}{'x' * 65}/").status_code == 404


def test_without_keys_the_api_says_that_tokens_are_disabled(staff: Client, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": {}}
    assert refusal(issue(staff)) == (409, "tokens_off")


def test_the_documented_recipe_for_other_back_ends_works(client: Client) -> None:
    [recipe] = re.findall(r"```python\n(import time.*?)```", DOCUMENT, re.DOTALL)
    program: dict[str, Any] = {}
    exec(recipe, program)  # noqa: S102
    text = program["token"](KEY, "new", SUB, "read send", ["*"])
    session = a_session(SUB)
    assert client.get(f"/api/sessions/{session.pk}/", headers=bearer(text)).status_code == 200


@pytest.mark.parametrize(
    ("held", "agents", "missing"),
    [
        (("issue_token",), ["billing"], "issue_token_for_others"),
        (("issue_token", "issue_token_for_others"), ["*"], "issue_token_for_all_agents"),
        (("issue_token", "issue_token_for_others"), ["billing", "*"], "issue_token_for_all_agents"),
    ],
)
def test_a_worker_token_needs_permissions(held: tuple[str, ...], agents: list[str], missing: str) -> None:
    assert lacks(issue(staff_with(*held), ASKED | {"scope": "work", "agents": agents}), missing)


@pytest.mark.parametrize(
    ("more", "agents"), [((), ("billing", "help desk")), (("issue_token_for_all_agents",), ("*",))]
)
def test_a_worker_token_names_its_agents(more: tuple[str, ...], agents: tuple[str, ...]) -> None:
    staff = staff_with("issue_token", "issue_token_for_others", *more)
    _, grant = tokens.read(issue(staff, ASKED | {"scope": "work", "agents": list(agents)}).json()["token"])
    assert grant.agents == agents


def test_a_worker_token_without_agents_is_refused(staff: Client) -> None:
    response = issue(staff, ASKED | {"scope": "work"})
    assert refusal(response) == (400, "invalid") and response.json()["fields"].keys() == {"agents"}
