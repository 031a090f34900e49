"""Tools that run at the client: the first result counts, and a missing one is an error."""

import json
from typing import Any

import pytest

from agents_app.tool_call import NO_RESULT, ToolFailed
from agents_app.turn import Turn
from sessions_app.process import Process
from tests.support.agents import Conversation, process
from tests.support.person import text_of

__all__ = ["process"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


async def look_it_up(turn: Turn) -> None:
    call = await turn.tool("read_page", {"selector": "h1"})
    try:
        await turn.text(json.dumps(await call.result(timeout_s=20)))
    except ToolFailed as problem:
        await turn.text(f"failed: {problem}")


@pytest.mark.parametrize(
    ("result", "text"),
    [({"output": {"title": "Home"}}, '{"title": "Home"}'), ({"error": "No such page"}, "failed: No such page")],
)
async def test_a_client_returns_the_result_of_a_tool(process: Process, result: Any, text: str) -> None:
    async with Conversation(process, look_it_up) as talk:
        await talk.say("Look")
        await talk.wait_until(
            lambda: talk.answers and any(p["type"] == "tool-read_page" for p in talk.answers[0].parts)
        )
        about = {"message": talk.answers[0].id, "call": "call_1"}
        first = await talk.send("tool-result", **about, **result)
        second = await talk.send("tool-result", **about, output="another")
        assert (first["status"], second["error"]["code"]) in [
            ("accepted", "already_decided"),
            ("accepted", "no_such_call"),
        ]
        assert text_of(await talk.answered()) == text
        assert (await talk.final(first["id"]))["status"] == "applied"


async def test_a_missing_result_is_an_error(process: Process) -> None:
    async def agent(turn: Turn) -> None:
        call = await turn.tool("read_page", {})
        with pytest.raises(ToolFailed, match=NO_RESULT):
            await call.result(timeout_s=0.05)

    async with Conversation(process, agent) as talk:
        await talk.say("Look")
        assert (await talk.answered()).status == "complete"
        receipt = await talk.send("tool-result", message=talk.answers[0].id, call="call_1", output=1)
        assert receipt["error"]["code"] == "no_such_call"
