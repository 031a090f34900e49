"""Environment variables: read exactly, or refused with advice."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from project.env import env_bool, env_database, env_int, env_keys, env_list, env_redis, env_str

NAME = "HOLDFAST_TESTED"
DEFAULT = Path("/srv/holdfast/a b.sqlite3")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)


def test_an_unset_or_empty_variable_gives_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert env_str(NAME, "x") == "x"
        assert env_bool(NAME, True) is True
        assert env_int(NAME, 7) == 7
        assert env_list(NAME, ["a", "b"]) == ["a", "b"]
        assert env_database(NAME, DEFAULT)["NAME"] == str(DEFAULT)
        monkeypatch.setenv(NAME, " ")


def test_text_is_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, " word ")
    assert env_str(NAME, "x") == "word"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), (" TRUE ", True)])
def test_booleans_are_read(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv(NAME, text)
    assert env_bool(NAME, not value) is value


@pytest.mark.parametrize("text", ["yes", "1", "on", "tru"])
def test_other_booleans_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match=f"^{NAME}={text}: use true or false$"):
        env_bool(NAME, False)


@pytest.mark.parametrize("text", ["-1", "1.5", "ten", "1e3", "1_000", "٣", "0x10", "99"])
def test_fractions_and_numbers_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match=NAME):
        env_int(NAME, 7, low=1, high=98)


def test_a_list_is_read_without_empty_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "a.example, b.example,,")
    assert env_list(NAME, []) == ["a.example", "b.example"]


def test_keys_are_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "b:new:secret=, a:old")
    assert list(env_keys(NAME).items()) == [("b", "new:secret="), ("a", "old")]
    monkeypatch.delenv(NAME)
    assert env_keys(NAME) == {}


@pytest.mark.parametrize("text", ["hunter2", ":hunter2", "a:", "a:hunter2,a:hunter2"])
def test_malformed_keys_are_refused_without_repeating_a_secret(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match="use id:secret") as refusal:
        env_keys(NAME)
    assert "hunter2" not in str(refusal.value)


def test_database_urls_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "sqlite:////var/lib/a%20b.sqlite3")
    assert env_database(NAME, DEFAULT)["NAME"] == "/var/lib/a b.sqlite3"
    monkeypatch.setenv(NAME, "postgres://me:p%40ss@db.example:5433/chats?sslmode=require")
    assert env_database(NAME, DEFAULT) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "chats",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "mysql://me:hunter2@a/b",
        "sqlite://",
        "sqlite:///",
        "postgres://host",
        "postgres://me:hunter2@/name",
        "a.db",
        "sqlite://a/b",
    ],
)
def test_other_database_urls_are_refused_without_repeating_a_password(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match="use sqlite:///") as refusal:
        env_database(NAME, DEFAULT)
    assert "hunter2" not in str(refusal.value)


def test_redis_urls_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env_redis(NAME) == {}
    monkeypatch.setenv(NAME, "redis://one:6379/0, rediss://:word@two:6380/0?ssl_ca_certs=/etc/ca.pem")
    layers = env_redis(NAME)
    addresses = {name: layer["CONFIG"]["hosts"][0]["address"] for name, layer in layers.items()}
    assert addresses == {
        "default": "redis://one:6379/0",
        "redis-1": "rediss://:word@two:6380/0?ssl_ca_certs=/etc/ca.pem",
    }


def test_other_redis_urls_are_refused_without_repeating_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "redis.example:6379/secret")
    with pytest.raises(ImproperlyConfigured) as refusal:
        env_redis(NAME)
    assert "redis://user" in str(refusal.value) and "secret" not in str(refusal.value)
