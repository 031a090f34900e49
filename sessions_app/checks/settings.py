"""System checks: combinations of settings that lose events, drop live clients or let strangers in.

Errors (holdfast.E…) stop `manage.py`; warnings (holdfast.W…) are legal and worth a second thought.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from sessions_app import conf
from sessions_app.auth import tokens
from sessions_app.core.retention import MIN_HOURS

PING_MARGIN_S = 5  # for a busy process and the way
TRANSPORT_BYTES = 65_536  # where the servers' transports start to hold back
ROLLUP_CHOICES_MS = (0, 20, 40, 100, 500)
SHORTEST_LEASE_MS = 3000  # a process that is busy, or on a busy machine, can be silent for a second
CLIENT_MARGIN_MS = 5000  # what a client waits beyond two heartbeats; PROTOCOL.md §2
LOGIN_ENGINES = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")
MIDDLEWARE = "sessions_app.auth.identity.identity_middleware"


def error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"holdfast.E{number:03}")


def warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"holdfast.W{number:03}")


@register("holdfast")
def check_link(**_: Any) -> Iterator[CheckMessage]:
    if conf.PONG_TIMEOUT_S >= conf.PING_INTERVAL_S:
        yield error(
            1,
            f"PONG_TIMEOUT_S ({conf.PONG_TIMEOUT_S}) isn't below PING_INTERVAL_S ({conf.PING_INTERVAL_S}): "
            "Daphne would drop clients that answer.",
            "Set HOLDFAST_PONG_TIMEOUT_S to less than half of HOLDFAST_PING_INTERVAL_S.",
        )
    if conf.PING_INTERVAL_S + PING_MARGIN_S > conf.PROXY_IDLE_S:
        yield warning(
            1,
            f"PING_INTERVAL_S is {conf.PING_INTERVAL_S}: a proxy may cut a silent connection after "
            f"{conf.PROXY_IDLE_S} s (PROXY_IDLE_S).",
            f"Lower HOLDFAST_PING_INTERVAL_S to {max(1, conf.PROXY_IDLE_S - PING_MARGIN_S)}. "
            "Where every proxy on the way allows more, say how much in HOLDFAST_PROXY_IDLE_S.",
        )
    if 2 * conf.HEARTBEAT_MS + CLIENT_MARGIN_MS >= conf.RECOVERY_WINDOW_MS:
        yield warning(
            2,
            "A client that misses two heartbeats is past RECOVERY_WINDOW_MS before it notices.",
            "Lower HOLDFAST_HEARTBEAT_MS or raise HOLDFAST_RECOVERY_WINDOW_MS.",
        )


@register("holdfast")
def check_writing(**_: Any) -> Iterator[CheckMessage]:
    if conf.ROLLUP_MS not in ROLLUP_CHOICES_MS:
        yield error(
            2,
            f"ROLLUP_MS is {conf.ROLLUP_MS}.",
            f"Set HOLDFAST_ROLLUP_MS to one of {', '.join(map(str, ROLLUP_CHOICES_MS))}.",
        )
    if conf.LEASE_MS < SHORTEST_LEASE_MS:
        yield warning(
            3,
            f"LEASE_MS is {conf.LEASE_MS}: a worker that is merely busy would be taken for dead, and its answers cut.",
            f"Keep HOLDFAST_LEASE_MS at {SHORTEST_LEASE_MS} or more.",
        )
    if conf.RESPONSE_BYTES < conf.CHUNK_BYTES:
        yield error(
            3,
            "RESPONSE_BYTES is below CHUNK_BYTES: a chunk that is allowed would not fit into its response.",
            "Raise HOLDFAST_RESPONSE_BYTES or lower HOLDFAST_CHUNK_BYTES.",
        )
    if conf.FRAME_BYTES < conf.MESSAGE_BYTES:
        yield error(
            4,
            "FRAME_BYTES is below MESSAGE_BYTES: a message that is allowed could not be sent.",
            "Raise HOLDFAST_FRAME_BYTES to twice HOLDFAST_MESSAGE_BYTES, since JSON escapes take room.",
        )
    if conf.BODY_BYTES < conf.FRAME_BYTES:
        yield error(
            24,
            "BODY_BYTES is below FRAME_BYTES: what fits into a frame could not be posted.",
            "Raise HOLDFAST_BODY_BYTES to twice HOLDFAST_FRAME_BYTES.",
        )


@register("holdfast")
def check_delivery(**_: Any) -> Iterator[CheckMessage]:
    if conf.WINDOW_BYTES >= TRANSPORT_BYTES:
        yield error(
            5,
            f"WINDOW_BYTES is {conf.WINDOW_BYTES}: from {TRANSPORT_BYTES} on a slow reader fills memory.",
            "Lower HOLDFAST_WINDOW_BYTES.",
        )
    if conf.ACK_BYTES >= conf.WINDOW_BYTES / 2:
        yield error(
            6,
            f"ACK_BYTES ({conf.ACK_BYTES}) isn't below half of WINDOW_BYTES ({conf.WINDOW_BYTES}): "
            "a reader that keeps up would be treated as slow.",
            "Set HOLDFAST_ACK_BYTES to a quarter of HOLDFAST_WINDOW_BYTES.",
        )
    if conf.ACK_MS >= conf.SLOW_READER_MS:
        yield error(
            7,
            "ACK_MS isn't below SLOW_READER_MS: a reader would be closed as slow before it acknowledges.",
            "Lower HOLDFAST_ACK_MS or raise HOLDFAST_SLOW_READER_MS.",
        )
    if conf.HISTORY_DEFAULT > conf.HISTORY_MAX:
        yield error(
            8,
            "HISTORY_DEFAULT is above HISTORY_MAX.",
            "Lower HOLDFAST_HISTORY_DEFAULT or raise HOLDFAST_HISTORY_MAX.",
        )


@register("holdfast")
def check_doors(**_: Any) -> Iterator[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS:
        yield error(
            14,
            'ALLOWED_HOSTS has "*": pages of any site could open sockets with a visitor\'s cookies.',
            "Name the site's hosts in HOLDFAST_HOSTS.",
        )
    if MIDDLEWARE not in settings.MIDDLEWARE:
        yield error(
            15,
            "MIDDLEWARE doesn't say who asks: the API can't know anybody.",
            f"Put {MIDDLEWARE} at the end of MIDDLEWARE.",
        )
    if settings.SESSION_ENGINE not in LOGIN_ENGINES:
        yield error(
            16,
            f"SESSION_ENGINE is {settings.SESSION_ENGINE}: open sockets couldn't be closed when somebody logs out.",
            f"Use {' or '.join(LOGIN_ENGINES)}.",
        )


@register("holdfast")
def check_retention(**_: Any) -> Iterator[CheckMessage]:
    if conf.RETENTION_MAX_HOURS < MIN_HOURS:
        yield error(
            17,
            f"RETENTION_MAX_HOURS is {conf.RETENTION_MAX_HOURS}: no policy could be valid.",
            f"Set HOLDFAST_RETENTION_MAX_HOURS to {MIN_HOURS} or more.",
        )


@register("holdfast")
def check_agents(**_: Any) -> Iterator[CheckMessage]:
    if conf.DEFAULT_AGENT and conf.DEFAULT_AGENT not in conf.AGENTS:
        yield error(
            18,
            f"DEFAULT_AGENT is {conf.DEFAULT_AGENT}, which AGENTS doesn't have: {', '.join(conf.AGENTS)}.",
            "Add it to HOLDFAST_AGENTS, or set another HOLDFAST_DEFAULT_AGENT.",
        )


@register("holdfast")
def check_tokens(**_: Any) -> Iterator[CheckMessage]:
    for kid, key in conf.TOKEN_KEYS.items():
        if len(key.encode()) < tokens.KEY_BYTES:
            yield error(
                19,
                f"The key {kid!r} of TOKEN_KEYS has {len(key.encode())} bytes: it can be guessed from one token.",
                f"Give it {tokens.KEY_BYTES} or more in HOLDFAST_TOKEN_KEYS: openssl rand -hex 32",
            )
