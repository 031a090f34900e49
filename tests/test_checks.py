"""System checks: each harmful combination of settings is reported, with advice."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as current
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from sessions_app import conf
from sessions_app.checks.services import bits, file_system

REDIS = "channels_redis.pubsub.RedisPubSubChannelLayer"
A_DATABASE = {
    "ENGINE": "django.db.backends.sqlite3",
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
}
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", AUTH, "sessions_app.auth.middleware.identity_middleware",
]  # fmt: skip
WRONG_ORIGINS = (
    "*", "null", "app.example.com", "https://*.example.com", "https://app.example.com/", "https://app.example.com/chat",
    "https://app.example.com:0", "https://app.example.com:65536", "https://user@app.example.com", "http://app.example.com",
    "https://äpp.example.com", "wss://app.example.com", "",
)  # fmt: skip
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /srv/holdfast nfs4 rw 0 0
/dev/sdb1 /srv/holdfast/fast\\040disk xfs rw 0 0
"""


class OwnAuthentication(AuthenticationMiddleware):
    """Another project's."""


def found() -> list[str]:
    return sorted(str(message.id) for message in messages())  # they come in no order


def messages() -> list[CheckMessage]:
    return run_checks(tags=["holdfast"])


def test_the_sites_own_settings_pass() -> None:
    assert found() == []


def test_every_message_has_a_hint(settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "PONG_TIMEOUT_S": 99, "ACK_BYTES": 99_999, "RETENTION_MAX_HOURS": 1}
    assert len(messages()) == 3 and all(message.hint for message in messages())


@pytest.mark.parametrize(
    ("values", "id"),
    [
        ({"PONG_TIMEOUT_S": 50}, "holdfast.E001"),
        ({"PING_INTERVAL_S": 58}, "holdfast.W001"),
        ({"PROXY_IDLE_S": 54}, "holdfast.W001"),
        ({"HEARTBEAT_MS": 60_000}, "holdfast.W002"),
        ({"ROLLUP_MS": 30}, "holdfast.E025"),
        ({"LEASE_MS": 1000}, "holdfast.W003"),
        ({"RESPONSE_BYTES": 10_000}, "holdfast.E003"),
        ({"FRAME_BYTES": 10_000}, "holdfast.E004"),
        ({"BODY_BYTES": 65_535}, "holdfast.E024"),
        ({"WINDOW_BYTES": 65_536}, "holdfast.E025"),
        ({"ACK_BYTES": 30_000}, "holdfast.E006"),
        ({"ACK_MS": 30_000}, "holdfast.E007"),
        ({"HISTORY_DEFAULT": 201}, "holdfast.E008"),
        ({"FANOUT_LAYERS": ["default", "other"]}, "holdfast.E021"),
        ({"RETENTION_MAX_HOURS": 23}, "holdfast.E025"),
        ({"DEFAULT_AGENT": "nobody"}, "holdfast.E018"),
        ({"TOKEN_KEYS": {"good": "x" * 32, "bad": "x" * 31}}, "holdfast.E019"),
        *(({"ORIGINS": [origin]}, "holdfast.E032") for origin in WRONG_ORIGINS),
        ({"JWKS_URL": "http://id.example.com/keys", "JWKS_ISSUER": "https://id.example.com/"}, "holdfast.E033"),
        ({"JWKS_URL": "https://id.example.com/keys"}, "holdfast.E034"),
    ],
)
def test_a_harmful_number_is_reported(settings: Any, values: dict[str, Any], id: str) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, **values}
    assert found() == [id]


def test_exact_origins_pass(settings: Any) -> None:
    origins = ["https://app.example.com", "https://app.example.com:8443", "http://localhost:5173", "https://[::1]:8443"]
    settings.HOLDFAST = {**settings.HOLDFAST, "ORIGINS": origins}
    assert found() == []
    settings.HOLDFAST = {**settings.HOLDFAST, "ORIGINS": ["http://app.example.com"]}
    settings.DEBUG = True
    assert found() == []


def test_all_invalid_values_are_reported_together(settings: Any) -> None:
    settings.HOLDFAST = {
        "ROLUP_MS": 20,
        "ROLLUP_MS": 30,
        "LEASE_MS": "10000",
        "DRAIN_MS": True,
        "RUN_AGENTS": 1,
        "AGENTS": "demo",
        "TOKEN_KEYS": {"a": b"secret"},
        "METRICS_TOKEN": 31337,
        "HISTORY_MAX": 100,
    }
    expected = [
        ("HOLDFAST has the unknown name 'ROLUP_MS'.", "Did you mean ROLLUP_MS?"),
        ("ROLLUP_MS is 30.", "Use one of 0, 20, 40, 100, 500."),
        ("LEASE_MS is '10000'.", "Use a whole number from 300 to 600000."),
        ("DRAIN_MS is True.", "Use a whole number from 0 to 600000."),
        ("RUN_AGENTS has the wrong type.", "Use True or False."),
        ("AGENTS has the wrong type.", "Use a list of strings."),
        ("TOKEN_KEYS has the wrong type.", "Use a dict of strings."),
        ("METRICS_TOKEN has the wrong type.", "Use a string."),
    ]
    assert [(message.msg, message.hint) for message in messages()] == expected
    # What is wrong has its default until it is put right, what isn't is taken.
    assert (conf.settings.lease_ms, conf.settings.history_max) == (10_000, 100)
    with pytest.raises(ImproperlyConfigured) as refusal:
        conf.require_valid()
    assert str(refusal.value).splitlines() == [f"{problem} {hint}" for problem, hint in expected]


@pytest.mark.parametrize("value", [None, [], "ROLLUP_MS=20"])
def test_settings_that_are_not_a_dict_are_reported(settings: Any, value: Any) -> None:
    settings.HOLDFAST = value
    assert found() == ["holdfast.E025"]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"BACKEND": REDIS, "CONFIG": {"hosts": ["redis://localhost"]}}, []),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": [{"address": "redis://localhost", "socket_timeout": None}]}}, []),
        (
            {"BACKEND": REDIS, "CONFIG": {"hosts": [{"address": "redis://localhost", "socket_timeout": 5}]}},
            ["holdfast.E010"],
        ),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": ["redis://localhost/0?socket_timeout=5"]}}, ["holdfast.E010"]),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": [{"address": "redis://a?socket_timeout=5"}]}}, ["holdfast.E010"]),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": [("a", 6379), ("b", 6379)]}}, ["holdfast.W005"]),
        ({"BACKEND": "channels_redis.core.RedisChannelLayer"}, ["holdfast.E009"]),
    ],
)
def test_a_harmful_channel_layer_is_reported(settings: Any, layer: dict[str, Any], expected: list[str]) -> None:
    settings.CHANNEL_LAYERS = {"default": layer}
    assert found() == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"}, ["holdfast.E011"]),
        ({"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous = full"}, ["holdfast.E012"]),
        ({"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}, ["holdfast.E013"]),
        ({}, ["holdfast.E011", "holdfast.E012", "holdfast.E013"]),
    ],
)
def test_a_database_that_loses_data_or_locks_is_reported(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: list[str]
) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": options}
    monkeypatch.setitem(current.DATABASES, "default", database)
    assert found() == expected


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("ALLOWED_HOSTS", ["*"], "holdfast.E014"),
        ("CSRF_COOKIE_NAME", "token", "holdfast.E030"),
        ("CSRF_USE_SESSIONS", True, "holdfast.E030"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "holdfast.E016"),
    ],
)
def test_insecure_access_settings_are_reported(settings: Any, name: str, value: Any, id: str) -> None:
    setattr(settings, name, value)
    assert found() == [id]


# What it is installed in


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ROOT_URLCONF", "rest_framework.urls", ["E027"]),
        ("ROOT_URLCONF", None, ["E027"]),
        ("ASGI_APPLICATION", None, ["E028"]),
        ("USE_TZ", False, ["E031"]),
        ("MIDDLEWARE", [], ["E015", "E029"]),
        ("MIDDLEWARE", [*MIDDLEWARE, "sessions_app.nothing.there"], []),
        ("MIDDLEWARE", ["django.middleware.gzip.GZipMiddleware", *MIDDLEWARE], ["W011"]),
        ("MIDDLEWARE", [*MIDDLEWARE[1:], MIDDLEWARE[0]], ["E029"]),
        ("MIDDLEWARE", ["tests.test_checks.OwnAuthentication" if m == AUTH else m for m in MIDDLEWARE], []),
    ],
)
def test_it_names_what_the_project_lacks(settings: Any, name: str, value: Any, expected: list[str]) -> None:
    setattr(settings, name, value)
    assert [id.removeprefix("holdfast.") for id in found()] == expected


def test_it_names_the_applications_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.checks.installation._app_names", lambda: {"rest_framework"})
    [message] = messages()
    assert message.msg == ("INSTALLED_APPS lacks drf_spectacular, drf_spectacular_sidecar, django.contrib.staticfiles.")


def test_it_names_a_server_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {"runserver": "django.contrib.staticfiles"}
    monkeypatch.setattr("sessions_app.checks.installation.get_commands", lambda: commands)
    [message] = messages()
    assert (message.id, message.hint) == (
        "holdfast.W010", "Put sessions_app before django.contrib.staticfiles in INSTALLED_APPS.",
    )  # fmt: skip


# What it stands on


@pytest.mark.parametrize(
    ("engine", "layer", "expected"),
    [
        ("sqlite3", "channels.layers.InMemoryChannelLayer", ["holdfast.W004", "holdfast.W006"]),
        ("sqlite3", REDIS, ["holdfast.W006"]),
        ("postgresql", "channels.layers.InMemoryChannelLayer", ["holdfast.W004"]),
        ("postgresql", REDIS, []),
    ],
)
def test_missing_services_of_several_processes_are_reported(
    settings: Any, monkeypatch: pytest.MonkeyPatch, engine: str, layer: str, expected: list[str]
) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "PROCESSES": 2}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": layer}}
    monkeypatch.setitem(current.DATABASES, "default", A_DATABASE | {"ENGINE": f"django.db.backends.{engine}"})
    assert found() == expected


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/holdfast/holdfast.sqlite3", "nfs4"),
        ("/srv/holdfasts/holdfast.sqlite3", "ext4"),
        ("/srv/holdfast/fast disk/holdfast.sqlite3", "xfs"),
        ("/home/holdfast.sqlite3", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_detected(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert file_system(Path(path), "") == ""


def test_a_database_file_on_a_network_file_system_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current.DATABASES, "default", A_DATABASE | {"NAME": "/srv/holdfast/holdfast.sqlite3"})
    monkeypatch.setattr("sessions_app.checks.services._mounts", lambda: MOUNTS)
    assert found() == ["holdfast.E022"]


@pytest.mark.parametrize(
    ("key", "weak"),
    [
        ("x" * 60, True),
        ("abcd" * 15, True),
        ("django-insecure-" + secrets.token_urlsafe(64), True),
        (secrets.token_urlsafe(32), True),  # as long as it takes for nobody to have typed it
        (secrets.token_urlsafe(50), False),
        (secrets.token_hex(32), False),
    ],
    ids=["one-letter", "four-letters", "made-by-startproject", "short", "long", "hexadecimal"],
)
def test_a_guessable_secret_key_is_reported(settings: Any, key: str, weak: bool) -> None:
    settings.DEBUG = False
    settings.SECRET_KEY = key
    assert found() == ["holdfast.E023"] * weak


def test_repeated_letters_have_no_entropy() -> None:
    assert bits("x" * 60) == 0
    assert bits("ab") == 2


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("chat.example.com", True),
        (".example.com", True),
        ("8.8.8.8", True),
        ("[2606:4700::1]", True),
        ("localhost", False),
        ("devbox", False),
        ("chat.localhost", False),
        ("mac.local", False),
        ("192.168.1.7", False),
        ("[::1]", False),
    ],
)
def test_debugging_on_a_public_site_is_reported(settings: Any, host: str, public: bool) -> None:
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = [host]
    assert found() == ["holdfast.W008"] * public


@pytest.mark.django_db
def test_too_many_postgresql_connections_are_reported(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such limit")
    assert connection_checks() == []
    settings.HOLDFAST = {**settings.HOLDFAST, "PROCESSES": 1000}
    assert connection_checks() == ["holdfast.W007"]


def connection_checks() -> list[str]:
    return [message.id for message in run_checks(tags=["database"], databases=["default"])]
