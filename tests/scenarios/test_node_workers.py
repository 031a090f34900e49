"""The npm package `holdfast-agent` at a real site: agents in Node are asked, steered, approved and stopped."""

import asyncio
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.scenarios.test_remote import in_thread
from tests.scenarios.test_workers import SETTINGS, asking, work_token
from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, ROOT, Server, StartServer
from tests.support.person import text_of

AGENTS = ROOT / "tests" / "support" / "node" / "agents.mjs"


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(**SETTINGS)


class NodeWorker:
    """The agents of `AGENTS`, in a process of Node."""

    def __init__(self, server: Server, log: Path, *, name: str = "") -> None:
        self._command = [services.require("node"), str(AGENTS), server.url, work_token()]
        self._name = name
        self._log = log
        services.require_package("ai")

    def start(self, name: str = "") -> None:
        command = [*self._command, name or self._name or f"node-{time.time_ns()}"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        assert self.process.stdout and self.process.stdout.readline(), self._log.read_text()

    def wait(self) -> None:
        """Wait until it has ended well."""
        assert self.process.wait(DEADLINE_S) == 0, self._log.read_text()


@pytest.fixture(scope="module")
def worker(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeWorker]:
    """A worker that runs; SIGTERM ends it at the end."""
    worker = NodeWorker(server, tmp_path_factory.mktemp("node") / "log")
    worker.start()
    try:
        yield worker
        worker.process.send_signal(signal.SIGTERM)
        worker.wait()
    finally:
        worker.process.kill()


def counted(server: Server, approval: str) -> tuple[int, int]:
    """Return the tokens that were read and written in the run that asked for an approval."""
    with closing(sqlite3.connect(server.database.removeprefix("sqlite:///"), timeout=DEADLINE_S)) as store:
        (run,) = store.execute(
            "SELECT input_tokens, output_tokens FROM sessions_app_run WHERE id ="
            " (SELECT run_id FROM sessions_app_approval WHERE uid = ?)",
            [approval],
        )
    return run[0], run[1]


def descriptor(reader: Follower, session: str) -> Any:
    parts = [part for message in reader.messages(session) for part in message.parts]
    return next(
        ((part["approval"]["id"], part["approval"]["descriptor"]) for part in parts if "approval" in part), None
    )


@pytest.mark.usefixtures("worker")
async def test_a_stream_of_the_ai_sdk_is_an_answer(server: Server) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "stream")
        answer = await reader.wait_for_end(session)
        assert (answer.status, answer.reason, text_of(answer)) == ("complete", "length", "Streamed by the SDK")
        assert answer.metadata == {"model": "mock"}


TOLD = {
    "approve": '{"type":"text","value":"Emma is lent"}',
    "edit": '{"type":"text","value":"Persuasion is lent"}',
    "deny": '{"type":"error-text","value":"ToolFailed: It was denied. Too much"}',
    "malform": '{"type":"error-text","value":"ToolFailed: The edited arguments don\'t fit: no book"}',
}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("decision", list(TOLD))
async def test_a_tool_of_the_ai_sdk_runs_once_as_people_decide(server: Server, decision: str) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "sdk")
        await reader.wait_until(lambda: descriptor(reader, session))
        approval, shown = descriptor(reader, session)
        payload: dict[str, Any] = {"approval": approval, "input_hash": shown["input_hash"]}
        edited = {"edit": '{"book": "Persuasion"}', "malform": "{}"}
        if decision in edited:
            payload["input_text"] = edited[decision]
        if decision == "deny":
            await reader.signal(session, "deny", {"approval": approval, "reason": "Too much"})
        else:
            await reader.signal(session, "approve", payload)
        answer = await reader.wait_for_end(session)
        looked = '{"type":"text","value":"on the shelf"}'
        assert (answer.status, text_of(answer)) == ("complete", f"Done.[{TOLD[decision]},{looked}]")
        states = {"deny": "output-denied", "malform": "output-error"}
        calls = [part for part in answer.parts if "toolCallId" in part]
        assert [part["state"] for part in calls] == [states.get(decision, "output-available"), "output-available"]
    assert counted(server, approval) == (6, 8)


@pytest.mark.usefixtures("worker")
async def test_a_clients_tool_result_is_returned(server: Server) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "locate")

        def call() -> Any:
            parts = [part for message in reader.messages(session) for part in message.parts]
            return next((part["toolCallId"] for part in parts if "toolMetadata" in part), None)

        await reader.wait_until(call)
        message = reader.messages(session)[-1].id
        sent = await reader.signal(session, "tool-result", {"message": message, "call": call(), "output": ["Rome"]})
        assert text_of(await reader.wait_for_end(session)) == '["Rome"]'
        assert (await reader.wait_status(session, sent, "applied", "expired"))["status"] == "applied"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(("decision", "text"), [("edit", "paid 2 ToolFailed"), ("deny", "Too much")])
async def test_an_approved_call_runs_once_with_what_was_approved(server: Server, decision: str, text: str) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "pay")
        await reader.wait_until(lambda: descriptor(reader, session))
        approval, shown = descriptor(reader, session)
        assert shown["input_text"] == '{"amount": 1.10}'
        payload = {"approval": approval}
        if decision == "edit":
            payload |= {"input_hash": shown["input_hash"], "input_text": '{"amount": 2}'}
            await reader.signal(session, "approve", payload)
        else:
            await reader.signal(session, "deny", payload | {"reason": text})
        answer = await reader.wait_for_end(session)
        assert (answer.status, text_of(answer)) == ("complete", text)


@pytest.mark.usefixtures("worker")
async def test_the_documented_call_runs_when_it_is_approved(server: Server) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "lend")
        await reader.wait_until(lambda: descriptor(reader, session))
        approval, shown = descriptor(reader, session)
        await reader.signal(session, "approve", {"approval": approval, "input_hash": shown["input_hash"]})
        answer = await reader.wait_for_end(session)
        assert answer.status == "complete"
        assert [part["output"] for part in answer.parts if "output" in part] == ["Middlemarch is lent"]


@pytest.mark.usefixtures("worker")
async def test_a_stop_ends_the_answer(server: Server) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "count")
        await reader.wait_until(lambda: "3é" in reader.sessions[session].text)
        cancel = await reader.signal(session, "cancel", {})
        assert (await reader.wait_status(session, cancel, "applied", "rejected"))["status"] == "applied"
        assert (await reader.wait_for_end(session)).status == "cancelled"


@pytest.mark.usefixtures("worker")
async def test_a_killed_site_and_a_steer_leave_the_text_exact(server: Server) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "count")
        await reader.wait_until(lambda: "20é" in reader.sessions[session].text)
        await in_thread(server.kill9)
        await in_thread(server.start)
        shown = len(reader.sessions[session].text)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > shown)
        steer = await reader.say(session, "the end", kind="steer")
        assert (await reader.wait_status(session, steer, "applied", "rejected"))["status"] == "applied"
        answer = await reader.wait_for_end(session)
        counted, told = re.fullmatch(r"(.*) \[(.*)\]", text_of(answer)).groups()  # type: ignore[union-attr]
        numbers = counted.split()
        assert (answer.status, told) == ("complete", "the end")
        assert numbers == [f"{number}é" for number in range(len(numbers))]
        assert reader.taken_back == []


async def test_a_worker_whose_name_another_takes_aborts_its_agents_and_writes_nothing_more(
    server: Server, worker: NodeWorker, tmp_path: Path
) -> None:
    earlier = NodeWorker(server, tmp_path / "earlier", name="node-of-two")
    worker.process.send_signal(signal.SIGTERM)
    await in_thread(worker.wait)
    earlier.start()
    try:
        async with asking(server) as (reader, session):
            await reader.say(session, "lose")
            await reader.wait_until(lambda: reader.sessions[session].text == "mine")
            worker.start("node-of-two")
            answer = await reader.wait_for_end(session)
            assert (answer.status, text_of(answer)) == ("interrupted", "mine")
            assert await asyncio.to_thread(earlier.process.wait, DEADLINE_S) == 1
            said = (tmp_path / "earlier").read_text()
            assert "lost: " in said and "fenced" in said
    finally:
        earlier.process.kill()


async def test_a_worker_that_is_told_to_stop_lets_its_agent_finish(server: Server, worker: NodeWorker) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "count")
        await reader.wait_until(lambda: "3é" in reader.sessions[session].text)
        worker.process.send_signal(signal.SIGTERM)
        shown = len(reader.sessions[session].text)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > shown)
        await reader.say(session, "the end", kind="steer")
        answer = await reader.wait_for_end(session)
        assert (answer.status, text_of(answer)[-9:]) == ("complete", "[the end]")
        await in_thread(worker.wait)
        worker.start()


async def test_a_worker_that_is_told_twice_interrupts_its_agent(server: Server, worker: NodeWorker) -> None:
    async with asking(server) as (reader, session):
        await reader.say(session, "count")
        await reader.wait_until(lambda: "3é" in reader.sessions[session].text)
        worker.process.send_signal(signal.SIGTERM)
        shown = len(reader.sessions[session].text)
        await reader.wait_until(lambda: len(reader.sessions[session].text) > shown)
        worker.process.send_signal(signal.SIGTERM)
        assert (await reader.wait_for_end(session)).status == "interrupted"
        await in_thread(worker.wait)
        worker.start()
