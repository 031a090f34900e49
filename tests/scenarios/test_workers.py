"""`agents_app.remote.Worker` at a real site: functions that `@agent` registers are asked and answer from elsewhere."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agents_app import registry
from agents_app.remote import Fenced, RunFilter, Worker
from agents_app.remote.transports import TransportLost, WebSocketTransport
from agents_app.sync_turn import SyncTurn
from agents_app.tool_call import ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app.core import busy
from sessions_app.core.errors import HoldfastError
from sessions_app.telemetry import log_context
from tests.scenarios.test_remote import in_thread
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer
from tests.support.person import text_of
from tests.support.tokens import KEYS, token

LEASE_S = 3
SETTINGS = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
    "HOLDFAST_LEASE_MS": str(LEASE_S * 1000),
    "HOLDFAST_REMOTE_AGENTS": "far",
    "HOLDFAST_AGENTS": "demo,far",
}


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(**SETTINGS)


@pytest.fixture(params=["websocket", "http"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two, for a worker that may find no way for a WebSocket."""
    if request.param == "http":

        async def lost(*_: object) -> None:
            raise TransportLost("a proxy is in the way")

        monkeypatch.setattr(WebSocketTransport, "open", lost)
    return str(request.param)


def work_token(**changes: Any) -> str:
    return token(**{"sub": "agent:fleet", "scope": "work", "agents": ["far"]} | changes)


@asynccontextmanager
async def working(server: Server, agent: registry.Agent, **options: Any) -> AsyncIterator[Worker]:
    """A worker whose agent is this function; it has stopped at the end."""
    registry._agents["far"] = agent
    try:
        worker = Worker(
            server.url, **{"token": work_token(), "name": f"worker-{time.time_ns()}", "agents": ["far"]} | options
        )
        running = asyncio.create_task(worker.run())
        yield worker
        worker.stop()
        await asyncio.wait_for(running, DEADLINE_S)
    finally:
        del registry._agents["far"]


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[tuple[Follower, str]]:
    async with Follower(server.url) as reader:
        session = await reader.create_session(agent="far")
        yield await reader.follow(session), session


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("wire")
async def test_an_agent_elsewhere_answers_with_history_usage_and_tools(server: Server) -> None:
    async def agent(turn: Turn) -> None:
        call = await turn.tool("look", {"where": "there"})
        await call.output({"found": len(turn.history)})
        await turn.text(f"{turn.prompt}? ")
        await turn.text("é" * 3000)
        turn.usage(input_tokens=3, output_tokens=4)

    async with asking(server) as (reader, session), working(server, agent):
        for number in range(2):
            await reader.say(session, f"Hello {number}")
            await reader.wait_until(lambda number=number: len(reader.messages(session)) == 2 * number + 2)
            answer = await reader.wait_for_end(session)
        assert (answer.status, text_of(answer)) == ("complete", "Hello 1? " + "é" * 3000)
        assert [part["output"] for part in answer.parts if "output" in part] == [{"found": 3}]
    rows = server.manage(
        "shell", "-v", "0", "-c",
        "from sessions_app.models import Run; print(list(Run.objects.values_list('input_tokens', 'output_tokens')))",
    )  # fmt: skip
    assert "(3, 4)" in rows


async def test_a_plain_generator_answers_in_a_thread(server: Server) -> None:
    def agent(turn: SyncTurn) -> Any:
        for word in turn.prompt.split():
            time.sleep(0.02)
            yield f"{word} "

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "from a thread")
        assert text_of(await reader.wait_for_end(session)) == "from a thread "


@pytest.mark.usefixtures("wire")
async def test_steers_are_applied_and_a_stop_ends_the_answer(server: Server) -> None:
    async def agent(turn: Turn) -> None:
        while True:
            for steer in await turn.step():
                await turn.text(f"[{steer}]")
            await turn.text("word ")
            await asyncio.sleep(0.02)

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Go on")
        await reader.wait_until(lambda: "word" in reader.sessions[session].text)
        steer = await reader.say(session, "shorter", kind="steer")
        assert (await reader.wait_status(session, steer, "applied", "rejected"))["status"] == "applied"
        await reader.wait_until(lambda: "[shorter]" in reader.sessions[session].text)
        cancel = await reader.signal(session, "cancel", {})
        assert (await reader.wait_status(session, cancel, "applied", "rejected"))["status"] == "applied"
        assert (await reader.wait_for_end(session)).status == "cancelled"


async def test_log_lines_of_an_agent_name_its_session_and_run(server: Server) -> None:
    before = log_context.ids()  # another test may have left some
    lines: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = lines.append  # type: ignore[method-assign]
    handler.addFilter(RunFilter())
    log = logging.getLogger("an.application")
    log.addHandler(handler)

    def agent(turn: SyncTurn) -> None:
        log.warning("in its thread")

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Hello")
        assert (await reader.wait_for_end(session)).status == "complete"
    log.warning("outside")
    log.removeHandler(handler)
    within, outside = [(line.__dict__["session"], line.__dict__["run"]) for line in lines]
    assert within[0] == session and within[1]
    assert outside == (before.get("session", ""), before.get("run", ""))


@pytest.mark.usefixtures("wire")
async def test_what_an_agent_declares_about_messages_meanwhile_counts(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(busy._policies, "far", "reject")
    go = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("word ")
        await go.wait()

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Go on")
        await reader.wait_until(lambda: "word" in reader.sessions[session].text)
        refused = await reader.say(session, "And on")
        assert reader.receipts[refused]["error"]["code"] == "busy"
        go.set()
        assert (await reader.wait_for_end(session)).status == "complete"


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("decision", ["approve", "edit", "deny", "expire"])
async def test_an_approved_call_runs_once_with_what_was_approved(server: Server, decision: str) -> None:
    ran: list[Any] = []

    async def agent(turn: Turn) -> None:
        call = await turn.tool("pay", '{"amount": 1.10}')
        expires_s = 0.2 if decision == "expire" else 60
        decided = await call.approval("Money", editable=True, expires_s=expires_s)
        if not decided.approved:
            await turn.text(decided.reason)
            return

        async def pay(arguments: Any) -> str:
            ran.append(arguments)
            return "paid"

        await turn.text(str(await call.execute(pay)))
        try:
            await call.execute(pay)
        except ToolFailed:
            await turn.text(" once")

    def descriptor(reader: Follower, session: str) -> Any:
        parts = [part for message in reader.messages(session) for part in message.parts]
        return next(
            ((part["approval"]["id"], part["approval"]["descriptor"]) for part in parts if "approval" in part), None
        )

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Pay")
        await reader.wait_until(lambda: descriptor(reader, session))
        approval, shown = descriptor(reader, session)
        assert shown["input_text"] == '{"amount": 1.10}'
        if decision in ("approve", "edit"):
            edited = {"input_text": '{"amount": 2}'} if decision == "edit" else {}
            payload = {"approval": approval, "input_hash": shown["input_hash"], **edited}
            sent = await reader.signal(session, "approve", payload)
            assert (await reader.wait_status(session, sent, "applied", "rejected"))["status"] == "applied"
        elif decision == "deny":
            await reader.signal(session, "deny", {"approval": approval, "reason": "Too much"})
        answer = await reader.wait_for_end(session)
        assert answer.status == "complete"
        text = {"approve": "paid once", "edit": "paid once", "deny": "Too much"}
        assert text_of(answer) == text.get(decision, "No decision arrived in time.")
        assert ran == {"approve": [{"amount": 1.1}], "edit": [{"amount": 2}]}.get(decision, [])


async def test_a_clients_tool_result_is_returned(server: Server) -> None:
    async def agent(turn: Turn) -> None:
        call = await turn.tool("locate", {})
        await turn.text(json.dumps(await call.result()))

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Where am I?")

        def call() -> Any:
            parts = [part for message in reader.messages(session) for part in message.parts]
            return next((part["toolCallId"] for part in parts if "toolMetadata" in part), None)

        await reader.wait_until(call)
        message = reader.messages(session)[-1].id
        sent = await reader.signal(session, "tool-result", {"message": message, "call": call(), "output": ["Rome"]})
        assert text_of(await reader.wait_for_end(session)) == '["Rome"]'
        assert (await reader.wait_status(session, sent, "applied", "expired"))["status"] == "applied"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (AgentFailed("No money left."), "No money left."),
        (SystemExit(1), "The agent failed."),
        (KeyError("x"), "The agent failed."),
    ],
)
async def test_an_agent_that_fails_ends_its_answer(server: Server, problem: BaseException, said: str) -> None:
    async def agent(turn: Turn) -> None:
        raise problem

    async with asking(server) as (reader, session), working(server, agent):
        await reader.say(session, "Hello")
        answer = await reader.wait_for_end(session)
        assert answer.status == "failed" and str(answer.reason).startswith(said)


@pytest.mark.usefixtures("wire")
async def test_a_worker_that_stops_lets_its_agents_finish_and_takes_no_more(server: Server) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("begun")
        begun.set()
        await go.wait()

    async with asking(server) as (reader, session), asking(server) as (other, waits):
        async with working(server, agent) as worker:
            await reader.say(session, "Hello")
            await begun.wait()
            worker.stop()
            await until(lambda: worker._link._most == 0)
            await other.say(waits, "Hello")
            go.set()
            assert (await reader.wait_for_end(session)).status == "complete"
        assert len(other.messages(waits)) == 1  # it waits for the next worker
        async with working(server, agent):
            assert (await other.wait_for_end(waits)).status == "complete"


@pytest.mark.usefixtures("wire")
async def test_a_cancelled_worker_interrupts_what_it_has_begun(server: Server) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("begun")
        await asyncio.sleep(3600)

    async with asking(server) as (reader, session), working(server, agent, drain_s=0):
        await reader.say(session, "Hello")
        await reader.wait_until(lambda: "begun" in reader.sessions[session].text)
    async with asyncio.timeout(LEASE_S):  # not by its lease
        assert (await reader.wait_for_end(session)).status == "interrupted"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"agents": ["other"]}, "forbidden_agent"), ({"scope": "publish", "agents": None}, "forbidden_scope"),
     ({"exp": 1, "iat": 0}, "token_expired")],
)  # fmt: skip
async def test_a_refused_worker_says_why(server: Server, changes: Any, code: str) -> None:
    registry._agents["far"] = test_a_refused_worker_says_why
    try:
        worker = Worker(server.url, token=work_token(**changes), name="worker-x", agents=["far"])
        with pytest.raises(HoldfastError) as refusal:
            await asyncio.wait_for(worker.run(), DEADLINE_S)
        assert refusal.value.code == code
    finally:
        del registry._agents["far"]


async def test_the_next_process_of_a_name_fences_the_worker(server: Server) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("begun")
        await asyncio.sleep(3600)

    registry._agents["far"] = agent
    try:
        old = Worker(server.url, token=work_token(), name="one-name", agents=["far"], epoch=1, beat_s=0.2)
        fenced = asyncio.create_task(old.run())
        async with asking(server) as (reader, session):
            await reader.say(session, "Hello")
            await reader.wait_until(lambda: "begun" in reader.sessions[session].text)
            new = Worker(server.url, token=work_token(), name="one-name", agents=["far"], epoch=2)
            running = asyncio.create_task(new.run())
            with pytest.raises(Fenced):
                await asyncio.wait_for(fenced, DEADLINE_S)
            assert (await reader.wait_for_end(session)).status == "interrupted"
            new.stop()
            await asyncio.wait_for(running, DEADLINE_S)
    finally:
        del registry._agents["far"]


@pytest.mark.usefixtures("wire")
async def test_restarts_of_the_site_leave_the_answer_exact(start_server: StartServer) -> None:
    site = start_server(**SETTINGS)
    go = asyncio.Event()
    said: list[str] = []

    async def agent(turn: Turn) -> None:
        while not go.is_set():
            said.append(f"{len(said)}é ")
            await turn.text(said[-1])
            await asyncio.sleep(0.02)
        for steer in await turn.step():
            await turn.text(steer)

    async with asking(site) as (reader, session), working(site, agent):
        await reader.say(session, "Hello")
        for _ in range(3):
            shown = len(reader.sessions[session].text)
            await reader.wait_until(lambda shown=shown: len(reader.sessions[session].text) > shown + 20)
            await in_thread(site.kill9)
            await in_thread(site.start)
        shown = len(reader.sessions[session].text)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > shown)
        steer = await reader.say(session, "the end", kind="steer")
        await reader.wait_status(session, steer, "delivered")
        go.set()
        answer = await reader.wait_for_end(session)
        assert (answer.status, text_of(answer)) == ("complete", "".join(said) + "the end")
        assert reader.taken_back == []
