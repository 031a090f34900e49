"""System checks of the project that Holdfast is installed in: what it includes, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, register
from django.core.management import get_commands
from django.middleware.gzip import GZipMiddleware
from django.utils.module_loading import import_string

from sessions_app.auth.addresses import prefix
from sessions_app.checks.settings import error, warning

APP = "sessions_app"
# What the page, the API and its documentation need beside Django's own.
APPS = ("rest_framework", "drf_spectacular", "drf_spectacular_sidecar", "django.contrib.staticfiles")
IDENTITY = "sessions_app.auth.middleware.identity_middleware"
# What the browser client reads; the first of each is Django's default.
CSRF: dict[str, tuple[object, ...]] = {
    "CSRF_COOKIE_NAME": ("csrftoken", "__Host-csrftoken"),
    "CSRF_COOKIE_HTTPONLY": (False,),
    "CSRF_HEADER_NAME": ("HTTP_X_CSRFTOKEN",),
    "CSRF_USE_SESSIONS": (False,),
}


@register("holdfast")
def check_apps(**_: object) -> Iterator[CheckMessage]:
    missing = [name for name in APPS if name not in _app_names()]
    if missing:
        yield error(26, f"INSTALLED_APPS lacks {', '.join(missing)}.", "Add them after sessions_app and agents_app.")
    owner = _runserver_owner()
    if owner != APP:
        yield warning(
            10,
            f"`manage.py runserver` is {owner}'s: it serves no WebSockets, or ends them without a farewell.",
            f"Put {APP} before {owner} in INSTALLED_APPS.",
        )


def _app_names() -> set[str]:
    return {app.name for app in apps.get_app_configs()}


def _runserver_owner() -> str:
    owner = get_commands()["runserver"]
    return owner if isinstance(owner, str) else owner.__module__.partition(".")[0]


@register("holdfast")
def check_routes(**_: object) -> Iterator[CheckMessage]:
    if not getattr(settings, "ROOT_URLCONF", None) or prefix() is None:
        yield error(
            27,
            "The project's URLconf doesn't include sessions_app.urls: no address is Holdfast's.",
            'Add path("chat/", include("sessions_app.urls")) to ROOT_URLCONF, in no other namespace.',
        )
    if not getattr(settings, "ASGI_APPLICATION", None):
        yield error(
            28,
            "ASGI_APPLICATION is not set: `manage.py runserver` has nothing to serve.",
            'Set it to the project\'s, such as "mysite.asgi.application", which sessions_app.asgi.mount returns.',
        )


@register("holdfast")
def check_middleware(**_: object) -> Iterator[CheckMessage]:
    names = list(settings.MIDDLEWARE)
    before = names[: names.index(IDENTITY)] if IDENTITY in names else names
    if IDENTITY not in names:
        yield error(
            15,
            "MIDDLEWARE lacks the identity middleware: the API couldn't identify anyone.",
            f"Put {IDENTITY} at the end of MIDDLEWARE.",
        )
    missing = [each.__name__ for each in (SessionMiddleware, AuthenticationMiddleware) if not _contains(before, each)]
    if missing:
        yield error(
            29,
            f"MIDDLEWARE lacks {' and '.join(missing)} before the identity middleware: no user could be identified.",
            f"Put them before {IDENTITY}.",
        )
    if _contains(names, GZipMiddleware):
        yield warning(
            11,
            "GZipMiddleware compresses streams: browsers get their events late or not at all.",
            "Remove it, and compress in the web server in front, all but text/event-stream.",
        )


def _contains(names: list[str], wanted: type) -> bool:
    """Return whether one of these middlewares is `wanted` or derives from it."""
    found = (_import(name) for name in names)
    return any(isclass(each) and issubclass(each, wanted) for each in found)


def _import(name: str) -> Any:
    try:
        return import_string(name)
    except ImportError:  # the server says so when it starts
        return None


@register("holdfast")
def check_csrf(**_: object) -> Iterator[CheckMessage]:
    changed = [name for name, readable in CSRF.items() if getattr(settings, name) not in readable]
    if changed:
        yield error(
            30,
            f"{', '.join(changed)} hides the CSRF token from the browser client: whatever it sends would be refused.",
            "Leave Django's default, or name the cookie __Host-csrftoken.",
        )


@register("holdfast")
def check_time_zone(**_: object) -> Iterator[CheckMessage]:
    if not settings.USE_TZ:
        yield error(31, "USE_TZ is off: times would be stored and compared without a zone.", "Set USE_TZ = True.")
