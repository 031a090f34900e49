"""The synchronous publisher: in threads, through outages, forks and the interpreter's exit."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from agents_app.remote import Fenced, PublisherClosed, SyncPublisher
from sessions_app.core.errors import HoldfastError
from sessions_app.publishing.response_writer import BUFFER_BYTES
from tests.scenarios.test_remote import AGENT, SETTINGS, following
from tests.support.harness import DEADLINE_S, ROOT, Server, StartServer
from tests.support.person import text_of
from tests.support.tokens import token


@pytest.fixture(scope="module")
def server(start_shared_server: StartServer) -> Server:
    return start_shared_server(**SETTINGS)


def publisher(server: Server, **options: Any) -> SyncPublisher:
    return SyncPublisher(server.url, **{"token": token(sub=AGENT, scope="publish"), "beat_s": 0.5} | options)


async def in_thread(function: Callable[[], object]) -> Any:
    """Call a function in a thread, as an application without asyncio would."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(function)


async def test_the_lines_of_the_documentation(server: Server) -> None:
    page = (ROOT / "docs" / "publishing.md").read_text()
    [block] = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "SyncPublisher(" in code]
    names: Any = {"TOKEN": token(sub=AGENT, scope="publish"), "model": str.split}
    exec(block.replace("https://chat.example", server.url), names)
    async with following(server) as (reader, [session]):
        await in_thread(lambda: names["answer"](session, "Hello from Flask"))
        assert (await reader.wait_for_end(session)).status == "complete"
        assert reader.sessions[session].text == "HellofromFlask"
    names["publisher"].close()


async def test_every_verb_and_a_token_that_a_plain_function_returns(server: Server) -> None:
    def speak(session: str) -> str:
        with publisher(server, token=lambda: token(sub=AGENT, scope="publish")) as here:
            with here.answer(session) as answer:
                answer.reasoning("Let me think.")
                answer.tool("look", {"where": "é"}).output("found")
                answer.tool("look", {}).error("nothing")
                answer.step()
                answer.text("It is ")
                with pytest.raises(HoldfastError, match="bad_chunk"):
                    answer.data("x", float("nan"))
                answer.data("x", 1, id="d")
                answer.write({"type": "custom", "kind": "a.b"})
                answer.metadata({"model": "m-1"})
                answer.text("here.")
                answer.flush()
                answer.finish_reason = "length"
            response = here.respond(session)
            response.write({"type": "start", "messageId": response.uid})
            response.flush()
            response.close({"type": "abort"})
            return answer.uid

    async with following(server) as (reader, [session]):
        uid = await in_thread(lambda: speak(session))
        await reader.wait_for_end(session)
        first, second = reader.messages(session)
        assert (first.id, first.status, first.reason, first.metadata) == (uid, "complete", "length", {"model": "m-1"})
        kinds = [part["type"] for part in first.parts]
        assert kinds == [
            "step-start", "reasoning", "tool-look", "tool-look", "step-start", "text", "data-x", "custom", "text"
        ]  # fmt: skip
        assert (text_of(first), second.status) == ("It is here.", "cancelled")


async def test_threads_share_a_publisher_and_one_fails_alone(server: Server) -> None:
    def speak(here: SyncPublisher, session: str, number: int) -> str:
        with here.answer(session) as answer:
            for word in range(20):
                answer.text(f"{number}-{word} ")
            if number == 0:
                raise ZeroDivisionError
        return answer.uid

    async with following(server, 4) as (reader, sessions):
        here = publisher(server)
        said = [in_thread(lambda n=n: speak(here, sessions[n], n)) for n in range(4)]
        assert [type(end) for end in await asyncio.gather(*said, return_exceptions=True)] == [
            ZeroDivisionError, str, str, str
        ]  # fmt: skip
        for number, session in enumerate(sessions):
            message = await reader.wait_for_end(session)
            text = "".join(f"{number}-{word} " for word in range(20))
            assert (message.status, text_of(message)) == ("complete" if number else "failed", text)
        await in_thread(here.close)
        with pytest.raises(PublisherClosed):
            here.answer(sessions[0])


async def test_an_outage_holds_the_writer_and_loses_nothing(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    said: list[str] = []

    def speak(session: str) -> None:
        with publisher(server) as here, here.answer(session) as answer:
            while sum(map(len, said)) < 3 * BUFFER_BYTES:
                said.append(f"{len(said)} é" * 500)
                answer.text(said[-1])

    async with following(server) as (reader, [session]):
        await in_thread(server.kill9)
        speaking = asyncio.create_task(in_thread(lambda: speak(session)))
        async with asyncio.timeout(DEADLINE_S):
            while sum(map(len, said)) < BUFFER_BYTES // 2:
                await asyncio.sleep(0.01)
        written = 0
        while written != (written := len(said)):  # until it waits
            await asyncio.sleep(0.3)
        assert not speaking.done() and sum(map(len, said)) < 2 * BUFFER_BYTES
        await in_thread(server.start)
        await speaking
        assert text_of(await reader.wait_for_end(session)) == "".join(said)


async def test_a_later_process_fences_the_publisher_at_its_next_verb(server: Server) -> None:
    def speak(session: str, other: str) -> None:
        with publisher(server, producer="sync-name-1", epoch=1) as zombie:
            with pytest.raises(Fenced):
                with zombie.answer(session) as answer:
                    answer.text("I was")
                    answer.flush()
                    with publisher(server, producer="sync-name-1", epoch=2) as successor:
                        with successor.answer(other) as later:
                            later.text("I am")
                        answer.text(" here")
                        answer.flush()

    async with following(server, 2) as (reader, [session, other]):
        await in_thread(lambda: speak(session, other))
        message = await reader.wait_for_end(session)
        assert (message.status, text_of(message), reader.sessions[other].text) == ("interrupted", "I was", "I am")


@pytest.mark.parametrize(
    ("claims", "code"), [({"scope": "read"}, "forbidden_scope"), ({"scope": "publish"}, "not_found")]
)
async def test_a_refusal_is_raised_at_the_caller(server: Server, claims: Any, code: str) -> None:
    def speak() -> None:
        with publisher(server, token=token(sub=AGENT, **claims)) as here:
            with here.answer("A" * 22) as answer:
                answer.text("Hello")

    with pytest.raises(HoldfastError) as refused:
        await in_thread(speak)
    assert refused.value.code == code
    with pytest.raises(ValueError, match="8 to 64 of A-Z"):
        publisher(server, producer="a b")


def test_a_close_ends_verbs_that_wait() -> None:
    here = SyncPublisher("http://127.0.0.1:9", token="t")
    problems: list[BaseException] = []

    def speak() -> None:
        try:
            with here.answer("A" * 22) as answer:
                answer.flush()  # there is no site
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=speak)
    thread.start()
    while not here._waiting:
        time.sleep(0.01)
    here.close()
    here.close()
    thread.join(DEADLINE_S)
    assert [type(problem) for problem in problems] == [PublisherClosed]


FORKS = """
import os, sys, traceback
from agents_app.remote import PublisherClosed, SyncPublisher
url, token, session, others = sys.argv[1:]

def in_child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            sys.exit(0)  # as a child of Celery's: the exit functions run
        except Exception:
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def speak(publisher, session, text):
    with publisher.answer(session) as answer:
        answer.text(text)

def refused():
    try:
        speak(publisher, session, "child")
    except PublisherClosed:
        return
    raise AssertionError("a child used its parent's connection")

publisher = SyncPublisher(url, token=token)
for other in others.split(","):  # before it is opened
    in_child(lambda: speak(publisher, other, "child"))
speak(publisher, session, "parent")
in_child(refused)
open_answer = publisher.answer(session)
open_answer.__enter__()
open_answer.text("left open")
open_answer.flush()
"""


async def test_forks_and_the_interpreters_exit(server: Server) -> None:
    async with following(server, 3) as (reader, [session, *others]):
        command = [sys.executable, "-c", FORKS, server.url, token(sub=AGENT, scope="publish"), session]

        def work() -> Any:
            return subprocess.run([*command, ",".join(others)], capture_output=True, text=True, cwd=ROOT, timeout=60)

        began = time.monotonic()
        done = await in_thread(work)
        assert (done.returncode, done.stderr) == (0, "") and time.monotonic() - began < DEADLINE_S
        assert [reader.sessions[other].text for other in others] == ["child", "child"]
        await reader.wait_until(lambda: len(reader.messages(session)) == 2)
        message = await reader.wait_for_end(session)  # by its lease
        assert (message.status, text_of(message)) == ("interrupted", "left open")
        assert text_of(reader.messages(session)[0]) == "parent"
