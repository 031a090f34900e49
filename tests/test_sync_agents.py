"""Synchronous agents: plain functions and generators run in threads, with the verbs of a turn."""

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.db import connections

from agents_app.local import runner
from agents_app.sync_turn import SyncTurn
from agents_app.testing import approve, deny, rehearse, response
from agents_app.tool_call import ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.process import Process
from sessions_app.telemetry import log_context
from tests.support.agents import Conversation, process
from tests.support.harness import DEADLINE_S
from tests.support.person import text_of

__all__ = ["process"]  # a fixture


def everything(turn: SyncTurn) -> None:
    """Use every verb."""
    turn.reasoning("They want a mail sent.")
    turn.usage(input_tokens=3, output_tokens=1)
    place = turn.tool("locate", {}, title="Locate")
    turn.text(f"{turn.prompt} from {place.result()}. ")
    call = turn.tool("send_mail", '{"to": "ann", "n": 9007199254740993}')
    if call.approval("It leaves", editable=True).approved:
        turn.text(f"{call.execute(sent)} for {call.input['to']} {call.input_text}")
    other = turn.tool("send_mail", {"to": "eve"})
    with pytest.raises(ToolFailed):
        other.approval()
        other.execute(sent)
    turn.tool("look", {}).output("seen")
    turn.call("call_9", "look", {})
    turn.tool("look", {}).error("nothing")
    turn.data("sent", {"mails": 1}, id="d1")
    turn.write({"type": "custom", "kind": "a.b"})
    turn.metadata({"model": "m-1", "cost": {"cents": 3}})
    turn.metadata({"cost": {"cents": 4}})
    turn.finish_reason = "length" if turn.finish_reason == "stop" else "error"
    turn.text("".join(f"[{heard}]" for heard in turn.step()))
    turn.flush()


def sent(arguments: dict[str, Any]) -> str:
    return f"sent {arguments['n']} in {threading.current_thread().name}"


async def test_a_plain_function_has_every_verb() -> None:
    edited = {"to": "bob", "n": 2**60}
    answer = await rehearse(
        everything, "Mail", steers={1: "thanks"}, decisions=[approve(edited), deny("No")], results=["home"]
    )
    assert (answer.status, answer.message.reason) == ("complete", "length")
    assert answer.message.metadata == {"model": "m-1", "cost": {"cents": 4}}
    text = f'Mail from home. sent {2**60} in agent for bob {{"to":"bob","n":{2**60}}}[thanks]'
    assert (answer.text, answer.reasoning) == (text, "They want a mail sent.")
    assert (answer.input_tokens, answer.output_tokens) == (3, 1)
    assert [part["state"] for part in answer.message.parts if "toolCallId" in part] == [
        "output-available", "output-available", "output-denied", "output-available", "output-error",
    ]  # fmt: skip


def parrot(turn: SyncTurn) -> Iterator[str]:
    for word in turn.prompt.split():
        time.sleep(0.01)
        yield f"{word} "
    turn.text("end")


class Callable_:
    def __call__(self, turn: SyncTurn) -> Iterator[str]:
        return parrot(turn)


@pytest.mark.parametrize(
    "agent", [parrot, Callable_(), functools.partial(parrot)], ids=["function", "object", "partial"]
)
async def test_the_text_of_a_generator_is_the_answer(agent: Any) -> None:
    answer = await rehearse(agent, "one two", mode="continue", earlier=response("so far"))
    assert (answer.status, answer.text) == ("complete", "one two end")


async def test_async_agents_stay_in_the_loop() -> None:
    class Agent:
        async def __call__(self, turn: Turn) -> None:
            await turn.text(threading.current_thread().name)

    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    async def agent(turn: Turn) -> None:
        await turn.text(threading.current_thread().name)

    for each in (Agent(), agent, functools.partial(agent), decorated(agent)):
        assert (await rehearse(each, "Hello")).text == threading.main_thread().name


async def test_a_plain_function_fails_as_an_async_one_does() -> None:
    def gives_up(turn: SyncTurn) -> None:
        raise AgentFailed("Ask again")

    def refused(turn: SyncTurn) -> None:
        turn.data("n", 2**70)

    def exits(turn: SyncTurn) -> None:
        raise SystemExit(1)

    def stops(turn: SyncTurn) -> None:
        raise StopIteration

    async def generator(turn: Turn) -> AsyncIterator[str]:
        yield "x"

    assert (await rehearse(gives_up, "Hello")).message.reason == "Ask again"
    with pytest.raises(HoldfastError, match="bad_chunk"):
        await rehearse(refused, "Hello")
    for agent, problem in ((exits, "SystemExit"), (stops, "StopIteration")):
        with pytest.raises(RuntimeError, match=problem):
            await rehearse(agent, "Hello")
    with pytest.raises(TypeError, match="async def"):
        await rehearse(generator, "Hello")  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
async def test_a_blocking_plain_agent_delays_nobody(process: Process) -> None:
    release = threading.Event()
    runs: list[str] = []

    def blocks(turn: SyncTurn) -> None:
        runs.append(log_context.ids()["run"])
        assert release.wait(DEADLINE_S)
        turn.text(f"{models.Session.objects.count()} sessions")

    async def quick(turn: Turn) -> None:
        await turn.text("quick")

    async with Conversation(process, blocks) as talk:
        await talk.say("block")
        async with asyncio.timeout(DEADLINE_S):
            while not runs:
                await asyncio.sleep(0.01)
        async with Conversation(process, quick) as other:
            await other.say("speak")
            assert text_of(await other.answered()) == "quick"
        release.set()
        answer = await talk.answered()
        assert (answer.status, text_of(answer)) == ("complete", "2 sessions")
        assert runs == [(await talk.run()).pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("waits_for", ["a verb", "nothing"])
async def test_a_stop_reaches_a_plain_agent_at_its_verb(process: Process, waits_for: str) -> None:
    stopped = threading.Event()

    def endless(turn: SyncTurn) -> None:
        try:
            if waits_for == "a verb":
                turn.tool("ask", {}).approval(expires_s=None)
            while True:
                turn.text("word ")
                time.sleep(0.01)
        except asyncio.CancelledError:
            stopped.set()
            with pytest.raises(asyncio.CancelledError):
                turn.text("too late")
            raise

    async with Conversation(process, endless) as talk:
        await talk.say("Go on")
        await talk.wait_until(lambda: talk.answers and len(talk.answers[0].parts) > 1)
        cancel = await talk.send("cancel")
        answer = await talk.answered()
        assert (answer.status, answer.reason) == ("cancelled", runner.STOPPED)
        assert (await talk.final(cancel["id"]))["status"] == "applied"
        assert stopped.wait(DEADLINE_S) and "too late" not in text_of(answer)


@pytest.mark.django_db(transaction=True)
async def test_a_plain_agent_that_blocks_on_is_cut_off(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.1)
    release, ended = threading.Event(), threading.Event()

    def stubborn(turn: SyncTurn) -> None:
        turn.text("so far")
        turn.flush()
        release.wait(DEADLINE_S)
        try:
            turn.text("too late")
        finally:
            ended.set()

    async with Conversation(process, stubborn) as talk:
        await talk.say("Block")
        await talk.wait_until(lambda: talk.answers and text_of(talk.answers[0]))
        await talk.send("cancel")
        answer = await talk.answered()
        assert (answer.status, answer.reason, text_of(answer)) == ("cancelled", runner.STOPPED_BUSY, "so far")
        release.set()
        assert await asyncio.to_thread(ended.wait, DEADLINE_S)
        assert text_of(talk.answers[0]) == "so far"


@pytest.mark.django_db(transaction=True)
async def test_the_connections_of_a_plain_agents_thread_are_closed(process: Process) -> None:
    opened: list[Any] = []

    def agent(turn: SyncTurn) -> None:
        models.Session.objects.exists()
        opened.append(connections["default"])

    async with Conversation(process, agent) as talk:
        await talk.say("Look")
        assert (await talk.answered()).status == "complete"
        assert opened[0].connection is None
