"""The applications in another Django project, with its own settings and none of this project's."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent

# A site with an API of its own, whose defaults fit that and would break this one.
SITE = """
SECRET_KEY = "k3Vq" * 5 + "zR8wLm1xTb6nYc4dHs9fJg2pQe7uAiOoKZ"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "site_urls"
ASGI_APPLICATION = "site_asgi.application"
STATIC_URL = "static/"
USE_TZ = True
INSTALLED_APPS = [
    "sessions_app", "agents_app", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.staticfiles", "rest_framework", "drf_spectacular", "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "sessions_app.auth.middleware.identity_middleware",
]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE,
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.StaticHTMLRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "site_api.Negotiation",
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_VERSION": "1", "ALLOWED_VERSIONS": [],
    "DEFAULT_FILTER_BACKENDS": ["rest_framework.filters.SearchFilter"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination", "PAGE_SIZE": 1,
    "EXCEPTION_HANDLER": "site_api.handler",
}
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("chat/", include("sessions_app.urls"))]
"""
API = """
def handler(error, context):
    raise error

class Negotiation:
    def select_parser(self, request, parsers):
        raise NotImplementedError

    select_renderer = select_parser
"""
# A site as it is before anything of Holdfast's is set up but the applications' names.
UNPREPARED = """
INSTALLED_APPS = INSTALLED_APPS[:-2]
MIDDLEWARE = MIDDLEWARE[:-1]
ROOT_URLCONF = "rest_framework.urls"
ALLOWED_HOSTS = ["*"]
USE_TZ = False
del ASGI_APPLICATION, DATABASES["default"]["OPTIONS"]
HOLDFAST = {"ROLUP_MS": 20, "LEASE_MS": "soon"}
"""
# An ASGI application to which nobody has added `mount`.
UNMOUNTED = """
from django.core.asgi import get_asgi_application

application = get_asgi_application()
"""
LAYERS = 'CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}\n'
# What a user does there, and what becomes of each request.
VISIT = """
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
user = Client()
user.force_login(get_user_model().objects.create_user("alice"))
for _ in range(2):
    created = user.post("/chat/api/sessions/", {"title": "Hello"}, content_type="application/json")
    print(created.status_code, created["Content-Type"], created["Cache-Control"], created.json()["title"])
listed = user.get("/chat/api/sessions/")
print(listed.status_code, len(listed.json()["results"]))
print(*(user.post("/chat/api/sessions/", {"title": 5, "agent": "none"}).json()[name] for name in ("code", "retryable")))
for client, path in ((Client(), "/chat/api/sessions/"), (user, "/chat/api/policies/"), (user, "/chat/api/nothing/")):
    refused = client.get(path)
    print(refused.status_code, refused.json()["code"])
described = Client().get("/chat/api/schema/?format=json")
print(described.status_code, described.json()["info"]["title"], {path[:10] for path in described.json()["paths"]})
call_command("makemigrations", check=True, dry_run=True)
"""


# The garbage collector of a process that has started.
START = """
import asyncio, django, gc
django.setup()
from django.core.management import call_command
from sessions_app import process
call_command("migrate", verbosity=0)

async def main():
    before = gc.get_threshold()
    await process.start()
    print(gc.get_threshold() == before, gc.get_freeze_count())
    await process.stop(0)

asyncio.run(main())
"""


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """Run Python in such a site. `more` is added to its settings."""

    def run(more: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "site_settings.py").write_text(f"DATABASE = {str(tmp_path / 'db')!r}\n{SITE}\n{more}")
        (tmp_path / "site_urls.py").write_text(URLS)
        (tmp_path / "site_api.py").write_text(API)
        (tmp_path / "site_asgi.py").write_text(UNMOUNTED)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        variables = {"DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        return subprocess.run(
            [sys.executable, *arguments], env=ours | variables, cwd=tmp_path, capture_output=True, text=True
        )

    return run


def test_all_missing_or_invalid_settings_are_listed_together(site: Any) -> None:
    checked = site(UNPREPARED, "-m", "django", "check")
    assert checked.returncode == 1 and "Traceback" not in checked.stderr
    assert sorted(re.findall(r"\(holdfast\.(\w+)\)", checked.stderr)) == [
        "E011", "E012", "E013", "E014", "E015", "E021", "E025", "E025", "E026", "E027", "E028", "E031",
    ]  # fmt: skip
    assert "HINT: For one process: CHANNEL_LAYERS = {'default':" in checked.stderr


def test_a_server_refuses_to_start_with_invalid_settings(site: Any) -> None:
    start = "import asyncio, django; django.setup(); from sessions_app import process; asyncio.run(process.start())"
    started = site(f'{LAYERS}HOLDFAST = {{"ROLUP_MS": 20, "LEASE_MS": "soon"}}', "-c", start)
    assert started.returncode == 1
    first, second = started.stderr.splitlines()[-2:]
    assert first.endswith("ImproperlyConfigured: HOLDFAST has the unknown name 'ROLUP_MS'. Did you mean ROLLUP_MS?")
    assert second == "LEASE_MS is 'soon'. Use a whole number from 300 to 600000."


def test_runserver_refuses_an_application_without_the_mount(site: Any) -> None:
    started = site(LAYERS, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{free_port()}")
    assert started.returncode == 1
    assert started.stderr.splitlines()[-1] == (
        "CommandError: site_asgi.application serves no WebSockets: return sessions_app.asgi.mount(application) from it"
    )


def test_only_the_channel_layers_must_be_set(site: Any) -> None:
    checked = site(LAYERS, "-m", "django", "check")
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_the_api_ignores_the_sites_rest_defaults(site: Any) -> None:
    visited = site(LAYERS, "-c", VISIT)
    assert visited.stdout.splitlines() == [
        "201 application/json private, no-store Hello",
        "201 application/json private, no-store Hello",
        "200 2",
        "unsupported_media_type False",
        "401 signed_out",
        "403 forbidden",
        "404 no_such_address",
        "200 Holdfast {'/chat/api/'}",
        "No changes detected",
    ], visited.stderr


def test_interpreter_settings_are_left_to_the_site(site: Any) -> None:
    started = site(LAYERS, "-c", START)
    assert started.stdout.splitlines() == ["True 0"], started.stderr
