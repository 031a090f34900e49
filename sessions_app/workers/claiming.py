"""What a remote worker's claims and requests do, in the transaction that holds the session's lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container

import orjson

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import Grant
from sessions_app.core.wire_types import Chunk
from sessions_app.event_log import sql
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import Approval, RemoteAgent, Run, Worker
from sessions_app.runs import calls, claims, lifecycle

LATER = "this worker has begun a later epoch"
TAKEN_OVER = "another connection claims as this worker"
UNKNOWN: Chunk = {"type": "interrupt", "reason": "The agent's process was restarted before it finished."}

NOT_PERMITTED: Chunk = {"type": "interrupt", "reason": "The agent's process has lost its permission to answer."}


def enrol(worker: str, link: str, frame: ClientFrame) -> bool:
    """Note a worker's agents and its newest link, with a beat. Return False if it has a later epoch."""
    if sql.beat_producers({worker}):
        return False
    Worker.objects.filter(pk=worker).update(agents=orjson.dumps(sorted(frame.agents)).decode(), link=link)
    _declare(worker, frame)
    return True


def _declare(worker: str, frame: ClientFrame) -> None:
    """Note what becomes of messages to these agents while they are at work, unless a newer worker has said it."""
    declared = {agent: frame.while_busy.get(agent, "queue") for agent in sorted(set(frame.agents))}
    since = Worker.objects.values_list("started_at", flat=True).get(pk=worker)
    known = RemoteAgent.objects.filter(pk__in=declared, since__gte=since)
    settled = {each.name for each in known if each.since > since or each.while_busy == declared[each.name]}
    news = [
        RemoteAgent(name=agent, while_busy=policy, since=since)
        for agent, policy in declared.items()
        if agent not in settled
    ]
    RemoteAgent.objects.bulk_create(news, ignore_conflicts=True)
    for agent in news:
        older = RemoteAgent.objects.filter(pk=agent.name, since__lte=since)
        older.update(while_busy=agent.while_busy, since=since)


def waiting_agents(agents: Collection[str]) -> set[str]:
    """Return those of the agents that a run waits for."""
    waiting = Run.objects.waiting().filter(agent__in=list(agents)).order_by()
    return set(waiting.values_list("agent", flat=True).distinct())


def runs_of(worker: str) -> list[Run]:
    """Return the runs that a worker is at work on."""
    return list(Run.objects.running().filter(worker=worker))


def resume(log: SessionLog, run: str, worker: str, *, held: bool, permitted: bool) -> bool:
    """Return whether a run goes on at its worker, which has come back.

    One that the worker doesn't hold, and has begun, was lost with its memory: it ends as interrupted. So does one that
    has begun, and that the worker's token of now doesn't permit; another worker may claim it if it has not.
    """
    found = Run.objects.running().filter(pk=run, worker=worker).first()
    if found is None:
        return False
    if permitted and (held or not claims.has_begun(found)):
        return True
    if not claims.hand_back_run(log, run, worker):
        lifecycle.end_orphan(log, run, UNKNOWN if permitted else NOT_PERMITTED)
    return False


def claim(
    log: SessionLog, worker: str, link: str, agents: Container[str], held: Container[str], free: int
) -> Run | None:
    """Claim a session's waiting run for a remote worker, as `claims.claim_run`. Raises fenced."""
    if not Worker.objects.alive().filter(pk=worker, link=link).exists():
        raise HoldfastError("fenced", TAKEN_OVER)
    return claims.claim_run(log, worker, held, free, takes=agents.__contains__)


# Requests about a run that it holds


def begin(log: SessionLog, worker: str, grant: Grant, frame: ClientFrame) -> str:
    """Record that an approved call begins; see `calls.begin_call`. The request's id is the attempt's."""
    _held(log, worker, grant, frame)
    attempt = models.derived_id(frame.run, frame.id)
    begun = calls.begin_call(log, frame.approval, frame.run, attempt)
    return "stop" if begun is None else "begun" if begun else "refused"


def expire(log: SessionLog, worker: str, grant: Grant, frame: ClientFrame) -> bool:
    """End the time to decide about an approval of the run. Return False if it was decided."""
    _held(log, worker, grant, frame)
    if not Approval.objects.filter(run=frame.run, uid=frame.approval).exists():
        raise HoldfastError("no_such_approval")
    return lifecycle.expire(log, frame.approval)


def hand_back(log: SessionLog, worker: str, grant: Grant, frame: ClientFrame) -> bool:
    """Return a run to the queue if nothing was written for it. Repeatable."""
    run = _run(log, grant, frame)
    if run.worker_id not in (worker, None):
        raise HoldfastError("fenced")
    return run.status != Run.Status.ENDED and claims.hand_back_run(log, frame.run, worker)


def _run(log: SessionLog, grant: Grant, frame: ClientFrame) -> Run:
    run = Run.objects.select_related("worker").filter(pk=frame.run, session=log.session).first()
    if run is None or not grant.names(run.agent):
        raise HoldfastError("not_found")
    return run


def _held(log: SessionLog, worker: str, grant: Grant, frame: ClientFrame) -> None:
    run = _run(log, grant, frame)
    is_held = run.worker is not None and run.worker.pk == worker and run.worker.alive
    if not is_held or run.status != Run.Status.RUNNING:
        raise HoldfastError("fenced")


REQUESTS: dict[str, Callable[[SessionLog, str, Grant, ClientFrame], object]] = {
    "begin": begin,
    "expire": expire,
    "hand-back": hand_back,
}
