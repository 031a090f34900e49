"""Approved calls that a framework runs by itself: each begins once, whatever dies, and ends with its result."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from agents_app.backend import Arguments
from agents_app.tool_call import ToolCall, ToolFailed


class ApprovedCalls:
    """`ToolCall.execute` around what a framework does between `begin` and the call's result; for `async with`.

    At the end of the block, calls without a result get the block's error, or an unknown outcome if it was cancelled.
    """

    def __init__(self) -> None:
        self._results: dict[str, asyncio.Future[object]] = {}  # by the call's id
        self._tasks: dict[str, asyncio.Task[object]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for id, task in self._tasks.items():
            if isinstance(error, Exception) and id in self._results:
                self._results[id].set_exception(error)
            else:
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __contains__(self, id: str) -> bool:
        return id in self._results

    async def begin(self, call: ToolCall) -> None:
        """Record that the approved call begins: the framework may run it now. Raises ToolFailed if it may not."""
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()
        result: asyncio.Future[object] = loop.create_future()

        async def within(arguments: Arguments) -> object:
            begun.set_result(None)
            return await result

        task = self._tasks[call.id] = asyncio.create_task(call.execute(within))
        await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            del self._tasks[call.id]
            await task
        self._results[call.id] = result

    async def end(self, id: str, output: object) -> None:
        """Write the call's output."""
        self._results.pop(id).set_result(output)
        await self._tasks.pop(id)

    async def fail(self, id: str, message: str) -> None:
        """Write the call's error, which its tool has told the model."""
        self._results.pop(id).set_exception(ToolFailed(message))
        await asyncio.wait({task := self._tasks.pop(id)})
        if not isinstance(task.exception(), ToolFailed):
            await task
