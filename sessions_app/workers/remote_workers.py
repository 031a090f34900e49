"""Remote workers: agents elsewhere that are asked, steered, stopped and answered (PROTOCOL.md §16).

The rules are those of runs inside: a run is claimed by compare-and-set, kept by its worker's lease, and written by that
worker alone. This process acts for the worker at the other end of a connection; what it keeps here can be read from the
database by any other process, so a worker may come back anywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress

from django.db import DatabaseError

from sessions_app import conf, models
from sessions_app.auth.identity import Identity
from sessions_app.core import frames, worker_frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.database import threads
from sessions_app.event_log.writer import LogWriter
from sessions_app.publishing.producers import Producers
from sessions_app.runs import claims
from sessions_app.runs.claims import Claims
from sessions_app.runs.inbox import RunInboxes
from sessions_app.telemetry import metrics
from sessions_app.workers import claiming, pages
from sessions_app.workers.links import Receiver, WorkerInbox, WorkerLink
from sessions_app.workers.run_spans import RunSpans

logger = logging.getLogger(__name__)

RETRY_S = 1.0  # after the database could not say which runs wait


class RemoteWorkers:
    """The remote workers that are connected to one process. `run` is a background task of the process."""

    def __init__(self, log_writer: LogWriter, producers: Producers, inboxes: RunInboxes, claims: Claims) -> None:
        self._log_writer = log_writer
        self._producers = producers
        self._inboxes = inboxes
        self._claims = claims
        self._links: dict[str, WorkerLink] = {}  # by worker
        self._workers: dict[Receiver, str] = {}  # that their connections claim as
        self._spans = RunSpans()
        self._connected = asyncio.Event()  # set while there is a link
        self._looks = asyncio.Event()  # a run may wait
        self._claiming: set[asyncio.Task[None]] = set()
        self._stopping = False

    # A worker comes, or changes what it claims

    async def claim(self, receiver: Receiver, frame: ClientFrame) -> None:
        """Answer a `claim`: take the worker in, with the runs that it goes on with. Raises HoldfastError."""
        who = receiver.identity
        who.require("work")
        for agent in frame.agents:
            _check_agent(who, agent)
        if self._stopping:
            raise HoldfastError("going_away")
        try:
            worker = await self._producers.worker_of(who.owner, frame)
            if self._workers.get(receiver, worker) != worker:
                raise HoldfastError("bad_frame", "this connection claims as another `producer` or `epoch` already")
            link = WorkerLink(worker, frame, receiver)
            known = self._links.get(worker)
            if known is not None and known.receiver is receiver:
                known.closed = True  # no claim of before may be taken for another connection's
            if not await self._log_writer.do(claiming.enrol, worker, link.id, frame, order=worker):
                raise HoldfastError("fenced", claiming.LATER)
            going_on = await self._resumed(link, frame)
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        self._check_room(link)  # after all that waits: many polls may come at once
        result = {"runs": [run.pk for run in going_on], "lease_ms": conf.settings.lease_ms}
        receiver.queue(worker_frames.answer(frame, result))
        self._admit(link)
        for run in going_on:
            link.hold(WorkerInbox(run, link, self.release))
            if run.pk in frame.runs:
                self._open(link, run.pk)
            else:
                await self._tell(link, run)
        receiver.start(self._attend(link))

    def _check_room(self, link: WorkerLink) -> None:
        """Raise too_many_connections for one worker more than an owner may have connections: polls aren't counted."""
        owner, most = link.receiver.identity.owner, conf.settings.connections_per_owner
        others = [each for each in self._links.values() if each.worker != link.worker]
        if sum(each.receiver.identity.owner == owner for each in others) >= most:
            raise HoldfastError("too_many_connections", f"at most {most} workers")

    async def _resumed(self, link: WorkerLink, frame: ClientFrame) -> list[models.Run]:
        """Return the worker's runs that go on."""
        going_on = []
        for run in await threads.run(claiming.runs_of, link.worker):
            held, permitted = run.pk in frame.runs, link.permits(run.session_id, run.agent)
            resumed = self._log_writer.change(
                run.session_id, claiming.resume, run.pk, link.worker, held=held, permitted=permitted
            )
            try:
                if await resumed:
                    going_on.append(run)
            except HoldfastError as problem:
                if problem.code != "not_found":  # its session is being deleted
                    raise
        return going_on

    def _admit(self, link: WorkerLink) -> None:
        earlier = self._links.get(link.worker)
        if earlier is not None:
            if earlier.receiver is not link.receiver:
                earlier.queue(frames.error(HoldfastError("fenced", claiming.TAKEN_OVER)))
            self._leave(earlier)
        self._links[link.worker] = link
        self._workers[link.receiver] = link.worker
        self._connected.set()
        self._claims.claim_elsewhere = self._claim_at_once

    def _leave(self, link: WorkerLink) -> None:
        """Forget a link; its runs are its worker's as long as the lease lasts."""
        link.closed = True
        link.wake()
        for run in tuple(link.held):
            if inbox := link.release(run):
                self._inboxes.close(inbox)
        if self._links.get(link.worker) is link:
            del self._links[link.worker]
            self._workers.pop(link.receiver, None)
        if not self._links:
            self._connected.clear()
            self._claims.claim_elsewhere = None

    async def _tell(self, link: WorkerLink, run: models.Run) -> None:
        """Give a run to its worker, then what people have sent it: a worker knows no other run's signals."""
        try:
            frame = await threads.run_with_retry(pages.run_frame, run, self._spans.traceparent(run.pk))
        except HoldfastError as problem:  # not_found: its session is being deleted
            logger.debug("run %s was not given to its worker: %s", run.pk, problem.message)
            self.release(run.pk)
            return
        if not link.closed:  # else it is told when the worker comes back
            link.queue(frame)
            self._open(link, run.pk)

    def _open(self, link: WorkerLink, run: str) -> None:
        """Pass on what people send to a run from now on, unless it has ended meanwhile."""
        inbox = link.held.get(run)
        if inbox is not None:
            self._inboxes.add(inbox)

    def release(self, run: str, status: str = "left") -> None:
        """Give up the place of a run that has ended, with this status of its response, or was handed back."""
        self._spans.end(run, status)
        for link in self._links.values():
            if inbox := link.release(run):
                self._inboxes.close(inbox)
                self.look_soon()  # the session's next run may begin

    # Claims

    def look_soon(self) -> None:
        """Look for runs that wait: one may have been stored."""
        self._looks.set()

    async def run(self) -> None:
        """Wake the workers whose runs wait: at once after `look_soon`, and every INBOX_POLL_MS."""
        try:
            while True:
                await self._connected.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(conf.settings.inbox_poll_ms / 1000):
                        await self._looks.wait()
                self._looks.clear()
                await self._wake_concerned()
        except asyncio.CancelledError:
            self._stopping = True
            for link in tuple(self._links.values()):
                self._leave(link)
            self._spans.end_all()
            raise

    async def _wake_concerned(self) -> None:
        free = [link for link in self._links.values() if link.free > 0]
        agents = {agent for link in free for agent in link.agents}
        if not agents:
            return
        waiting = await threads.run(claiming.waiting_agents, agents)
        for link in free:
            if not waiting.isdisjoint(link.agents):
                link.wake()

    async def _attend(self, link: WorkerLink) -> None:
        """Claim for a worker as long as it is connected."""
        try:
            while not link.closed:
                await self._claim_waiting(link)
                await link.woken()
        finally:
            self._leave(link)

    async def _claim_waiting(self, link: WorkerLink) -> None:
        if link.free <= 0:
            return
        only = claims.elsewhere(link.agents, link.patterns)
        try:
            found = await threads.run(claims.claimable_sessions, link.free, link.worker, only)
        except DatabaseError as error:
            logger.warning("the runs that wait for a remote worker can't be read: %s", type(error).__name__)
            await asyncio.sleep(RETRY_S)
            return
        for session in [*link.unsure, *found]:
            self._claim(link, session)

    def _claim_at_once(self, session: str, agent: str) -> None:
        """Let a free worker claim the session's next run, in the transaction of the signal about to cause it."""
        free = [link for link in self._links.values() if link.takes(session, agent)]
        if free:
            self._claim(max(free, key=lambda link: link.free), session)

    def _claim(self, link: WorkerLink, session: str) -> None:
        if link.free <= 0 or session in link.claiming or link.closed:
            return
        link.unsure.discard(session)
        agents = frozenset(link.agents)
        claim = self._log_writer.change(
            session, claiming.claim, link.worker, link.id, agents=agents, held=link.held, free=link.free
        )
        link.claiming.add(session)
        task = asyncio.create_task(self._claimed(link, session, claim))
        self._claiming.add(task)
        task.add_done_callback(self._claiming.discard)

    async def _claimed(self, link: WorkerLink, session: str, claim: Awaitable[models.Run | None]) -> None:
        run = None
        try:
            run = await claim
            if run is not None:
                self._spans.begin(run)
                metrics.claimed(run.created_at, run.started_at or run.created_at)
                if not link.closed:
                    link.hold(WorkerInbox(run, link, self.release))
        except HoldfastError as problem:
            self._claim_failed(link, session, problem)
        finally:
            link.claiming.discard(session)
        if run is not None and not link.closed:  # else it is told when the worker comes back
            await self._tell(link, run)

    def _claim_failed(self, link: WorkerLink, session: str, problem: HoldfastError) -> None:
        if problem.code == "fenced" and not link.closed:
            link.queue(frames.error(problem))
            self._leave(link)
        elif problem.kind.retryable:
            link.unsure.add(session)
        logger.debug("no run of %s was claimed: %s", session, problem.message)

    # Requests

    async def ask(self, who: Identity, frame: ClientFrame) -> str:
        """Do what a worker asks for about a run; return the answer. Raises HoldfastError."""
        who.check("work", frame.session)
        assert who.grant is not None  # no other has the scope
        try:
            worker = await self._producers.worker_of(who.owner, frame)
            if frame.type == "history":
                page = await threads.run(pages.asked_for, worker, who.grant, frame)
                return worker_frames.answer(frame, page._asdict())
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        result = await self._log_writer.change(frame.session, claiming.REQUESTS[frame.type], worker, who.grant, frame)
        if frame.type == "hand-back":
            self.release(frame.run)
        return worker_frames.answer(frame, result)


def _check_agent(who: Identity, agent: str) -> None:
    """Raise forbidden_agent unless this token may work as this agent, and the agent runs elsewhere."""
    if who.grant is None or not who.grant.names(agent):
        raise HoldfastError("forbidden_agent", f"its `agents` don't name {agent!r}")
    if claims.is_inside(agent):
        raise HoldfastError("forbidden_agent", f"HOLDFAST_REMOTE_AGENTS doesn't name {agent!r}: it runs in the site")


ASKED = frozenset({"history", *claiming.REQUESTS})
