"""The npm package `holdfast-agent` at a real site: agents in Node are asked, steered, approved and stopped."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def worker(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[bytes]"]:
    """The agents of `AGENTS`, in Node; SIGTERM ends them, drained."""
    node = services.require("node")
    services.require_package("ai")
    log = Path(tmp_path_factory.mktemp("node") / "log")
    with log.open("wb") as output:
        command = [node, str(AGENTS), server.url, work_token(), f"node-{time.time_ns()}"]
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    finally:
        process.kill()


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
        assert (answer.status, text_of(answer)) == ("complete", "Streamed by the SDK")


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
