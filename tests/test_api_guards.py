"""The API's access checks: other owners, forged credentials and floods at each of its operations."""

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework import serializers

from sessions_app.http.json_body import JSONRenderer
from sessions_app.http.throttling import address_of
from sessions_app.models import Session
from tests.support.api import refusal
from tests.support.stored import a_message, a_session, guest, owner_of

pytestmark = pytest.mark.django_db

# Each way to a session, as method and address.
WAYS = [
    ("get", "/api/sessions/{id}/"),
    ("head", "/api/sessions/{id}/"),
    ("patch", "/api/sessions/{id}/"),
    ("delete", "/api/sessions/{id}/"),
    ("get", "/api/sessions/{id}/messages/"),
    ("get", "/api/sessions/{id}/messages/?since=0123456789ab-0"),
    ("get", "/api/sessions/{id}/messages/?limit=all"),
    ("get", "/api/sessions/{id}/signals/"),
    ("head", "/api/sessions/{id}/signals/"),
    ("get", "/api/sessions/{id}/signals/?limit=all"),
]
ways = pytest.mark.parametrize(("method", "address"), WAYS)
NO_SUCH_ID = "A" * 22


@pytest.fixture
def alices() -> Session:
    session = a_session(owner_of(guest()), title="Secret")
    a_message(session, "Secret")
    return session


def user(name: str, **fields: Any) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user(name, **fields))
    return client


def ask(client: Client, method: str, address: str, id: str, **headers: str) -> Any:
    body = {"data": {"title": "Mine now"}, "content_type": "application/json"} if method in ("post", "patch") else {}
    return getattr(client, method)(address.format(id=id), headers=headers, **body)


def unchanged(session: Session) -> bool:
    now = Session.objects.get(pk=session.pk)
    return (now.title, now.owner, now.messages.count()) == ("Secret", session.owner, 1)


@ways
@pytest.mark.parametrize("who", ["guest", "user", "staff"])
def test_another_owners_session_looks_nonexistent(alices: Session, method: str, address: str, who: str) -> None:
    mallory = guest() if who == "guest" else user("mallory", is_staff=who == "staff")
    theirs = ask(mallory, method, address, alices.pk)
    nothing = ask(mallory, method, address, NO_SUCH_ID)
    assert theirs.status_code == nothing.status_code == 404
    assert theirs.content == nothing.content and theirs.headers == nothing.headers
    assert unchanged(alices)


@ways
def test_another_owners_expired_session_looks_nonexistent(method: str, address: str) -> None:
    expired = a_session(owner_of(guest()), hours=1000)
    mallory = guest()
    assert ask(mallory, method, address, expired.pk).content == ask(mallory, method, address, NO_SUCH_ID).content


@ways
@pytest.mark.parametrize("id", ["x", "A" * 21, "A" * 23, "%00" * 22, "' OR 1=1 --", "..%2f..%2fadmin", "é" * 22])
def test_an_invalid_id_is_not_found(method: str, address: str, id: str) -> None:
    mallory = guest()
    response = ask(mallory, method, address, id)
    assert response.status_code == 404
    if method != "head":
        assert response.json()["code"] in ("not_found", "no_such_address")


@ways
def test_an_unauthenticated_client_is_asked_to_authenticate(alices: Session, method: str, address: str) -> None:
    response = ask(Client(), method, address, alices.pk)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Cookie"
    assert unchanged(alices)


@ways
def test_a_forged_guest_cookie_is_not_authenticated(alices: Session, method: str, address: str) -> None:
    mallory = guest()
    signature = mallory.cookies["holdfast_guest"].value.split(":", 1)[1]
    mallory.cookies["holdfast_guest"] = alices.owner.removeprefix("guest:") + ":" + signature
    assert ask(mallory, method, address, alices.pk).status_code == 401
    assert unchanged(alices)


def test_a_list_holds_only_ones_own_sessions(alices: Session) -> None:
    for stranger in (guest(), user("mallory"), user("root", is_superuser=True, is_staff=True)):
        assert stranger.get("/api/sessions/").json()["results"] == []


def strict(client: Client) -> Client:
    """The same browser, without the test client's pass through the CSRF check."""
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = client.cookies
    return careful


CHANGES = [("post", "/api/sessions/"), ("patch", "/api/sessions/{id}/"), ("delete", "/api/sessions/{id}/")]


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize(("method", "address"), CHANGES)
def test_a_change_without_the_csrf_token_is_refused(method: str, address: str, who: str) -> None:
    client = guest() if who == "guest" else user("alice")
    owner = owner_of(client) if who == "guest" else f"user:{get_user_model().objects.get().pk}"
    session = a_session(owner, title="Secret")
    a_message(session)
    for headers in ({}, {"X-CSRFToken": "A" * 32}, {"X-CSRFToken": ""}):
        assert refusal(ask(strict(client), method, address, session.pk, **headers)) == (403, "csrf_failed")
    assert unchanged(session)


@pytest.mark.parametrize(("method", "address"), CHANGES)
def test_a_change_with_the_csrf_token_is_made(method: str, address: str) -> None:
    client = guest()
    session = a_session(owner_of(client))
    token = client.cookies["csrftoken"].value
    response = ask(strict(client), method, address, session.pk, **{"X-CSRFToken": token})
    assert response.status_code in (200, 201, 204)


def test_another_sites_page_cannot_use_the_csrf_token(settings: Any) -> None:
    client = guest()
    token = client.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "Origin": "https://evil.example"}
    response = ask(strict(client), "post", "/api/sessions/", "", **headers)
    assert refusal(response) == (403, "csrf_failed")
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://testserver"}, {"Origin": "http://testserver:8001"}, {"Origin": "null"},
     {"Sec-Fetch-Site": "same-site"}],
    ids=str,
)  # fmt: skip
def test_another_origins_page_cannot_read_with_cookies(headers: dict[str, str]) -> None:
    assert refusal(guest().get("/api/sessions/", headers=headers)) == (403, "forbidden_origin")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_only_json_bodies_are_accepted(content_type: str) -> None:
    response = guest().post("/api/sessions/", b'{"title": "x"}', content_type=content_type)
    assert refusal(response) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/api/sessions/", "/api/tokens/", "/api/stream/", "/api/poll/", "/api/beat/"])
@pytest.mark.parametrize("type_", ["multipart/form-data", "multipart/form-data; boundary=b", "multipart/mixed", "a/b"])
def test_a_malformed_form_is_refused_unread(path: str, type_: str, caplog: pytest.LogCaptureFixture) -> None:
    client = strict(guest())
    assert refusal(client.post(path, b"--b\r\nmalformed", content_type=type_)) in (
        (415, "unsupported_media_type"),
        (403, "csrf_failed"),  # not a form, so the check read nothing
    )
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "path", ["/api/sessions/", f"/api/sessions/{NO_SUCH_ID}/", f"/api/sessions/{NO_SUCH_ID}/poll/"]
)
def test_too_many_parameters_are_refused_in_the_same_format(path: str) -> None:
    answer = guest().get(f"{path}?{'a=1&' * 1100}")
    assert answer.status_code in (400, 404) and answer.json()["code"] in ("bad_request", "invalid", "not_found")


def test_errors_in_a_lists_items_are_named_by_their_number() -> None:
    class Names(serializers.Serializer[None]):
        names = serializers.ListField(child=serializers.CharField())

    checked = Names(data={"names": ["x", {}]})
    assert not checked.is_valid()
    assert json.loads(JSONRenderer().render(checked.errors)) == {"names": {"1": ["Not a valid string."]}}


@pytest.mark.parametrize("path", ["/api/", "/api/nothing/", "/api/sessions", "/api/sessions/a/b/c/"])
def test_an_unknown_path_gets_an_error_in_the_same_format(path: str) -> None:
    for client in (Client(), guest()):
        assert refusal(client.get(path)) == (404, "no_such_address")


@pytest.mark.parametrize("method", ["put", "options", "delete"])
def test_an_unsupported_method_gets_an_error_in_the_same_format(method: str) -> None:
    assert refusal(getattr(guest(), method)("/api/sessions/")) == (405, "method_not_allowed")


def test_responses_are_json_for_any_accept_header() -> None:
    response = guest().get("/api/sessions/", headers={"Accept": "text/html"})
    assert refusal(response) == (406, "not_acceptable")
    assert guest().get("/api/sessions/", headers={"Accept": "text/html,*/*;q=0.1"}).status_code == 200


def test_responses_are_not_cached() -> None:
    client = guest()
    for path in ("/api/sessions/", f"/api/sessions/{NO_SUCH_ID}/"):
        assert "no-store" in client.get(path).headers["Cache-Control"]


def limit(settings: Any, **numbers: int) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, **numbers}


def test_too_many_changes_get_a_retry_time(settings: Any) -> None:
    limit(settings, WRITES_PER_MINUTE=2)
    flooder, other = guest(), guest()
    answers = [ask(flooder, "post", "/api/sessions/", "") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    body = answers[-1].json()
    assert (body["code"], body["retryable"]) == ("rate_limited", True)
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 30
    assert flooder.get("/api/sessions/").status_code == 200
    assert ask(other, "post", "/api/sessions/", "").status_code == 201


def test_new_guests_from_one_address_are_limited(settings: Any) -> None:
    limit(settings, WRITES_PER_MINUTE=1)
    answers = [ask(guest(), "post", "/api/sessions/", "").status_code for _ in range(11)]
    assert answers == [201] * 10 + [429]


def test_unauthenticated_requests_are_limited(settings: Any) -> None:
    limit(settings, READS_PER_MINUTE=1)
    asked = [Client().get("/api/nothing/").status_code for _ in range(10)]
    while asked[-1] != 429 and len(asked) < 100:  # one more is let in every six seconds
        asked.append(Client().get("/api/nothing/").status_code)
    assert asked == [404] * (len(asked) - 1) + [429]


def request_from(address: str, forwarded: str = "") -> Any:
    meta = {"REMOTE_ADDR": address, "HTTP_X_FORWARDED_FOR": forwarded}
    return type("Request", (), {"META": meta})()


def proxies(settings: Any, number: int) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": number}


def test_a_client_cannot_choose_its_address(settings: Any) -> None:
    proxies(settings, 0)
    assert address_of(request_from("203.0.113.7", "198.51.100.1")) == "203.0.113.7"
    proxies(settings, 1)
    assert address_of(request_from("10.0.0.1", "1.1.1.1, 203.0.113.7")) == "203.0.113.7"
    assert address_of(request_from("10.0.0.1", "")) == "10.0.0.1"


def test_an_ipv6_network_counts_as_one_address(settings: Any) -> None:
    proxies(settings, 0)
    addresses = {address_of(request_from(f"2001:db8:0:1::{last}")) for last in ("1", "2", "ffff")}
    assert len(addresses) == 1
    assert address_of(request_from("2001:db8:0:2::1")) not in addresses
