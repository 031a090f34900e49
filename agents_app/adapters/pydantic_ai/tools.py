"""Tools of a model that wait: for people to decide about a call, or for a client to run it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext, ToolApproved, ToolDenied, ToolReturn, exceptions
from pydantic_ai.capabilities import AbstractCapability, WrapToolExecuteHandler
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDefinition

from agents_app.adapters.pydantic_ai.history import DENIED
from agents_app.adapters.pydantic_ai.stream import Telling, sayable
from agents_app.tool_call import ToolCall, ToolFailed
from sessions_app.core.errors import HoldfastError

UNSHOWABLE = "Its arguments are too long, or hold what no JSON can: whom they are for can't be shown all of them."
# What a tool has to tell its model; anything else that it raises is a bug of its own.
TOLD = (exceptions.ModelRetry, exceptions.ToolRetryError, exceptions.ToolFailed, exceptions.ToolFailedError)


@dataclass
class Waiting(AbstractCapability[Any]):
    """Asks people and clients within a run, so that it goes on with their answers.

    What people are asked stands in the metadata of the tool, or of what it raised, as the arguments of
    `ToolCall.approval`: `ApprovalRequired(metadata={"approval": {"reason": "It costs 40 €.", "editable": True}})`.
    """

    telling: Telling

    def __post_init__(self) -> None:
        self._approved: dict[str, ToolCall] = {}

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        results = DeferredToolResults()
        try:
            async with asyncio.TaskGroup() as group:
                for call in requests.approvals:
                    told = (ctx.tools[call.tool_name].metadata or {}) | requests.metadata.get(call.tool_call_id, {})
                    group.create_task(self._ask(call, told.get("approval", {}), results))
                for call in requests.calls:
                    group.create_task(self._result(call, results))
        except* HoldfastError as problems:  # the run has ended, or the log doesn't take it
            raise problems.exceptions[0] from None
        return results

    async def _ask(self, call: ToolCallPart, options: dict[str, Any], results: DeferredToolResults) -> None:
        asked = self.telling.call(call)
        before = asked.input
        if sayable(before) != before:
            results.approvals[call.tool_call_id] = ToolDenied(UNSHOWABLE)
            return
        decision = await asked.approval(**options)
        if decision.approved:
            self._approved[call.tool_call_id] = asked
            edited = decision.input if decision.input != before else None
            results.approvals[call.tool_call_id] = ToolApproved(override_args=edited)
        else:
            results.approvals[call.tool_call_id] = ToolDenied(decision.reason or DENIED)
            self.telling.ended(call)

    async def _result(self, call: ToolCallPart, results: DeferredToolResults) -> None:
        asked = self.telling.call(call)
        if sayable(asked.input) != asked.input:
            results.calls[call.tool_call_id] = exceptions.ToolFailed(UNSHOWABLE)
            return
        try:
            results.calls[call.tool_call_id] = await asked.result()
        except ToolFailed as failure:
            results.calls[call.tool_call_id] = exceptions.ToolFailed(str(failure))
        self.telling.ended(call)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Run a call that people approved at most once, whatever dies."""
        # A provider may use an id again, for a call that nobody was asked about.
        asked = self._approved.pop(call.tool_call_id, None) if ctx.tool_call_approved else None
        if asked is None:
            return await handler(args)
        returned: Any = None
        problem: Exception | None = None

        async def once(_: dict[str, Any]) -> Any:
            nonlocal returned, problem
            try:
                returned = await handler(args)
            except Exception as error:
                problem = error
                if isinstance(error, TOLD):
                    raise ToolFailed(str(error)) from None
                raise
            return sayable(returned.return_value if isinstance(returned, ToolReturn) else returned)

        try:
            await asked.execute(once)
        except ToolFailed as failure:
            raise problem or exceptions.ToolFailed(str(failure)) from None
        finally:
            self.telling.ended(call)
        return returned
