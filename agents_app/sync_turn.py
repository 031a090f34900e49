"""Agents that are plain functions or generators: they run in a thread of their own, and may block.

`SyncTurn` has `Turn`'s verbs without `await`: each is done in the event loop, and the thread waits for it. Pure: see
`agents_app.backend`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeGuard, TypeVar, cast

from agents_app.backend import Arguments
from agents_app.sync_answer import SyncAnswer, SyncCall
from agents_app.tool_call import Decision, ToolCall
from agents_app.turn import Mode, Turn
from sessions_app.core.fold import MessageState

T = TypeVar("T")

AsyncAgent = Callable[[Turn], Awaitable[None]]
SyncAgent = Callable[["SyncTurn"], Iterable[str] | None]
Agent = AsyncAgent | SyncAgent


async def perform(agent: Agent, turn: Turn, *, tidy: Callable[[], None] = lambda: None) -> None:
    """Have an agent answer a turn: an async one here, another in a thread, where `tidy` is called at the end.

    A cancellation reaches a thread at its next verb, and this returns when the thread has ended.
    """
    if _is_async(agent):
        said: Awaitable[None] | Iterable[str] | None = agent(turn)
        if inspect.isawaitable(said):
            await said
        else:
            for text in said or ():
                await turn.text(text)
        return
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    verbs = Verbs(asyncio.get_running_loop())
    answer = partial(_answer, cast(SyncAgent, agent), SyncTurn(turn, verbs))
    work = partial(copy_context().run, _report, answer, tidy, verbs, done)
    threading.Thread(target=work, name="agent", daemon=True).start()  # a process ends without it, if it must
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        verbs.stop()
        await asyncio.wait({done})
        if not done.cancelled():
            done.exception()  # what it raised while it was stopped concerns nobody
        raise


def _is_async(agent: Agent) -> TypeGuard[AsyncAgent]:
    function = inspect.unwrap(agent)
    if getattr(function, "__name__", "") == "<lambda>":  # `lambda turn: answer(turn, model)` wraps an async function
        return True
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _answer(agent: SyncAgent, turn: SyncTurn) -> None:
    said = agent(turn)
    if inspect.isawaitable(said) or inspect.isasyncgen(said):
        raise TypeError("an agent that returns something to await must be an `async def`")
    for text in said or ():
        turn.text(text)


def _report(answer: Callable[[], None], tidy: Callable[[], None], verbs: Verbs, done: asyncio.Future[None]) -> None:
    """Call the agent's function in its thread, and report its end to the loop."""
    problem: BaseException | None = None
    try:
        answer()
    except (Exception, asyncio.CancelledError) as error:
        problem = error
    except BaseException as error:  # such as sys.exit(): the agent's end, and not the process's
        problem = RuntimeError(f"the agent raised {type(error).__name__}")
    finally:
        tidy()
    with suppress(asyncio.CancelledError):  # the loop is closed
        verbs.call_soon(_settle, done, problem)


def _settle(done: asyncio.Future[None], problem: BaseException | None) -> None:
    if isinstance(problem, asyncio.CancelledError):
        done.cancel()
    elif isinstance(problem, StopIteration):  # no future takes one
        done.set_exception(RuntimeError("the agent raised StopIteration"))
    elif problem is not None:
        done.set_exception(problem)
    else:
        done.set_result(None)


class Verbs:
    """What an agent's thread has done in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Raise CancelledError in the thread, at the verb that it waits for or at its next one. Called in the loop."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call a function in the loop; in vain once that is closed."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            raise asyncio.CancelledError from None

    def do(self, verb: Callable[[Calls], Awaitable[T]]) -> T:
        """Have a verb done in the loop, and wait for it; what it needs done here meanwhile, it puts into the queue."""
        calls: Calls = SimpleQueue()
        self.call_soon(self._begin, verb, calls)
        while callable(work := calls.get()):
            work()
        if work is None or work.cancelled():
            raise asyncio.CancelledError
        result: T = work.result()
        return result

    def await_(self, verb: Callable[[], Awaitable[T]]) -> T:
        """Have a verb done that needs nothing done here meanwhile."""
        return self.do(lambda _: verb())

    def _begin(self, verb: Callable[[Calls], Awaitable[T]], calls: Calls) -> None:
        if self._stopped:
            calls.put(None)
            return
        task = self._loop.create_task(_awaited(verb(calls)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(calls.put)

    async def in_thread(self, function: Callable[[Arguments], T], calls: Calls, arguments: Arguments) -> T:
        """Call a function in the agent's thread, which waits for a verb."""
        done: asyncio.Future[T] = self._loop.create_future()
        calls.put(partial(self._call, function, arguments, done))
        return await done

    def _call(self, function: Callable[[Arguments], T], arguments: Arguments, done: asyncio.Future[T]) -> None:
        try:
            result = function(arguments)
        except Exception as problem:
            self.call_soon(_unless_done, done, done.set_exception, problem)
        else:
            self.call_soon(_unless_done, done, done.set_result, result)


# What a thread that waits for a verb is given: functions to call; then the verb's task, or None if it is stopped.
Calls = SimpleQueue[Callable[[], None] | asyncio.Task[Any] | None]


async def _awaited(verb: Awaitable[T]) -> T:
    return await verb


def _unless_done(done: asyncio.Future[T], settle: Callable[[Any], None], value: object) -> None:
    if not done.done():  # its verb may have been cancelled
        settle(value)


class SyncTurn(SyncAnswer):
    """One turn of an agent in a thread: see `Turn`, whose verbs it has."""

    def __init__(self, turn: Turn, verbs: Verbs) -> None:
        super().__init__(turn, verbs.await_)
        self._turn = turn
        self._verbs = verbs
        self.history: list[MessageState] = turn.history
        self.prompt: str = turn.prompt
        self.mode: Mode = turn.mode
        self.chunk_bytes: int = turn.chunk_bytes

    def step(self) -> list[str]:
        """Begin the next step; return what people have said meanwhile."""
        return self._verbs.do(lambda _: self._turn.step())

    def tool(self, name: str, arguments: Arguments | str, *, title: str | None = None) -> SyncToolCall:
        """Write a tool call and return it."""
        return SyncToolCall(self._verbs.do(lambda _: self._turn.tool(name, arguments, title=title)), self._verbs)

    def call(self, id: str, name: str, arguments: Arguments | str) -> SyncToolCall:
        """Return a call that was written chunk by chunk, with `write`."""
        return SyncToolCall(self._turn.call(id, name, arguments), self._verbs)

    def usage(self, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Count what a model has read and written."""

        async def count(_: Calls) -> None:
            self._turn.usage(input_tokens=input_tokens, output_tokens=output_tokens)

        self._verbs.do(count)


class SyncToolCall(SyncCall):
    """A tool call of an agent in a thread: see `ToolCall`, whose verbs it has."""

    def __init__(self, call: ToolCall, verbs: Verbs) -> None:
        super().__init__(call, verbs.await_)
        self._tool_call = call
        self._verbs = verbs

    @property
    def input(self) -> Arguments:
        """The arguments, as the approver has edited them."""
        return self._tool_call.input

    @property
    def input_text(self) -> str:
        """The JSON text of the arguments."""
        return self._tool_call.input_text

    def approval(self, reason: str = "", *, expires_s: float | None = 300, editable: bool = False) -> Decision:
        """Ask people about exactly this call, and wait for the first decision."""
        return self._verbs.do(lambda _: self._tool_call.approval(reason, expires_s=expires_s, editable=editable))

    def execute(self, function: Callable[[Arguments], T]) -> T:
        """Call a function with the approved arguments, at most once whatever dies, in this thread."""
        return self._verbs.do(lambda calls: self._tool_call.execute(partial(self._verbs.in_thread, function, calls)))

    def result(self, timeout_s: float | None = 300) -> Any:
        """Wait for the result of a tool that runs at the client. Raises ToolFailed."""
        return self._verbs.do(lambda _: self._tool_call.result(timeout_s))
