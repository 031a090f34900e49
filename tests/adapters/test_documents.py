"""docs/agents.md: the code of each framework's section runs, on fake models."""

import asyncio
import inspect
import json
import re
import subprocess
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from ag_ui.encoder import EventEncoder
from pydantic_ai.ui.ag_ui import AGUIAdapter

from agents_app import registry
from agents_app.adapters.ui_messages import answer
from agents_app.testing import Rehearsal, _Script, _Stage, approve, rehearse
from agents_app.turn import Turn
from tests import services
from tests.adapters.kits import langgraph_kit, openai_agents_kit, pydantic_ai_kit
from tests.adapters.kits.script import Call, Desk, Step, look
from tests.support.harness import ROOT

PAGE = (ROOT / "docs" / "agents.md").read_text()
LENDS: list[Step] = [["Let me see. ", Call('{"book": "Emma"}', "lend", "call_1")], ["Here it is."]]


def blocks(heading: str, language: str = "python") -> list[str]:
    """Return the code blocks of a section."""
    section = PAGE.split(f"### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture(autouse=True)
def no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_agents", {})


async def play(block: str, names: dict[str, Any], **people: Any) -> Rehearsal:
    """Run a block that registers the librarian, and ask it."""
    exec(compile(block, "docs/agents.md", "exec"), names)
    librarian = registry.find("librarian")
    assert librarian
    return await rehearse(librarian, "Lend me Emma", **people)


def search(words: str) -> str:
    """Search the shelves."""
    return "nothing"


def lend(book: str) -> str:
    """Lend a book."""
    return f"{book} is lent"


async def test_langgraph() -> None:
    [block] = blocks("LangGraph and LangChain")
    model = langgraph_kit.ScriptedModel(script=LENDS, desk=Desk(), requests=[])
    tools = {function.__name__: function for function in (search, lend)}
    told = await play(block, {"model": model, **tools}, decisions=[approve({"book": "Ulysses"})])
    assert (told.status, told.text) == ("complete", "Let me see. Here it is.")
    assert told.tool("lend")["output"].endswith("Ulysses is lent")


async def test_openai_agents() -> None:
    [block] = blocks("OpenAI Agents SDK")
    model = openai_agents_kit.ScriptedModel(LENDS, Desk(), [])
    names = {"model": model, "search": search, "lend": lend}
    told = await play(block, names, decisions=[approve({"book": "Ulysses"})])
    assert (told.text, told.tool("lend")["output"]) == ("Let me see. Here it is.", "Ulysses is lent")


async def test_ag_ui_in_the_same_process() -> None:
    block, _ = blocks("AG-UI")
    agent = pydantic_ai_kit.scripted_agent([["Here ", look("x")], ["it is."]], Desk(), [])
    told = await play(block, {"agent": agent})
    assert (told.status, told.text) == ("complete", "Here it is.")


async def test_ag_ui_over_http() -> None:
    _, block = blocks("AG-UI")
    agent = pydantic_ai_kit.scripted_agent([["Here ", look("x")], ["it is."]], Desk(), [])

    async def events(request: httpx.Request) -> httpx.Response:
        given = AGUIAdapter.build_run_input(await request.aread())
        stream = AGUIAdapter(agent, given).run_stream()
        return httpx.Response(200, text="".join([EventEncoder().encode(event) async for event in stream]))

    told = await play(block, {"http": httpx.AsyncClient(transport=httpx.MockTransport(events))})
    assert (told.status, told.text, told.tool("look")["output"]) == ("complete", "Here it is.", "x: found")


async def test_a_ui_message_stream_over_http() -> None:
    block, _ = blocks("AI SDK")
    chunks = [{"type": "start"}, {"type": "text-start", "id": "0"}, {"type": "text-delta", "id": "0", "delta": "Here."},
              {"type": "text-end", "id": "0"}, {"type": "finish"}]  # fmt: skip

    def lines(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"prompt": "Lend me Emma"}
        return httpx.Response(200, text="".join(f"{json.dumps(chunk)}\n" for chunk in chunks))

    told = await play(block, {"http": httpx.AsyncClient(transport=httpx.MockTransport(lines))})
    assert (told.status, told.text) == ("complete", "Here.")


async def test_pydantic_ais_stream_is_published() -> None:
    _, block = blocks("AI SDK")
    stage = _Stage(_Script({}, [], []), 65_536)
    names = {
        "publisher": type("Publisher", (), {"respond": lambda self, session: stage})(), "session": "s", "prompt": "Go",
        "agent": pydantic_ai_kit.scripted_agent([["Here ", look("x")], ["it is."]], Desk(), []), "json": json,
    }  # fmt: skip
    exec(f"async def publish():\n{textwrap.indent(block, '    ')}", names)
    publish: Any = names["publish"]
    assert inspect.iscoroutinefunction(publish)
    await asyncio.wait_for(publish(), 10)
    parts = [part["type"] for part in stage.message.parts]
    assert (stage.message.status, parts) == ("complete", ["step-start", "text", "tool-look", "step-start", "text"])


NODE = """
import {streamText} from "ai";
import {MockLanguageModelV4 as Model, simulateReadableStream} from "ai/test";
const [site, session, token, prompt] = ["https://chat.example", "s", "t", "Go"];
const usage = {inputTokens: {total: 1}, outputTokens: {total: 1}};
const model = new Model({doStream: async () => ({stream: simulateReadableStream({chunks: [
  {type: "stream-start", warnings: []}, {type: "text-start", id: "0"}, {type: "text-delta", id: "0", delta: "Here, é "},
  {type: "text-delta", id: "0", delta: "😀."}, {type: "text-end", id: "0"},
  {type: "finish", finishReason: {unified: "stop", raw: "stop"}, usage}]})})});
globalThis.fetch = async (url, {method, headers, body}) => {
  console.error(JSON.stringify([url, method, headers["content-type"]]));
  for await (const bytes of body) process.stdout.write(bytes);
};
"""


async def test_a_node_agents_stream_is_published() -> None:
    [block] = blocks("AI SDK", "js")
    command = ["node", "--input-type=module", "-e", NODE + block]
    services.require_package("ai")
    command[0] = services.require("node")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT / "tests")
    assert done.returncode == 0, done.stderr
    address = "https://chat.example/api/sessions/s/publish/"
    assert json.loads(done.stderr.splitlines()[0]) == [address, "POST", "application/x-ndjson"]

    async def lines() -> AsyncIterator[str]:
        yield done.stdout

    async def agent(turn: Turn) -> None:
        await answer(turn, lines())

    told = await rehearse(agent, "Go")
    assert (told.status, told.text) == ("complete", "Here, é 😀.")
