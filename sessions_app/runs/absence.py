"""Absent agents: agents that run elsewhere, and have no worker. People are told, until one comes."""

from __future__ import annotations

from sessions_app import conf, models
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.event_log.commands import SessionLog
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Run
from sessions_app.runs import lifecycle

AT_ONCE = 100  # runs in one look


async def tell(log_writer: LogWriter) -> None:
    """Tell people whose messages wait for an agent that isn't there, or is by now."""
    if not conf.settings.remote_agents:
        return
    for session, run, is_absent in await threads.run(_untold):
        try:
            await log_writer.change(session, _tell, run, is_absent)
        except HoldfastError:  # such as not_found: the next look finds what is left
            continue


def _untold() -> list[tuple[str, str, bool]]:
    """Return runs whose message says otherwise: session, run, and whether the agent is absent."""
    missing = set(conf.settings.remote_agents) - queries.remote_agents()
    waiting = Run.objects.waiting().filter(agent__in=conf.settings.remote_agents).exclude(cause=None)
    rows = waiting.values_list("session_id", "pk", "agent", "cause__code")[: 10 * AT_ONCE]
    untold = [
        (session, run, agent in missing)
        for session, run, agent, code in rows
        if (code == lifecycle.NO_AGENT) != (agent in missing)
    ]
    return untold[:AT_ONCE]


def _tell(log: SessionLog, run: str, is_absent: bool) -> None:
    waiting = Run.objects.waiting().select_related("cause").filter(session=log.session, pk=run).first()
    cause: models.Signal | None = None if waiting is None else waiting.cause
    if cause is None or (cause.code == lifecycle.NO_AGENT) == is_absent:
        return
    cause.code = lifecycle.NO_AGENT if is_absent else ""
    if cause.reason in ("", lifecycle.NOT_YET):  # else it says why it is a question of its own
        cause.reason = lifecycle.NOT_YET if is_absent else ""
    lifecycle.announce(log, cause)
