"""The project's site: its first administrator, its headers, its API page."""

from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from sessions_app.models import Session

pytestmark = pytest.mark.django_db


def ensure_admin() -> str:
    out = StringIO()
    call_command("ensure_admin", stdout=out, no_color=True)
    return out.getvalue()


def test_the_first_start_creates_one_administrator_and_prints_a_working_password(client: Client) -> None:
    printed = ensure_admin()
    password = printed.split("password  ")[1].split()[0]
    assert client.login(username="admin", password=password)
    assert client.get("/admin/").status_code == 200
    assert ensure_admin() == ""
    assert get_user_model().objects.count() == 1


def test_an_administrator_of_another_name_is_kept() -> None:
    get_user_model().objects.create_superuser("grace", password="x")
    assert ensure_admin() == ""


def test_it_leaves_a_user_model_that_needs_more_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_user_model(), "REQUIRED_FIELDS", ["email", "birthday"])
    with pytest.raises(CommandError, match=r"^auth.User needs birthday: .*createsuperuser"):
        ensure_admin()
    get_user_model().objects.create_superuser("grace", password="x")
    assert ensure_admin() == ""


def test_it_refuses_a_user_model_without_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.management.commands.ensure_admin.get_user_model", lambda: Session)
    with pytest.raises(CommandError, match="sessions_app.Session has no is_superuser"):
        ensure_admin()


@pytest.mark.parametrize("path", ["/admin/login/", "/login/", "/api/docs/", "/nothing-here"])
def test_every_response_has_a_content_security_policy(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_api_page_obeys_the_policy_and_works_offline(
    client: Client,
) -> None:
    page = client.get("/api/docs/").content.decode()
    assert "swagger-ui-bundle.js" in page
    assert "<style" not in page and "<script>" not in page and "//" not in page.replace("<!--", "")
