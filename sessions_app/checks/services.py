"""System checks for channel layers, the database and its file system, the secret key and DEBUG."""

from __future__ import annotations

import ipaddress
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, register
from django.db import connections

from sessions_app import conf
from sessions_app.checks.settings import error, warning

IN_MEMORY = "channels.layers.InMemoryChannelLayer"
KEY_CHARACTERS, KEY_BITS = 50, 128  # Django's own recommendation, and the entropy of a key that can't be guessed
# File systems shared between machines. SQLite's WAL needs shared memory, so it works on one machine only.
NETWORK_FILE_SYSTEMS = {
    "9p", "afs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gfs2",
    "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs",
}  # fmt: skip
# Domains that exist only on a machine or its local network: RFC 6761, RFC 6762 and common use.
PRIVATE_DOMAINS = ("localhost", "test", "local", "internal", "lan", "home.arpa")


# Channel layers


@register("holdfast")
def check_layers(**_: object) -> Iterator[CheckMessage]:
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    for name in conf.settings.fanout_layers:
        if name in layers:
            yield from _check_layer(name, layers[name])
        else:
            names = f"Use names of CHANNEL_LAYERS: {', '.join(layers)}."
            yield error(
                21,
                f"FANOUT_LAYERS names {name!r}, which CHANNEL_LAYERS doesn't have: no process can start.",
                names if layers else f"For one process: CHANNEL_LAYERS = {{{name!r}: {{'BACKEND': '{IN_MEMORY}'}}}}.",
            )


def _check_layer(name: str, layer: Mapping[str, Any]) -> Iterator[CheckMessage]:
    backend: str = layer.get("BACKEND", "")
    hosts = layer.get("CONFIG", {}).get("hosts", [])
    if backend == IN_MEMORY and conf.settings.processes > 1:
        yield warning(
            4,
            "Several processes without Redis: a process sees the others' writes only when it polls the database.",
            "Use a Redis channel layer (HOLDFAST_REDIS), or run one process.",
        )
    if backend.endswith("core.RedisChannelLayer"):
        yield error(
            9,
            "The list-based Redis layer drops messages when one of a process's readers is slow.",
            "Use channels_redis.pubsub.RedisPubSubChannelLayer.",
        )
    if any(map(_read_timeout, hosts)):
        yield error(
            10,
            f"A Redis host of the channel layer {name!r} has a socket_timeout, which cuts off quiet readers.",
            "Leave socket_timeout out of the address, and set it to None in CHANNEL_LAYERS.",
        )
    if len(hosts) > 1:
        yield warning(
            5,
            f"The channel layer {name!r} has {len(hosts)} hosts: if one hangs, it delays the hints of the others.",
            "Make one layer per host and list the layers in FANOUT_LAYERS (or all hosts in HOLDFAST_REDIS).",
        )


def _read_timeout(host: object) -> bool:
    """Return True if a host in CHANNEL_LAYERS limits the duration of a read."""
    options = host if isinstance(host, dict) else {}
    address = options.get("address", host)
    in_address = isinstance(address, str) and "socket_timeout" in parse_qs(urlsplit(address).query)
    return in_address or bool(options.get("socket_timeout"))


# The database


@register("holdfast")
def check_database(**_: object) -> Iterator[CheckMessage]:
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return
    if conf.settings.processes > 1:
        yield warning(
            6,
            "Several processes with SQLite: they must run on one machine and can only write one at a time.",
            "Use a PostgreSQL server (HOLDFAST_DATABASE).",
        )
    kind = file_system(Path(database.get("NAME", "")), _mounts())
    if kind in NETWORK_FILE_SYSTEMS:
        yield error(
            22,
            f"The SQLite file {database['NAME']} is on a network file system ({kind}), which can corrupt it.",
            "Move it to a local disk, or use a PostgreSQL server (HOLDFAST_DATABASE).",
        )
    options = database.get("OPTIONS", {})
    if options.get("transaction_mode") != "IMMEDIATE":
        yield error(
            11,
            'SQLite transactions don\'t begin IMMEDIATE: commits can fail with "database is locked".',
            'Set OPTIONS["transaction_mode"] = "IMMEDIATE" in DATABASES.',
        )
    commands = options.get("init_command", "").upper().replace(" ", "")
    if "JOURNAL_MODE=WAL" not in commands:
        yield error(
            12,
            "SQLite isn't in WAL mode: readers and the writer wait for each other.",
            'Put PRAGMA journal_mode=WAL into OPTIONS["init_command"] in DATABASES.',
        )
    if "SYNCHRONOUS=FULL" not in commands:
        yield error(
            13,
            "SQLite isn't set to synchronous=FULL: a power cut can undo what readers have already seen.",
            'Put PRAGMA synchronous=FULL into OPTIONS["init_command"] in DATABASES.',
        )


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text()
    except OSError:  # not Linux
        return ""


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system of `path`, empty if unknown. `mounts` has the format of /proc/mounts."""
    real = Path(os.path.realpath(path))
    found, best = "", -1
    for line in mounts.splitlines():
        _device, place, kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if real.is_relative_to(place) and len(place) >= best:  # the last of several mounts on one directory counts
            found, best = kind, len(place)
    return found


@register(Tags.database)
def check_connections(databases: Iterable[str] | None = None, **_: object) -> Iterator[CheckMessage]:
    """Check that PostgreSQL has enough connections. Runs with `check --database` and `migrate`."""
    connection = connections["default"]
    if "default" not in (databases or ()) or connection.vendor != "postgresql":
        return
    pool: dict[str, Any] = connection.settings_dict["OPTIONS"].get("pool") or {}
    wanted = conf.settings.processes * pool.get("max_size", 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(setting::int * CASE name WHEN 'max_connections' THEN 1 ELSE -1 END) FROM pg_settings "
            "WHERE name IN ('max_connections', 'superuser_reserved_connections')"
        )
        [available] = cursor.fetchone() or [0]
    if wanted > available:
        yield warning(
            7,
            f"{conf.settings.processes} processes may open {wanted} connections, but PostgreSQL allows {available}.",
            "Lower the pool's max_size (HOLDFAST_DATABASE_POOL), raise max_connections, or use a connection pooler.",
        )


# Keys and debugging


@register("holdfast")
def check_secret_key(**_: object) -> Iterator[CheckMessage]:
    key = str(settings.SECRET_KEY)
    weak = len(key) < KEY_CHARACTERS or bits(key) < KEY_BITS or key.startswith("django-insecure-")
    if weak and not settings.DEBUG:
        yield error(
            23,
            "The secret key can be guessed: an attacker could sign in as any user.",
            "Set SECRET_KEY (HOLDFAST_SECRET_KEY) to 50 or more random characters: openssl rand -base64 48",
        )


def bits(text: str) -> float:
    """Return a text's Shannon entropy in bits. Random text has about 4 to 6 per character."""
    return sum(count * math.log2(len(text) / count) for count in Counter(text).values())


@register("holdfast")
def check_debugging(**_: object) -> Iterator[CheckMessage]:
    public = [host for host in settings.ALLOWED_HOSTS if _is_public(host)]
    if settings.DEBUG and public:
        yield warning(
            8,
            f"DEBUG is on and the site is reachable as {', '.join(public)}: error pages expose internals to anyone.",
            "Set DEBUG = False (HOLDFAST_DEBUG=false).",
        )


def _is_public(host: str) -> bool:
    name = host.strip("[].").lower()
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return "." in name and name.rpartition(".")[2] not in PRIVATE_DOMAINS and not name.endswith(PRIVATE_DOMAINS)
