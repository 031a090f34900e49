"""Deferred tools: calls that people have to approve, and calls that a client runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext, ToolApproved, ToolDenied, ToolReturn, exceptions
from pydantic_ai.capabilities import AbstractCapability, WrapToolExecuteHandler
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDefinition

from agents_app.adapters.history import DENIED
from agents_app.adapters.pydantic_ai.stream import EventWriter
from agents_app.adapters.values import UNSHOWABLE
from agents_app.tool_call import ToolCall, ToolFailed
from sessions_app.core.errors import HoldfastError
from sessions_app.core.wire_types import JsonObject

# Exceptions with which a tool tells its model something; any other is a bug in the tool.
TOLD = (exceptions.ModelRetry, exceptions.ToolRetryError, exceptions.ToolFailed, exceptions.ToolFailedError)


@dataclass
class DeferredTools(AbstractCapability[object]):
    """Asks people and clients within a run, which then goes on with their answers.

    The arguments of `ToolCall.approval` come from the metadata of the tool, or of the exception that it raised:
    `ApprovalRequired(metadata={"approval": {"reason": "It costs 40 €.", "editable": True}})`.
    """

    writer: EventWriter

    def __post_init__(self) -> None:
        self._approved: dict[str, ToolCall] = {}

    async def before_model_request(
        self, ctx: RunContext[object], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self.writer.expect(request_context.model_request_parameters)
        return request_context

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[object], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        results = DeferredToolResults()
        try:
            async with asyncio.TaskGroup() as group:
                for call in requests.approvals:
                    told = (ctx.tools[call.tool_name].metadata or {}) | requests.metadata.get(call.tool_call_id, {})
                    group.create_task(self._ask(call, told.get("approval", {}), results))
                for call in requests.calls:
                    group.create_task(self._result(call, results))
        except* HoldfastError as problems:  # the run has ended, or the log refused a chunk
            raise problems.exceptions[0] from None
        return results

    async def _ask(self, call: ToolCallPart, options: dict[str, Any], results: DeferredToolResults) -> None:
        asked = self.writer.askable(call)
        if asked is None:
            results.approvals[call.tool_call_id] = ToolDenied(UNSHOWABLE)
            return
        before = asked.input_text
        decision = await asked.approval(**options)
        if decision.approved:
            self._approved[call.tool_call_id] = asked
            edited = decision.input if decision.input_text != before else None
            results.approvals[call.tool_call_id] = ToolApproved(override_args=edited)
        else:
            results.approvals[call.tool_call_id] = ToolDenied(decision.reason or DENIED)
            self.writer.ended(call)

    async def _result(self, call: ToolCallPart, results: DeferredToolResults) -> None:
        asked = self.writer.askable(call)
        if asked is None or self.writer.storable(asked.input) != asked.input:
            results.calls[call.tool_call_id] = exceptions.ToolFailed(UNSHOWABLE)
            return
        try:
            results.calls[call.tool_call_id] = await asked.result()
        except ToolFailed as failure:
            results.calls[call.tool_call_id] = exceptions.ToolFailed(str(failure))
        self.writer.ended(call)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[object],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: JsonObject,
        handler: WrapToolExecuteHandler,
    ) -> object:
        """Run an approved call at most once, whatever dies."""
        # A provider may repeat an id for a call that needs no approval.
        asked = self._approved.pop(call.tool_call_id, None) if ctx.tool_call_approved else None
        if asked is None:
            return await handler(args)
        returned: object = None
        problem: Exception | None = None

        async def once(_: JsonObject) -> object:
            nonlocal returned, problem
            try:
                returned = await handler(args)
            except Exception as error:
                problem = error
                if isinstance(error, TOLD):
                    raise ToolFailed(str(error)) from None
                raise
            return self.writer.storable(returned.return_value if isinstance(returned, ToolReturn) else returned)

        try:
            await asked.execute(once)
        except ToolFailed as failure:
            raise problem or exceptions.ToolFailed(str(failure)) from None
        finally:
            self.writer.ended(call)
        return returned
