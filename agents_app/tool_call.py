"""One tool call of an agent: its output, an approval of its arguments, its execution at most once, a client's result.

Pure: see `agents_app.backend`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agents_app.answer import Call
from agents_app.backend import ApprovalRequest, Arguments, Backend
from sessions_app.core import json_text
from sessions_app.core.errors import HoldfastError
from sessions_app.core.signals import AgentSignal
from sessions_app.core.tools import CLIENTS, UNKNOWN_OUTCOME, UNTOLD
from sessions_app.core.wire_types import Chunk, JsonObject

T = TypeVar("T")

MOST_EXPIRES_S = 10 * 365 * 86_400  # ten years

EXPIRED = "No decision arrived in time."
NO_RESULT = "No result arrived in time."
TOOL_FAILED = "The tool failed."
NOT_APPROVED = "It was not approved, or it has been called before."


class ToolFailed(Exception):
    """A tool's error, in words for the model and for people."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a tool call. `input`: the arguments to call it with, which the approver may have edited.

    `actor` is None if the time ran out. `issued_by`: the issuer of the token that it was sent with, if known.
    `input_text`: the arguments' JSON text, as it was decided about.
    """

    approved: bool
    input: Arguments
    reason: str
    actor: str | None
    issued_by: str = ""
    input_text: str = field(default="", compare=False)


def parsed(arguments: str) -> Arguments:
    """Parse the JSON text of a call's arguments. Raises ValueError."""
    value = json_text.read(arguments).value
    if not isinstance(value, dict):
        raise ValueError("a tool's arguments are a JSON object")
    return value


class ToolCall(Call):
    """A tool call that people and clients may be asked about."""

    def __init__(self, backend: Backend, id: str, name: str, arguments: Arguments | str) -> None:
        """`arguments`: as an object, or as their JSON text, which is then kept byte for byte. Raises ValueError."""
        self._text = arguments if isinstance(arguments, str) else ""
        super().__init__(backend, id, name, parsed(arguments) if isinstance(arguments, str) else arguments)
        self._backend = backend
        self._approval: str | None = None

    @property
    def input_text(self) -> str:
        """The JSON text of the arguments, which people decide about."""
        return self._text or json_text.of(self.input)

    # Asking people

    async def approval(self, reason: str = "", *, expires_s: float | None = 300, editable: bool = False) -> Decision:
        """Ask people about exactly this call, and wait for the first decision. One that is denied ends the call.

        `expires_s`: for how long, None for as long as the session lives. `editable`: the approver may change the
        arguments. Then call it with the decision's `input`, by `execute`.
        """
        self._check_open()
        if expires_s is not None and not 0 <= expires_s <= MOST_EXPIRES_S:
            raise ValueError(f"expires_s is from 0 to {MOST_EXPIRES_S} seconds, or None, not {expires_s!r}")
        self._text = self.input_text  # whatever happens to the object from here on
        request = ApprovalRequest(self.id, self.name, self._text, reason, expires_s, editable)
        approval = self._approval = await self._backend.request_approval(request)
        signal = await self._backend.wait_for(approval, expires_s)
        if signal is None and await self._backend.expire_approval(approval):
            decision = Decision(False, self.input, EXPIRED, None, input_text=self.input_text)
        else:
            signal = signal or await self._backend.wait_for(approval, None)  # it was decided in the last moment
            assert signal is not None  # it has no time limit
            decision = self._decision(signal)
        await self._write_decision(approval, decision, signal)
        return decision

    def _decision(self, signal: AgentSignal) -> Decision:
        payload = signal.payload
        return Decision(
            signal.kind == "approve",
            payload.get("input", self.input),
            payload.get("reason", ""),
            signal.actor,
            signal.issued_by,
            payload.get("input_text", self.input_text),
        )

    async def _write_decision(self, approval: str, decision: Decision, signal: AgentSignal | None) -> None:
        """Write the decision for all readers, and give its signal the final receipt with it."""
        is_edited = signal is not None and "input" in signal.payload
        if decision.input_text != self.input_text:
            self.input, self._text = decision.input, decision.input_text
            call: Chunk = {"type": "tool-input-available", "toolCallId": self.id, "toolName": self.name}
            await self._backend.write({**call, "input": self.input})
        decided: JsonObject = {
            "decided_by": decision.actor,
            "decided_at": time.time_ns() // 1_000_000,
            "edited": is_edited,
        }
        if decision.issued_by:
            decided["issued_by"] = decision.issued_by
        if is_edited:
            decided["input_text"] = decision.input_text
        chunk: Chunk = {
            "type": "tool-approval-response",
            "approvalId": approval,
            "approved": decision.approved,
            "providerMetadata": {"holdfast": decided},
        }
        if decision.reason:
            chunk["reason"] = decision.reason
        await self._backend.write(chunk, settles=signal)
        if not decision.approved:
            await self._backend.write({"type": "tool-output-denied", "toolCallId": self.id})
            self._ended = "it was denied"
        await self._backend.flush()

    # Calling

    async def execute(self, function: Callable[[Arguments], Awaitable[T]]) -> T:
        """Call a function with the approved arguments, at most once whatever dies, and write its output.

        The beginning is stored first. If the process dies within, nothing calls it again, and the response says that
        its outcome is not known. Raises ToolFailed with the function's error, which is written too.
        """
        approval = self._approval
        if approval is None or not await self._backend.begin_call(approval):
            raise ToolFailed(NOT_APPROVED)
        output = await self._call(function, approval)
        chunk: Chunk = {"type": "tool-output-available", "toolCallId": self.id, "output": output}
        try:
            await self._end_call(approval, chunk, failed=False)
        except HoldfastError as problem:
            if problem.code == "bad_chunk":
                await self._end_call(approval, self._error(UNTOLD), failed=False)
            raise
        await self._backend.flush()
        return output

    async def _end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        await self._backend.end_call(approval, chunk, failed=failed)
        self._ended = "it has been called"

    async def _call(self, function: Callable[[Arguments], Awaitable[T]], approval: str) -> T:
        try:
            return await function(parsed(self.input_text))  # what was decided about, not an object in others' hands
        except asyncio.CancelledError:
            await self.error(UNKNOWN_OUTCOME)
            raise
        except Exception as problem:
            told = str(problem) if isinstance(problem, ToolFailed) else TOOL_FAILED
            await self._end_call(approval, self._error(told), failed=True)
            await self._backend.flush()
            raise ToolFailed(told) from problem

    async def result(self, timeout_s: float | None = 300) -> Any:
        """Wait for the result of a tool that runs at the client. Raises ToolFailed, also when none arrives in time."""
        self._check_open()
        await self._mark_as_clients()
        await self._backend.flush()  # nobody can answer what isn't stored
        signal = await self._backend.wait_for(self.id, timeout_s)
        if signal is None:
            await self.error(NO_RESULT)
            raise ToolFailed(NO_RESULT)
        if "error" in signal.payload:
            await self._backend.write(self._error(signal.payload["error"]), settles=signal)
            self._ended = "its client has answered"
            raise ToolFailed(signal.payload["error"])
        output = signal.payload["output"]
        chunk: Chunk = {"type": "tool-output-available", "toolCallId": self.id, "output": output}
        await self._backend.write(chunk, settles=signal)
        self._ended = "its client has answered"
        return output

    async def _mark_as_clients(self) -> None:
        """Tell readers that a client is to run this: a call that its agent runs looks the same."""
        if self._approval is None:  # one that was approved takes no other input
            call: Chunk = {"type": "tool-input-available", "toolCallId": self.id, "toolName": self.name}
            await self._backend.write({**call, "input": self.input, "toolMetadata": CLIENTS})

    def _error(self, message: str) -> Chunk:
        return {"type": "tool-output-error", "toolCallId": self.id, "errorText": message}
