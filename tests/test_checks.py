"""Each combination of settings that would do harm is named, with what to do about it."""

from typing import Any

import pytest
from django.conf import settings as current
from django.core.checks import CheckMessage, run_checks

import sessions_app.checks  # noqa: F401  (registers them)

REDIS = "channels_redis.pubsub.RedisPubSubChannelLayer"


def found() -> list[str]:
    return [message.id for message in messages()]


def messages() -> list[CheckMessage]:
    return run_checks(tags=["holdfast"])


def test_the_sites_own_settings_are_fine() -> None:
    assert found() == []


def test_every_message_has_a_hint(settings: Any) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, "PONG_TIMEOUT_S": 99, "ACK_BYTES": 99_999, "RETENTION_MAX_HOURS": 1}
    assert len(messages()) == 3 and all(message.hint for message in messages())


@pytest.mark.parametrize(
    ("values", "id"),
    [
        ({"PONG_TIMEOUT_S": 50}, "holdfast.E001"),
        ({"PING_INTERVAL_S": 58}, "holdfast.W001"),
        ({"HEARTBEAT_MS": 60_000}, "holdfast.W002"),
        ({"ROLLUP_MS": 30}, "holdfast.E002"),
        ({"LEASE_MS": 1000}, "holdfast.W003"),
        ({"RESPONSE_BYTES": 10_000}, "holdfast.E003"),
        ({"FRAME_BYTES": 10_000}, "holdfast.E004"),
        ({"WINDOW_BYTES": 65_536}, "holdfast.E005"),
        ({"ACK_BYTES": 30_000}, "holdfast.E006"),
        ({"ACK_MS": 30_000}, "holdfast.E007"),
        ({"HISTORY_DEFAULT": 201}, "holdfast.E008"),
        ({"PROCESSES": 2}, "holdfast.W004"),
        ({"RETENTION_MAX_HOURS": 23}, "holdfast.E017"),
        ({"DEFAULT_AGENT": "nobody"}, "holdfast.E018"),
        ({"TOKEN_KEYS": {"good": "x" * 32, "bad": "x" * 31}}, "holdfast.E019"),
    ],
)
def test_it_names_a_number_that_does_harm(settings: Any, values: dict[str, Any], id: str) -> None:
    settings.HOLDFAST = {**settings.HOLDFAST, **values}
    assert found() == [id]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"BACKEND": REDIS, "CONFIG": {"hosts": ["redis://localhost"]}}, []),
        ({"BACKEND": REDIS, "CONFIG": {"hosts": [{"address": "redis://localhost", "socket_timeout": None}]}}, []),
        (
            {"BACKEND": REDIS, "CONFIG": {"hosts": [{"address": "redis://localhost", "socket_timeout": 5}]}},
            ["holdfast.E010"],
        ),
        ({"BACKEND": "channels_redis.core.RedisChannelLayer"}, ["holdfast.E009"]),
    ],
)
def test_it_names_a_channel_layer_that_does_harm(settings: Any, layer: dict[str, Any], expected: list[str]) -> None:
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
def test_it_names_a_database_that_loses_or_locks(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: list[str]
) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": options}
    monkeypatch.setitem(current.DATABASES, "default", database)
    assert found() == expected


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("ALLOWED_HOSTS", ["*"], "holdfast.E014"),
        ("MIDDLEWARE", [], "holdfast.E015"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "holdfast.E016"),
    ],
)
def test_it_names_an_open_door(settings: Any, name: str, value: Any, id: str) -> None:
    setattr(settings, name, value)
    assert found() == [id]
