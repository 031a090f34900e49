"""One call of a tool: its output, what people decide about it, its execution at most once, a client's result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import orjson
from django.utils import timezone

from agents_app.answer import Arguments, Call
from sessions_app import models
from sessions_app.core import signals
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import input_hash
from sessions_app.event_log import queries
from sessions_app.event_log.commands import SessionLog
from sessions_app.models import Approval, new_id
from sessions_app.process import Process
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.runs import lifecycle
from sessions_app.runs.inbox import RunInbox, Signal

T = TypeVar("T")

EXPIRED = "Nobody decided in time."
NO_RESULT = "No result came in time."
TOOL_FAILED = "The tool failed."
UNTOLD = "It was done, but its output is too large or no JSON, and can't be shown."
NOT_APPROVED = "It was not approved, or it was called already."


class ToolFailed(Exception):
    """A tool's error, in words for the model and for people."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a call. `input`: the arguments to call it with, perhaps edited by who approved them.

    `actor` is None where nobody decided in time.
    """

    approved: bool
    input: Arguments
    reason: str
    actor: str | None


class ToolCall(Call):
    """A call of a tool of which people may be asked."""

    _response: LocalWriter

    def __init__(
        self, process: Process, response: LocalWriter, inbox: RunInbox, id: str, name: str, arguments: Arguments
    ) -> None:
        super().__init__(response, id, name, arguments)
        self._process = process
        self._inbox = inbox
        self._approval: Approval | None = None

    # Asking people

    async def approval(self, reason: str = "", *, expires_s: float | None = 300, editable: bool = False) -> Decision:
        """Ask people about this very call, and wait for the first decision. One that is denied ends the call.

        `expires_s`: for how long, None for as long as the session lives. `editable`: who approves may change the
        arguments. Call it with the decision's `input`, by `execute`.
        """
        approval = self._ask(reason, expires_s, editable)
        descriptor = {
            "input_hash": approval.input_hash,
            "expires_at": None if approval.expires_at is None else queries.milliseconds(approval.expires_at),
            "editable": editable,
        }
        request = {"approvalId": approval.uid, "approvalDescriptor": descriptor}
        if reason:
            request["reason"] = reason
        await self._write("tool-approval-request", **request, also=partial(_insert, approval))
        await self._response.flush()
        self._approval = approval
        signal = await self._inbox.about(approval.uid, expires_s)
        if signal is None and await self._change(lifecycle.expire, approval.uid):
            return await self._decide(Decision(False, self.input, EXPIRED, None), None)
        signal = signal or await self._inbox.about(approval.uid, None)  # it was decided in the last moment
        assert signal is not None  # it has no time limit
        payload = signal.payload
        decision = Decision(
            signal.kind == "approve", payload.get("input", self.input), payload.get("reason", ""), signal.actor
        )
        return await self._decide(decision, signal)

    def _ask(self, reason: str, expires_s: float | None, editable: bool) -> Approval:
        now = timezone.now()
        return Approval(
            session_id=self._response.session,
            run_id=self._response.run.pk,
            uid=f"approval_{new_id()}",
            call=self.id,
            tool=self.name[:128].replace("\0", ""),
            input=orjson.dumps(self.input).decode(),
            input_hash=input_hash(self.input),
            editable=editable,
            reason=reason.replace("\0", ""),
            expires_at=None if expires_s is None else now + timedelta(seconds=expires_s),
        )

    async def _decide(self, decision: Decision, signal: Signal | None) -> Decision:
        """Write what was decided where everybody sees it, and give its signal the final receipt with it."""
        assert self._approval is not None  # it was asked for
        if decision.input != self.input:
            self.input = decision.input
            await self._write("tool-input-available", toolName=self.name, input=self.input)
        await self._response.write(
            {
                "type": "tool-approval-response",
                "approvalId": self._approval.uid,
                "approved": decision.approved,
                **({"reason": decision.reason} if decision.reason else {}),
                "providerMetadata": {
                    "holdfast": {
                        "decided_by": decision.actor,
                        "decided_at": queries.milliseconds(timezone.now()),
                        "edited": signal is not None and "input" in signal.payload,
                    }
                },
            },
            also=None if signal is None else partial(_applied, signal.key),
        )
        if not decision.approved:
            await self._write("tool-output-denied")
        await self._response.flush()
        return decision

    # Calling

    async def execute(self, function: Callable[[Arguments], Awaitable[Any]]) -> Any:
        """Call a function with the approved arguments, at most once whatever dies, and write its output.

        That it begins is stored before. When the process dies within, nobody calls it again, and the response says that
        its outcome is not known. Raises ToolFailed with the function's error, which is written too.
        """
        if self._approval is None:
            raise ToolFailed(NOT_APPROVED)
        begun = await self._change(_begin, self._approval.uid, self._response.run.pk)
        if begun is None:
            await asyncio.Event().wait()  # its run is to stop: that is raised here in a moment
        if not begun:
            raise ToolFailed(NOT_APPROVED)
        try:
            output = await function(self.input)
        except asyncio.CancelledError:
            await self.error(lifecycle.UNKNOWN_OUTCOME)
            raise
        except Exception as problem:
            told = str(problem) if isinstance(problem, ToolFailed) else TOOL_FAILED
            await self._write("tool-output-error", errorText=told, also=self._executed(Approval.Execution.FAILED))
            await self._response.flush()
            raise ToolFailed(told) from problem
        done = self._executed(Approval.Execution.DONE)
        try:
            await self._write("tool-output-available", output=output, also=done)
        except HoldfastError as problem:
            if problem.code == "bad_chunk":
                await self._write("tool-output-error", errorText=UNTOLD, also=done)
            raise
        await self._response.flush()
        return output

    async def result(self, timeout_s: float | None = 300) -> Any:
        """Wait for the result of a tool that runs at the client. Raises ToolFailed, also when none comes in time."""
        await self._response.flush()  # nobody can answer what isn't stored
        signal = await self._inbox.about(self.id, timeout_s)
        if signal is None:
            await self.error(NO_RESULT)
            raise ToolFailed(NO_RESULT)
        applied = partial(_applied, signal.key)
        if "error" in signal.payload:
            await self._write("tool-output-error", errorText=signal.payload["error"], also=applied)
            raise ToolFailed(signal.payload["error"])
        await self._write("tool-output-available", output=signal.payload["output"], also=applied)
        return signal.payload["output"]

    def _executed(self, how: Approval.Execution) -> Callable[[SessionLog], None]:
        assert self._approval is not None  # `execute` checks it
        return partial(_end, self._approval.uid, how)

    async def _write(self, kind: str, *, also: Callable[[SessionLog], None] | None = None, **fields: Any) -> None:
        await self._response.write({"type": kind, "toolCallId": self.id, **fields}, also=also)

    async def _change(self, work: Callable[..., T], *args: str) -> T:
        return await self._process.log_writer.change(self._response.session, work, *args)


# Within a transaction


def _applied(key: int, log: SessionLog) -> None:
    lifecycle.settle_by_key(log, key, signals.APPLIED)


def _insert(approval: Approval, log: SessionLog) -> None:
    approval.pk = None  # of an attempt that was rolled back: the database may have given it to another since
    approval.save(force_insert=True)


def _begin(log: SessionLog, approval: str, run: str) -> bool | None:
    """Note that a call begins, the first time; None when its run is to stop."""
    running = models.Run.objects.running().filter(pk=run).first()
    if running is None:
        raise HoldfastError("fenced")
    if running.cancel_id is not None:
        return None
    approved = Approval.objects.filter(run=run, uid=approval, status=Approval.Status.APPROVED)
    return bool(approved.filter(execution=Approval.Execution.NONE).update(execution=Approval.Execution.BEGUN))


def _end(approval: str, how: Approval.Execution, log: SessionLog) -> None:
    Approval.objects.filter(session=log.session, uid=approval).update(execution=how)
