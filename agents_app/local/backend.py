"""The backend of an agent in one of the site's own processes: response writer, inbox, transactions of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from agents_app.backend import ApprovalRequest
from sessions_app import conf
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import AgentSignal
from sessions_app.core.text import without_nul
from sessions_app.core.wire_types import Chunk
from sessions_app.event_log.commands import SessionLog
from sessions_app.event_log.moments import milliseconds
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Approval, Run, new_id
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.runs import lifecycle
from sessions_app.runs.inbox import RunInbox

Execution = Approval.Execution


class LocalBackend:
    """The backend of one run that this process has claimed; implements `agents_app.backend.Backend`."""

    def __init__(self, log_writer: LogWriter, response: LocalWriter, inbox: RunInbox) -> None:
        self.session = response.session
        self.uid = response.uid
        self.chunk_bytes = conf.settings.chunk_bytes
        self._log_writer = log_writer
        self._response = response
        self._inbox = inbox
        self.append = response.append

    def write(self, chunk: Chunk, *, settles: AgentSignal | None = None) -> Coroutine[Any, Any, None]:
        # Handed on, not awaited here: a coroutine more for every chunk would be felt.
        return self._response.write(chunk, also=None if settles is None else partial(apply_signal, settles.key))

    async def flush(self) -> None:
        await self._response.flush()

    def take_steers(self) -> list[AgentSignal]:
        return self._inbox.take_steers()

    async def request_approval(self, request: ApprovalRequest) -> str:
        approval = self._approval(request)
        expires_at = None if approval.expires_at is None else milliseconds(approval.expires_at)
        chunk = request.chunk(approval.uid, expires_at=expires_at)
        await self._response.write(chunk, also=partial(insert_approval, approval))
        await self._response.flush()
        return approval.uid

    def _approval(self, request: ApprovalRequest) -> Approval:
        expires_s = request.expires_s
        return Approval(
            session_id=self.session,
            run_id=self._response.run.pk,
            uid=f"approval_{new_id()}",
            call=request.call,
            tool=request.tool,
            input=request.input_text,
            input_hash=request.input_hash,
            editable=request.editable,
            reason=without_nul(request.reason),
            expires_at=None if expires_s is None else timezone.now() + timedelta(seconds=expires_s),
        )

    async def wait_for(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        return await self._inbox.wait_for(target, timeout_s)

    async def expire_approval(self, approval: str) -> bool:
        return await self._log_writer.change_with_retry(self.session, lifecycle.expire, approval)

    async def begin_call(self, approval: str) -> bool:
        run, attempt = self._response.run.pk, new_id()
        begun = await self._log_writer.change_with_retry(self.session, begin_call, approval, run, attempt)
        if begun is None:
            await asyncio.Event().wait()  # the run is to stop: its task is cancelled in a moment
        return bool(begun)

    async def end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        execution = Execution.FAILED if failed else Execution.DONE
        await self._response.write(chunk, also=partial(end_call, approval, execution))

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        self._response.with_next(partial(add_usage, self._response.run.pk, input_tokens, output_tokens))


# Within a transaction


def apply_signal(key: int, log: SessionLog) -> None:
    """Give a signal its final receipt."""
    lifecycle.settle_by_key(log, key, signals.APPLIED)


def insert_approval(approval: Approval, log: SessionLog) -> None:
    """Store an approval. Called again if the transaction was rolled back."""
    approval.pk = None  # of the rolled-back attempt: the database may have given it to another row since
    approval.save(force_insert=True)


def begin_call(log: SessionLog, approval: str, run: str, attempt: str) -> bool | None:
    """Record that an approved call begins, the first time; None if its run is to stop. Raises fenced.

    `attempt`: an id by which the same beginning is known when it is repeated.
    """
    running = Run.objects.running().filter(pk=run).first()
    if running is None:
        raise HoldfastError("fenced")
    approved = Approval.objects.filter(run=run, uid=approval, status=Approval.Status.APPROVED)
    begun = approved.filter(execution=Execution.BEGUN, attempt=attempt)  # by a COMMIT whose answer was lost
    if running.cancel_id is not None:
        begun.update(execution=Execution.NONE, attempt=None)  # nothing was called
        return None
    return bool(approved.filter(execution=Execution.NONE).update(execution=Execution.BEGUN, attempt=attempt)) or (
        begun.exists()
    )


def end_call(approval: str, execution: Approval.Execution, log: SessionLog) -> None:
    """Record how a call ended."""
    Approval.objects.filter(session=log.session, uid=approval).update(execution=execution)


def add_usage(run: str, input_tokens: int, output_tokens: int, log: SessionLog) -> None:
    """Add to the tokens that a run's model has read and written."""
    lifecycle.add_usage(run, input_tokens, output_tokens)
