"""Settings from environment variables. Invalid values raise an error that says what is valid."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from sessions_app.conf import Setting


def env_str(name: str, default: str) -> str:
    """Return the variable's value, stripped. Unset and empty both mean `default`."""
    return os.environ.get(name, "").strip() or default


def env_choice(name: str, default: str, choices: Iterable[str]) -> str:
    """Return one of `choices`, which are upper-case. The variable's case is ignored."""
    text = env_str(name, default).upper()
    if text not in choices:
        raise refusal(name, f"use one of {', '.join(choices)}")
    return text


def env_bool(name: str, default: bool) -> bool:
    text = env_str(name, "true" if default else "false").lower()
    if text not in ("true", "false"):
        raise refusal(name, "use true or false")
    return text == "true"


def env_int(name: str, default: int, *, low: int = 0, high: int = 2**53) -> int:
    """Return a whole number from `low` to `high`."""
    text = env_str(name, str(default))
    # str.isdecimal alone would accept digits of other scripts.
    if not (text.isascii() and text.isdecimal()):
        raise refusal(name, "use a whole number")
    value = int(text)
    if not low <= value <= high:
        raise refusal(name, f"use a whole number from {low} to {high}")
    return value


def env_list(name: str, default: Iterable[str]) -> list[str]:
    """Return a comma-separated list."""
    return [item.strip() for item in env_str(name, ",".join(default)).split(",") if item.strip()]


def env_keys(name: str) -> dict[str, str]:
    """Return `id:secret,id:secret` as a dictionary in that order; empty if unset."""
    keys: dict[str, str] = {}
    for item in env_list(name, []):
        id_, _, secret = item.partition(":")
        if not id_ or not secret or id_ in keys:  # the message must not contain the secrets
            raise ImproperlyConfigured(f"{name}: use id:secret,id:secret, each id once")
        keys[id_] = secret
    return keys


def env_settings(prefix: str, declared: Iterable[Setting]) -> dict[str, Any]:
    """Return the settings whose variable `prefix + name` is set, parsed by their declared type and bounds."""
    given: dict[str, object] = {}
    for setting in declared:
        variable = prefix + setting.name
        if not env_str(variable, ""):
            continue
        value = READERS[setting.kind](variable)
        try:
            given[setting.name] = setting.read(value)
        except ValueError as wrong:
            raise refusal(variable, f"use {wrong}") from None
    return given


# By a setting's type. Called only for variables that are set, so the defaults are never used.
READERS: dict[type, Callable[[str], object]] = {
    str: lambda name: env_str(name, ""),
    bool: lambda name: env_bool(name, False),
    int: lambda name: env_int(name, 0),
    tuple: lambda name: env_list(name, []),
    Mapping: env_keys,
}


def env_database(name: str, default: Path) -> dict[str, Any]:
    """Parse a database URL into an entry of Django's DATABASES. Unset means the SQLite file `default`.

    `sqlite:///relative/path`, `sqlite:////absolute/path`, or
    `postgres://user:password@host:port/name?sslmode=require` (the query goes to OPTIONS).
    """
    url = urlsplit(env_str(name, f"sqlite:///{quote(str(default))}"))
    path = unquote(url.path[1:])
    if url.scheme == "sqlite" and not url.netloc and path:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": {}}
    if url.scheme in ("postgres", "postgresql") and url.hostname and path:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": path,
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname,
            "PORT": url.netloc.rpartition("@")[2].partition(":")[2],
            "OPTIONS": dict(parse_qsl(url.query)),
        }
    # The URL may contain a password, so the message must not.
    raise ImproperlyConfigured(f"{name}: use sqlite:///path/to/file or postgres://user:password@host:port/name")


def env_redis(name: str) -> dict[str, Any]:
    """Parse `redis://a,redis://b` into entries of CHANNEL_LAYERS, "default" and "redis-1"; empty if unset.

    `rediss://` is TLS. The query goes to redis-py: `rediss://host:6380/0?ssl_ca_certs=/etc/ssl/redis.pem`.
    """
    layers = {}
    for number, address in enumerate(env_list(name, [])):
        if urlsplit(address).scheme not in ("redis", "rediss", "unix"):  # the message must not contain a password
            raise ImproperlyConfigured(f"{name}: use redis://user:password@host:port/0, or rediss:// for TLS")
        # No read timeout, since a quiet site has nothing to read. Holdfast sets its own timeouts.
        host = {"address": address, "socket_timeout": None, "socket_connect_timeout": 1, "socket_keepalive": True}
        layers[f"redis-{number}" if number else "default"] = {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [host]},
        }
    return layers


def refusal(name: str, hint: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}={os.environ.get(name, '')}: {hint}")
