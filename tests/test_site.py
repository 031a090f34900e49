"""The project's site: its first administrator, its headers, its API page."""

import stat
import sys
from io import StringIO
from pathlib import Path
from typing import Any

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


class Log(StringIO):
    """Standard output that isn't a terminal."""


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_password_never_reaches_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    monkeypatch.setattr(sys, "stdout", log := Log())
    call_command("ensure_admin", password_file=file)
    password = file.read_text().strip()
    assert client.login(username="admin", password=password)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in log.getvalue() + capsys.readouterr().err and str(file) in log.getvalue()


def test_a_terminal_shows_the_password_and_gets_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    call_command("ensure_admin", password_file=tmp_path / "password")
    assert "password  " in terminal.getvalue() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a file", "a link", "a folder that isn't there"])
def test_without_a_new_file_no_administrator_is_created(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "password"
    if kind == "a file":
        path.write_text("another's")
    elif kind == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path = tmp_path / "nowhere" / "password"
    monkeypatch.setattr(sys, "stdout", Log())
    with pytest.raises(CommandError, match="No administrator was created"):
        call_command("ensure_admin", password_file=path)
    assert not get_user_model().objects.exists() and not (tmp_path / "elsewhere").exists()
    assert kind != "a file" or path.read_text() == "another's"


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
    assert "img-src http://testserver/static/ data:;" in policy


def test_the_api_page_obeys_the_policy_and_works_offline(
    client: Client,
) -> None:
    page = client.get("/api/docs/").content.decode()
    assert "swagger-ui-bundle.js" in page
    assert "<style" not in page and "<script>" not in page and "//" not in page.replace("<!--", "")


@pytest.mark.parametrize(
    ("host", "secure", "images"),
    [("chat.example.com", True, "https://chat.example.com/static/ data:"),
     ("chat.example.com:8443", True, "https://chat.example.com:8443/static/ data:"),
     ("[::1]:8000", False, "'self' data:"), ("evil.example", False, " data:")],
)  # fmt: skip
def test_images_come_from_the_static_files_of_the_requests_host(
    client: Client, settings: Any, host: str, secure: bool, images: str
) -> None:
    settings.ALLOWED_HOSTS = ["chat.example.com", "[::1]"]
    policy = client.get("/login/", secure=secure, headers={"Host": host}).headers["Content-Security-Policy"]
    assert f"img-src {images};" in policy
