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
from sessions_app.core.signals import AgentSignal
from sessions_app.core.text import without_nul
from sessions_app.core.wire_types import Chunk
from sessions_app.event_log.moments import milliseconds
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Approval, new_id
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.runs import calls, lifecycle
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
        return self._response.write(chunk, also=None if settles is None else partial(calls.apply_signal, settles.key))

    async def flush(self) -> None:
        await self._response.flush()

    def take_steers(self) -> list[AgentSignal]:
        return self._inbox.take_steers()

    async def request_approval(self, request: ApprovalRequest) -> str:
        approval = self._approval(request)
        expires_at = None if approval.expires_at is None else milliseconds(approval.expires_at)
        chunk = request.chunk(approval.uid, expires_at=expires_at)
        await self._response.write(chunk, also=partial(calls.insert_approval, approval))
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
        begun = await self._log_writer.change_with_retry(self.session, calls.begin_call, approval, run, attempt)
        if begun is None:
            await asyncio.Event().wait()  # the run is to stop: its task is cancelled in a moment
        return bool(begun)

    async def end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        execution = Execution.FAILED if failed else Execution.DONE
        await self._response.write(chunk, also=partial(calls.end_call, approval, execution))

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        self._response.with_next(partial(calls.add_usage, self._response.run.pk, input_tokens, output_tokens))
