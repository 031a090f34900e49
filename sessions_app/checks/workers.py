"""System check for agents that run elsewhere: `manage.py check --database default` says which have no worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.core.checks import CheckMessage, Tags, register
from django.db import DatabaseError

from sessions_app import conf
from sessions_app.checks.settings import warning
from sessions_app.event_log import queries


@register(Tags.database)
def check_workers(*, databases: Sequence[str] | None, **_: object) -> Iterator[CheckMessage]:
    if not databases or not conf.settings.remote_agents:
        return
    try:
        present = queries.remote_agents()
    except DatabaseError:  # before the first migration
        return
    for agent in sorted(set(conf.settings.remote_agents) - present):
        yield warning(
            36,
            f"REMOTE_AGENTS names {agent!r}, and no worker runs it: its messages wait.",
            "Start a worker with a token of the scope `work` that names the agent; docs/publishing.md shows one.",
        )
