"""Agents of three frameworks, and of two more behind AG-UI over HTTP, at a worker elsewhere: people decide at the site.

The stored answer is the one that the same agent gives in a rehearsal, part by part.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import httpx
import pytest
from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI, Request, Response
from langgraph.checkpoint.memory import InMemorySaver
from pydantic_ai.ui.ag_ui import AGUIAdapter

from agents_app.adapters.ag_ui.agent import Item, answer
from agents_app.testing import approve, deny, rehearse
from sessions_app.core.message import from_wire
from tests.adapters.kits import langgraph_kit, openai_agents_kit, pydantic_ai_kit
from tests.adapters.kits.script import Desk
from tests.adapters.test_ag_ui import SCRIPT, parts
from tests.scenarios.test_workers import SETTINGS, asking, working
from tests.support.follower import Follower
from tests.support.harness import Server, StartServer
from tests.support.uvicorn_server import serving

DECISIONS = {"approved": approve(), "edited": approve({"to": "Bob"}), "denied": deny("Not today.")}
SENT = {"approved": ["Ann"], "edited": ["Bob"], "denied": []}


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(**SETTINGS)


@pytest.fixture(params=DECISIONS)
def decision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def decided(server: Server, agent: Any, decision: str) -> Any:
    """Ask a worker's agent, decide about its one call at the site, and return the stored answer."""
    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Go")
        await reader.wait_until(lambda: part(reader, session).get("state") == "approval-requested")
        asked = part(reader, session)["approval"]
        kind, payload = "approve", {"input_hash": asked["descriptor"]["input_hash"]}
        if decision == "edited":
            payload["input_text"] = '{"to": "Bob"}'
        elif decision == "denied":
            kind, payload = "deny", {"reason": "Not today."}
        signal = await reader.signal(session, kind, {"approval": asked["id"], **payload})
        assert (await reader.wait_status(session, signal, "applied", "rejected", "expired"))["status"] == "applied"
        await reader.wait_for_end(session)
        stored = (await reader.http.get(f"/api/sessions/{session}/messages/")).json()["results"]
        return from_wire(stored[0])  # newest first


def part(reader: Follower, session: str) -> Any:
    """Return the part that is the call of `send`."""
    every = [part for message in reader.messages(session) for part in message.parts]
    return next((part for part in every if part["type"] == "tool-send"), {})


def check(message: Any, expected: Any, desk: Desk, decision: str) -> None:
    assert (message.status, desk.sent, desk.looked) == ("complete", SENT[decision], ["here", "é\n"])
    [holdfast] = [
        part["callProviderMetadata"]["holdfast"] for part in message.parts if "callProviderMetadata" in part
    ]  # fmt: skip
    assert holdfast["decided_by"].startswith("guest:") and holdfast["edited"] is (decision == "edited")
    assert parts(message) == parts(expected)


@pytest.mark.parametrize(
    "kit", [pydantic_ai_kit, langgraph_kit, openai_agents_kit], ids=["pydantic-ai", "langgraph", "openai-agents"]
)
async def test_a_framework_asks_from_elsewhere(server: Server, kit: Any, decision: str) -> None:
    expected = await rehearse(kit.make(SCRIPT, Desk()).agent, "Go", decisions=[DECISIONS[decision]])
    desk = Desk()
    check(await decided(server, kit.make(SCRIPT, desk).agent, decision), expected.message, desk, decision)


# AG-UI over HTTP, as the frameworks' own servers speak it


class Clerks:
    """The two frameworks' AG-UI servers in one application. Each test has a script and a desk of its own."""

    name = "clerk"

    def __init__(self) -> None:
        self.application = FastAPI()
        self.application.post("/pydantic-ai")(self._pydantic_ai)
        add_langgraph_fastapi_endpoint(self.application, cast(LangGraphAgent, self), "/langgraph")

    def begin(self) -> Desk:
        """Start the script again."""
        desk = Desk()
        self._agent = pydantic_ai_kit.scripted_agent(SCRIPT, desk, [], deferred=True)
        graph = langgraph_kit.scripted_graph(SCRIPT, desk, [], checkpointer=InMemorySaver())
        self._graph = LangGraphAgent(name=self.name, graph=graph, emit_interrupt_outcome=True)
        return desk

    def clone(self) -> LangGraphAgent:
        """Return the graph's agent for one request, as the endpoint asks for it."""
        return self._graph.clone()

    async def _pydantic_ai(self, request: Request) -> Response:
        response: Response = await AGUIAdapter.dispatch_request(request, agent=self._agent)
        return response


@pytest.fixture(scope="module")
def clerks() -> Iterator[tuple[Clerks, str]]:
    clerks = Clerks()
    with serving(clerks.application, "none") as port:
        yield clerks, f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("path", "kit"),
    [("pydantic-ai", pydantic_ai_kit), ("langgraph", langgraph_kit)],
    ids=["pydantic-ai", "langgraph"],
)
async def test_an_ag_ui_server_asks_from_elsewhere(
    server: Server, clerks: tuple[Clerks, str], path: str, kit: Any, decision: str
) -> None:
    expected = await rehearse(kit.make(SCRIPT, Desk()).agent, "Go", decisions=[DECISIONS[decision]])
    desk = clerks[0].begin()

    async def run(given: Any) -> AsyncIterator[Item]:
        body = given.model_dump(mode="json", by_alias=True)
        async with httpx.AsyncClient(verify=False) as http:
            async with http.stream("POST", f"{clerks[1]}/{path}", json=body) as events:
                async for line in events.aiter_lines():
                    yield line

    check(await decided(server, lambda turn: answer(turn, run), decision), expected.message, desk, decision)
