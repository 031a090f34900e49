"""System checks for combinations of settings that lose events, drop live clients or open security holes.

Errors (holdfast.E…) stop `manage.py`; warnings (holdfast.W…) are allowed, but need a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from sessions_app import conf
from sessions_app.auth import tokens
from sessions_app.auth.jwks_request import url_problem
from sessions_app.auth.origin import exact_problem

PING_MARGIN_S = 5  # for a busy process and network latency
SHORTEST_LEASE_MS = 3000  # a process can be silent for a second, if it or its machine is busy
CLIENT_MARGIN_MS = 5000  # a client waits this long beyond two heartbeats (PROTOCOL.md §2)
LOGIN_ENGINES = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"holdfast.E{number:03}")


def warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"holdfast.W{number:03}")


@register("holdfast")
def check_values(**_: object) -> Iterator[CheckMessage]:
    """Check types, bounds and names in HOLDFAST. For a wrong value, the other checks see the default."""
    for problem, hint in conf.load()[1]:
        yield error(25, problem, hint)


@register("holdfast")
def check_link(**_: object) -> Iterator[CheckMessage]:
    limits = conf.settings
    if limits.pong_timeout_s >= limits.ping_interval_s:
        yield error(
            1,
            f"PONG_TIMEOUT_S ({limits.pong_timeout_s}) isn't below PING_INTERVAL_S ({limits.ping_interval_s}): "
            "Daphne would drop clients that answer pings.",
            "Set PONG_TIMEOUT_S to less than half of PING_INTERVAL_S.",
        )
    if limits.ping_interval_s + PING_MARGIN_S > limits.proxy_idle_s:
        yield warning(
            1,
            f"PING_INTERVAL_S is {limits.ping_interval_s}: a proxy may cut an idle connection after "
            f"{limits.proxy_idle_s} s (PROXY_IDLE_S).",
            f"Lower PING_INTERVAL_S to {max(1, limits.proxy_idle_s - PING_MARGIN_S)}. "
            "If every proxy on the way allows more, raise PROXY_IDLE_S.",
        )
    if 2 * limits.heartbeat_ms + CLIENT_MARGIN_MS >= limits.recovery_window_ms:
        yield warning(
            2,
            "A client notices two missed heartbeats only after RECOVERY_WINDOW_MS.",
            "Lower HEARTBEAT_MS or raise RECOVERY_WINDOW_MS.",
        )


@register("holdfast")
def check_writing(**_: object) -> Iterator[CheckMessage]:
    limits = conf.settings
    if limits.lease_ms < SHORTEST_LEASE_MS:
        yield warning(
            3,
            f"LEASE_MS is {limits.lease_ms}: a busy worker could be declared dead and its responses interrupted.",
            f"Keep LEASE_MS at {SHORTEST_LEASE_MS} or more.",
        )
    if limits.response_bytes < limits.chunk_bytes:
        yield error(
            3,
            "RESPONSE_BYTES is below CHUNK_BYTES: an allowed chunk may not fit into a response.",
            "Raise RESPONSE_BYTES or lower CHUNK_BYTES.",
        )
    if limits.frame_bytes < limits.message_bytes:
        yield error(
            4,
            "FRAME_BYTES is below MESSAGE_BYTES: an allowed message may not fit into a frame.",
            "Raise FRAME_BYTES to twice MESSAGE_BYTES, since JSON escapes take room.",
        )
    if limits.body_bytes < limits.frame_bytes:
        yield error(
            24,
            "BODY_BYTES is below FRAME_BYTES: an allowed frame may not fit into a request.",
            "Raise BODY_BYTES to twice FRAME_BYTES.",
        )


@register("holdfast")
def check_delivery(**_: object) -> Iterator[CheckMessage]:
    limits = conf.settings
    if limits.ack_bytes >= limits.window_bytes / 2:
        yield error(
            6,
            f"ACK_BYTES ({limits.ack_bytes}) isn't below half of WINDOW_BYTES ({limits.window_bytes}): "
            "a reader that keeps up could be treated as slow.",
            "Set ACK_BYTES to a quarter of WINDOW_BYTES.",
        )
    if limits.ack_ms >= limits.slow_reader_ms:
        yield error(
            7,
            "ACK_MS isn't below SLOW_READER_MS: a reader could be closed as slow before it acknowledges.",
            "Lower ACK_MS or raise SLOW_READER_MS.",
        )
    if limits.history_default > limits.history_max:
        yield error(
            8,
            "HISTORY_DEFAULT is above HISTORY_MAX.",
            "Lower HISTORY_DEFAULT or raise HISTORY_MAX.",
        )


@register("holdfast")
def check_access(**_: object) -> Iterator[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS:
        yield error(
            14,
            'ALLOWED_HOSTS has "*": any host name that leads here would count as this site\'s in the Origin check.',
            "List the site's hosts in ALLOWED_HOSTS (HOLDFAST_HOSTS).",
        )
    if settings.SESSION_ENGINE not in LOGIN_ENGINES:
        yield error(
            16,
            f"SESSION_ENGINE is {settings.SESSION_ENGINE}: open sockets can't be closed when a user logs out.",
            f"Use {' or '.join(LOGIN_ENGINES)}.",
        )


@register("holdfast")
def check_origins(**_: object) -> Iterator[CheckMessage]:
    for text in conf.settings.origins:
        if problem := exact_problem(text, is_debug=settings.DEBUG):
            yield error(
                32,
                f"ORIGINS: {problem}.",
                "List exact origins in ORIGINS (HOLDFAST_ORIGINS), without path and wildcard: https://app.example.com",
            )


@register("holdfast")
def check_agents(**_: object) -> Iterator[CheckMessage]:
    default, agents = conf.settings.default_agent, conf.settings.agents
    if default and default not in agents:
        yield error(
            18,
            f"DEFAULT_AGENT is {default}, which AGENTS doesn't have: {', '.join(agents)}.",
            "Add it to AGENTS, or set another DEFAULT_AGENT.",
        )


@register("holdfast")
def check_tokens(**_: object) -> Iterator[CheckMessage]:
    for kid, key in conf.settings.token_keys.items():
        if len(key.encode()) < tokens.KEY_BYTES:
            yield error(
                19,
                f"The key {kid!r} of TOKEN_KEYS has {len(key.encode())} bytes: it can be guessed from a token.",
                f"Use {tokens.KEY_BYTES} bytes or more in TOKEN_KEYS: openssl rand -hex 32",
            )


@register("holdfast")
def check_identity_provider(**_: object) -> Iterator[CheckMessage]:
    limits = conf.settings
    if limits.jwks_url and (problem := url_problem(limits.jwks_url)):
        yield error(33, f"JWKS_URL: {problem}.", "Set it to the https address of the identity provider's keys (JWKS).")
    if limits.jwks_url and not (limits.jwks_issuer and limits.jwks_audience):
        yield error(
            34,
            "JWKS_URL is set without JWKS_ISSUER or JWKS_AUDIENCE: the identity provider's tokens are refused.",
            "Set both to the `iss` and `aud` of its tokens; without them, tokens for other sites would count here.",
        )
