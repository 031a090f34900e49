"""Holdfast's settings, by name: `conf.PING_INTERVAL_S`. Their reasons stand in `project/settings.py`."""

from typing import Any

from django.conf import settings

PING_INTERVAL_S: int
PONG_TIMEOUT_S: int
PROXY_IDLE_S: int
HEARTBEAT_MS: int
STREAM_MS: int
POLL_MS: int
POLL_GATHER_MS: int
RECOVERY_WINDOW_MS: int
DRAIN_MS: int
RECHECK_MS: int

ROLLUP_MS: int
LEASE_MS: int
INBOX_POLL_MS: int
JOURNAL_EVENTS: int

WINDOW_BYTES: int
ACK_BYTES: int
ACK_MS: int
SLOW_READER_MS: int
TAIL_POLL_MS: int
PROCESSES: int
FANOUT_LAYERS: list[str]
FANOUT_SHARDS: int
FANOUT_BACKLOG: int
SNAPSHOT_BYTES: int
HISTORY_DEFAULT: int
HISTORY_MAX: int

FRAME_BYTES: int
BODY_BYTES: int
MESSAGE_BYTES: int
CHUNK_BYTES: int
RESPONSE_BYTES: int
FRAMES_PER_SECOND: int
PUBLISHES_PER_SECOND: int
SIGNALS_PER_MINUTE: int
LINKS_PER_MINUTE: int
READS_PER_MINUTE: int
WRITES_PER_MINUTE: int
SESSIONS_PER_CONNECTION: int
CONNECTIONS_PER_OWNER: int
SESSIONS_PER_OWNER: int

TOKEN_KEYS: dict[str, str]
TOKEN_MAX_S: int

RETENTION_MAX_HOURS: int
PURGE_EVERY_S: int
EVIDENCE_HOURS: int
EVIDENCE_ROWS: int

AGENT_MODEL: str
AGENT_INSTRUCTIONS: str
AGENT_TIMEOUT_S: int
DEFAULT_AGENT: str
AGENTS: list[str]
RUN_AGENTS: bool
RUNS_PER_PROCESS: int
WORKER_DRAIN_S: int
DEMO_TOKENS_PER_S: int

METRICS_TOKEN: str

LAB: bool


def __getattr__(name: str) -> Any:
    # Read at each use, not at import: a test may override settings.HOLDFAST.
    try:
        return settings.HOLDFAST[name]
    except KeyError:
        raise AttributeError(f"settings.HOLDFAST has no {name}") from None
