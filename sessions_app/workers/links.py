"""Links: a remote worker at one connection, and the inboxes of the runs that it holds there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from sessions_app import models
from sessions_app.auth.identity import Identity
from sessions_app.core import worker_frames
from sessions_app.core.frames import ClientFrame
from sessions_app.core.signals import AgentSignal
from sessions_app.telemetry import metrics


class Receiver(Protocol):
    """The connection of a worker."""

    identity: Identity

    def queue(self, text: str) -> None:
        """Queue a frame."""

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run work in a task that ends with the connection."""


class WorkerInbox:
    """Inbox of a run at a remote worker: everything goes there at once, and again when the worker has reconnected."""

    awaits = True  # whether its agent does, the worker alone knows

    def __init__(self, run: models.Run, link: WorkerLink, on_end: Callable[[str], object]) -> None:
        self.run = run
        self.stopping = False
        self._link = link
        self._on_end = on_end
        self._told: set[int] = set()
        self._expired: set[str] = set()

    def has(self, key: int) -> bool:
        return key in self._told

    def put(self, signal: AgentSignal) -> bool:
        if self.has(signal.key) or not self._link.permits(self.run.session_id, self.run.agent):
            return False
        self._told.add(signal.key)
        if signal.id in self._link.heard:
            return False
        self._link.queue(worker_frames.inbox(self.run.session_id, self.run.pk, signal))
        return True

    def expire(self, approval: str) -> None:
        if approval not in self._expired:
            self._expired.add(approval)
            self._link.queue(worker_frames.expired(self.run.session_id, self.run.pk, approval))

    def halt(self, *, cancelled: bool) -> None:
        self.stopping = True
        self._link.queue(worker_frames.stop(self.run.session_id, self.run.pk, cancelled=cancelled))
        if not cancelled:
            self._on_end(self.run.pk)


class WorkerLink:
    """A remote worker at one connection. `held`: its runs there, by id; `claiming`: sessions with a claim under way."""

    def __init__(self, worker: str, frame: ClientFrame, receiver: Receiver) -> None:
        self.id = models.new_id()
        self.worker = worker
        self.receiver = receiver
        self.most = frame.most
        self.heard = frozenset(frame.signals)  # signals that the worker has
        self.held: dict[str, WorkerInbox] = {}
        self.claiming: set[str] = set()
        self.unsure: set[str] = set()  # sessions whose claim has an unknown outcome
        self.closed = False
        self._agents = frame.agents
        self._wake = asyncio.Event()

    @property
    def free(self) -> int:
        """Return the number of runs that it may claim."""
        return self.most - len(self.held) - len(self.claiming)

    @property
    def agents(self) -> list[str]:
        """Return the agents that it may claim for, by the token that it has now."""
        grant = self.receiver.identity.grant
        return [] if grant is None else [agent for agent in self._agents if grant.names(agent)]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the patterns of the sessions that it may see."""
        grant = self.receiver.identity.grant
        return () if grant is None else grant.sessions

    def takes(self, session: str, agent: str) -> bool:
        """Return whether it has a place for a run of this session and agent."""
        return self.free > 0 and agent in self._agents and self.permits(session, agent)

    def permits(self, session: str, agent: str) -> bool:
        """Return whether its token of now names the agent and covers the session."""
        grant = self.receiver.identity.grant
        return grant is not None and grant.names(agent) and grant.covers(session)

    def queue(self, text: str) -> None:
        self.receiver.queue(text)

    def hold(self, inbox: WorkerInbox) -> None:
        """Take a place for a run."""
        self.held[inbox.run.pk] = inbox
        metrics.runs.labels(inbox.run.agent).inc()

    def release(self, run: str) -> WorkerInbox | None:
        """Give up the place of a run that has ended; return its inbox."""
        self.wake()
        inbox = self.held.pop(run, None)
        if inbox is not None:
            metrics.runs.labels(inbox.run.agent).dec()
        return inbox

    def wake(self) -> None:
        """Let it look for runs to claim."""
        self._wake.set()

    async def woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()
