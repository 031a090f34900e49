"""Approved calls that a framework runs by itself: at most once, and their outcome is told as far as it is known."""

import asyncio
from typing import Any

import pytest

from agents_app.adapters.approved import ApprovedCalls, together
from agents_app.testing import approve, rehearse
from agents_app.tool_call import NOT_APPROVED, TOOL_FAILED, ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.tools import UNKNOWN_OUTCOME


async def play(then: Any) -> Any:
    """Ask about a call, begin it, and do something then, in the block of approved calls."""

    async def agent(turn: Turn) -> None:
        call = await turn.tool("send", {"to": "Ann"})
        await call.approval()
        try:
            async with ApprovedCalls() as approved:
                await approved.begin("key", call)
                assert "key" in approved
                await then(approved, call)
        except (ValueError, asyncio.CancelledError):
            pass

    return await rehearse(agent, "Go", decisions=[approve()])


async def test_a_call_ends_with_its_result() -> None:
    told = await play(lambda approved, call: approved.end("key", {"sent": 1}))
    assert (told.tool("send")["state"], told.tool("send")["output"]) == ("output-available", {"sent": 1})


async def test_a_call_ends_with_what_its_tool_has_told() -> None:
    told = await play(lambda approved, call: approved.fail("key", "No such person."))
    assert (told.tool("send")["state"], told.tool("send")["errorText"]) == ("output-error", "No such person.")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (ValueError("private"), TOOL_FAILED),
        (asyncio.CancelledError(), UNKNOWN_OUTCOME),
        (AgentFailed("Away."), UNKNOWN_OUTCOME),
    ],
)
async def test_a_call_without_a_result(problem: BaseException, words: str) -> None:
    async def fail(approved: ApprovedCalls, call: Any) -> None:
        raise problem

    told = await play(fail)
    assert told.tool("send")["errorText"] == words
    assert told.status == ("failed" if isinstance(problem, AgentFailed) else "complete")


async def test_a_call_begins_once() -> None:
    async def again(approved: ApprovedCalls, call: Any) -> None:
        with pytest.raises(ToolFailed, match=NOT_APPROVED):
            await approved.begin("other", call)
        assert "other" not in approved
        await approved.end("key", 1)

    assert (await play(again)).tool("send")["output"] == 1


async def test_a_stop_before_the_call_begins_runs_nothing() -> None:
    """As `begin_call` of a run that is to stop: it doesn't return, and the agent's task is cancelled."""
    began = asyncio.Event()

    class Waiting:
        id = "call_1"

        async def execute(self, function: Any) -> None:
            began.set()
            await asyncio.Event().wait()

    async def agent() -> None:
        async with ApprovedCalls() as approved:
            await approved.begin("key", Waiting())  # type: ignore[arg-type]

    task = asyncio.create_task(agent())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_the_first_problem_of_several_questions_is_raised_as_it_is() -> None:
    stopped: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("waits")
            raise

    async def fails() -> None:
        raise ToolFailed("No.")

    with pytest.raises(ToolFailed, match="No."):
        await together([waits(), together([fails()])])
    assert stopped == ["waits"]
