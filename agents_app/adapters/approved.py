"""Approved calls that a framework runs by itself: each begins once, whatever dies, and ends with its result."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from agents_app.backend import Arguments
from agents_app.tool_call import ToolCall, ToolFailed
from agents_app.turn import AgentFailed

T = TypeVar("T")


async def together(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the answers to questions that are asked at the same time. Raises the first problem as it is."""
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(question) for question in questions]
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return [task.result() for task in tasks]


class ApprovedCalls:
    """`ToolCall.execute` around what a framework does between `begin` and the call's result; for `async with`.

    At the end of the block, calls without a result get its error, which their tool may have raised; if it was
    cancelled, or gave up (AgentFailed), their outcome isn't known.
    """

    def __init__(self) -> None:
        self._results: dict[str, asyncio.Future[object]] = {}  # by key
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key, task in self._tasks.items():
            if isinstance(error, Exception) and not isinstance(error, AgentFailed) and key in self._results:
                self._results[key].set_exception(error)
            else:
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __contains__(self, key: str) -> bool:
        return key in self._results

    async def begin(self, key: str, call: ToolCall) -> None:
        """Record that an approved call begins: the framework may run it now. Raises ToolFailed if it may not.

        `key`: by which the framework's result names it.
        """
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()
        result: asyncio.Future[object] = loop.create_future()

        async def within(arguments: Arguments) -> object:
            begun.set_result(None)
            return await result

        task = self._tasks[key] = asyncio.create_task(call.execute(within))
        await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            del self._tasks[key]
            await task
        self._results[key] = result

    async def end(self, key: str, output: object) -> None:
        """Write a call's output."""
        self._results.pop(key).set_result(output)
        await self._tasks.pop(key)

    async def fail(self, key: str, message: str) -> None:
        """Write a call's error, which its tool has told the model."""
        self._results.pop(key).set_exception(ToolFailed(message))
        await asyncio.wait({task := self._tasks.pop(key)})
        if not isinstance(task.exception(), ToolFailed):
            await task
