"""Answers of agents: every one ends, despite faults of the agent, the database or the process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.db import OperationalError

from agents_app import registry
from agents_app.local.backend import LocalBackend
from agents_app.local.runner import FAILED, GONE, Runner
from agents_app.turn import AgentFailed, Turn
from sessions_app import conf, models
from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import MessageState
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.publishing import local_writer
from sessions_app.retention import purge
from sessions_app.runs import claims
from tests.support.harness import DEADLINE_S
from tests.support.person import text_of
from tests.support.stored import a_session
from tests.support.tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
LEASE_MS = 900


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"LEASE_MS": LEASE_MS, "TAIL_POLL_MS": 50}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    if not process.stopping:
        await process.stop()


@pytest.fixture
def answer(process: Process, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`await answer(agent)`: the ended answer of this agent, as its reader sees it."""

    async def ask(agent: registry.Agent | None, meanwhile: Callable[[], Any] | None = None) -> MessageState:
        monkeypatch.setattr(registry, "_agents", {"test": agent} if agent else {})
        session = await threads.run(lambda: a_session(OWNER, agent="test"))
        async with Tab(process, OWNER) as tab:
            await tab.attach(session.pk)
            await tab.say(session.pk, "Hello")
            if meanwhile:
                await meanwhile()
            message = await tab.wait_for_end(session.pk)
        run = await threads.run(models.Run.objects.get, session=session)
        assert run.status == "ended"
        return message

    return ask


async def parrot(turn: Turn) -> None:
    await turn.text(turn.prompt)


async def test_an_agent_answers(answer: Any) -> None:
    message = await answer(parrot)
    assert (message.status, message.reason, text_of(message)) == ("complete", "stop", "Hello")


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "tool-output-available", "toolCallId": "c", "output": "y" * 70_000},
        {"type": "data-x", "data": "\ud83d"},
        {"type": "tool-output-denied", "toolCallId": "nothing"},
    ],
    ids=["refused at once", "half a surrogate pair", "refused by the log"],
)
@pytest.mark.parametrize("raises", [False, True])
async def test_an_agent_whose_chunk_is_refused_fails_with_its_earlier_text(
    answer: Any, chunk: dict[str, Any], raises: bool
) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("so ")
        await turn.text("far")
        await turn.write(chunk)
        if raises:
            raise RuntimeError("boom")

    message = await answer(agent)
    assert (message.status, text_of(message)) == ("failed", "so far")


async def test_an_agent_that_raises_fails(answer: Any) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("so far")
        raise ValueError("a secret of the inside")

    message = await answer(agent)
    assert (message.status, message.reason, text_of(message)) == ("failed", FAILED, "so far")


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "problem",
    [SystemExit(3), BaseException("base"), Rude(), BaseExceptionGroup("two", [SystemExit(), ValueError()]),
     StopAsyncIteration(), RecursionError(), MemoryError(), AgentFailed("half \ud83d"), AgentFailed("w" * 10**6)],
    ids=lambda problem: type(problem).__name__,
)  # fmt: skip
async def test_whatever_an_agent_raises_its_text_is_kept_and_its_response_ends_with_words(
    answer: Any, problem: BaseException
) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("so far\ud83d")
        raise problem

    message = await answer(agent)
    assert (message.status, text_of(message)) == ("failed", "so far\ufffd")
    assert message.reason and (message.reason != FAILED) == isinstance(problem, AgentFailed)


REFUSED: list[Callable[[Turn], Any]] = [
    lambda turn: turn.text(7),  # type: ignore[arg-type]
    lambda turn: turn.text(None),  # type: ignore[arg-type]
    lambda turn: turn.text(b"x"),  # type: ignore[arg-type]
    lambda turn: turn.write(7),  # type: ignore[arg-type]
    lambda turn: turn.write({"type": []}),  # type: ignore[typeddict-item]
    lambda turn: turn.tool("look", {1: 2}),  # type: ignore[dict-item]
    lambda turn: turn.tool("look", {"a": b""}),
    lambda turn: turn.tool(b"look", {}),  # type: ignore[arg-type]
    lambda turn: turn.tool("a\0b", {}),
    lambda turn: turn.data("x", float("nan")),
    lambda turn: turn.data("x", {1, 2}),
    lambda turn: turn.data("x", 1, id=7),  # type: ignore[arg-type]
    lambda turn: turn.data("\ud83d", 1),
]


async def test_what_is_refused_at_its_line_leaves_the_answer_open(answer: Any) -> None:
    async def agent(turn: Turn) -> None:
        for write in REFUSED:
            await turn.text("before ")
            with pytest.raises(HoldfastError, match="bad_chunk"):
                await write(turn)
        await turn.text("after")

    message = await answer(agent)
    assert (message.status, text_of(message)) == ("complete", "before " * len(REFUSED) + "after")


async def test_an_unknown_agent_fails(answer: Any) -> None:
    assert (await answer(None)).status == "failed"


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "text-delta", "id": "unknown", "delta": "x"},
        {"type": "start", "messageId": "m_another"},
        {"type": "tool-output-available", "toolCallId": "none", "output": 1},
        {"type": "no-such-type"},
        {"type": "text-delta", "id": "t"},
        {"type": "text-start", "id": "x" * 100_000},
    ],
)
async def test_an_agent_whose_chunk_is_refused_fails_and_keeps_its_text(answer: Any, chunk: Any) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("so far")
        await turn.write(chunk)
        await turn.text("lost")
        await asyncio.sleep(0.2)
        await turn.text("lost too")

    message = await answer(agent)
    assert (message.status, text_of(message)) == ("failed", "so far")
    assert message.reason


async def test_an_agent_that_writes_nothing_completes(answer: Any) -> None:
    async def agent(turn: Turn) -> None:
        pass

    assert (await answer(agent)).status == "complete"


async def test_an_agent_that_writes_too_much_fails(answer: Any, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"RESPONSE_BYTES": 500_000}  # 4 MB take 20 s at the pace of its reader

    async def agent(turn: Turn) -> None:
        while True:
            await turn.text("x" * 50_000)

    message = await answer(agent)
    assert message.status == "failed"
    assert len(text_of(message)) <= conf.settings.response_bytes


class Outage:
    def __init__(self, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = False
        self.refused = 0
        commit = process.log_writer._commit

        def fail_or_commit(group: list[Any]) -> Any:
            if self.is_on:
                self.refused += 1
                raise OperationalError("the server closed the connection unexpectedly")
            return commit(group)

        monkeypatch.setattr(process.log_writer, "_commit", fail_or_commit)


@pytest.mark.parametrize(("retry_s", "status"), [(30.0, "complete"), (0.3, "failed")], ids=["short", "long"])
async def test_an_answer_survives_a_short_database_outage_and_fails_in_a_long_one(
    process: Process, answer: Any, monkeypatch: Any, retry_s: float, status: str
) -> None:
    monkeypatch.setattr(local_writer, "RETRY_S", retry_s)
    outage = Outage(process, monkeypatch)
    speaking: list[local_writer.LocalWriter] = []

    async def agent(turn: Turn) -> None:
        assert isinstance(turn._backend, LocalBackend)
        speaking.append(turn._backend._response)
        await turn.text("before ")
        await turn.flush()
        outage.is_on = True
        await turn.text("after")

    def has_lasted() -> bool:
        """Return whether the commit was retried a few times, or the writer has given up."""
        return outage.refused > 5 if status == "complete" else bool(speaking and speaking[0]._writer._problem)

    async def meanwhile() -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not has_lasted():
                await asyncio.sleep(0.01)
        outage.is_on = False

    message = await answer(agent, meanwhile)
    assert (message.status, text_of(message)) == (status, "before after" if status == "complete" else "before ")


async def test_a_stopping_process_ends_its_answers(process: Process, answer: Any) -> None:
    speaking = asyncio.Event()

    async def agent(turn: Turn) -> None:
        await turn.text("so far")
        speaking.set()
        await asyncio.sleep(60)

    async def stop() -> None:
        await speaking.wait()
        await process.stop()

    message = await answer(agent, stop)
    assert (message.status, message.reason, text_of(message)) == ("interrupted", GONE, "so far")


async def test_a_sessions_answers_run_one_after_the_other(process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr(registry, "_agents", {"test": parrot})
    session = await threads.run(lambda: a_session(OWNER, agent="test"))
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        for number in range(5):
            await tab.say(session.pk, f"{number}")
        await tab.wait_until(lambda: [message.status for message in followed.messages.values()] == ["complete"] * 10)
        said = [text_of(message) for message in followed.messages.values() if message.role == "assistant"]
        assert said == ["0", "1", "2", "3", "4"]


async def test_an_agent_that_cancels_itself_fails(answer: Any) -> None:
    async def agent(turn: Turn) -> None:
        await turn.text("so far")
        helper = asyncio.create_task(asyncio.sleep(60))
        helper.cancel()
        await helper

    message = await answer(agent)
    assert (message.status, message.reason, text_of(message)) == ("failed", FAILED, "so far")


async def test_a_failed_search_for_waiting_runs_ends_no_agent(process: Process, answer: Any, monkeypatch: Any) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    claimable = claims.claimable_sessions

    def fail_once(most: int, worker: str) -> list[str]:
        monkeypatch.setattr(claims, "claimable_sessions", claimable)
        loop.call_soon_threadsafe(asked.set)
        raise OperationalError("the server closed the connection unexpectedly")

    async def agent(turn: Turn) -> None:
        monkeypatch.setattr(claims, "claimable_sessions", fail_once)
        await asked.wait()
        await asyncio.sleep(0.1)
        await turn.text("still here")

    message = await answer(agent)
    assert (message.status, text_of(message)) == ("complete", "still here")


async def test_a_failed_claim_affects_no_other_run(process: Process, answer: Any, monkeypatch: Any) -> None:
    claimable = claims.claimable_sessions
    monkeypatch.setattr(claims, "claimable_sessions", lambda most, worker: ["A" * 22, *claimable(most, worker)])
    assert (await answer(parrot)).status == "complete"


async def test_a_claim_whose_commit_was_not_confirmed_is_found(process: Process, answer: Any, monkeypatch: Any) -> None:
    change = process.log_writer.change
    lost: list[str] = []

    async def lose_once(session: str, work: Any, *args: Any) -> Any:
        outcome = await change(session, work, *args)
        if work is claims.claim_run and outcome is not None and not lost:
            lost.append(session)
            raise HoldfastError("storage_unavailable", "the connection broke at COMMIT")
        return outcome

    monkeypatch.setattr(process.log_writer, "change", lose_once)
    assert (await answer(parrot)).status == "complete"
    assert lost


async def test_a_process_that_stops_while_claiming_hands_the_run_back(process: Process, monkeypatch: Any) -> None:
    claiming = asyncio.Event()
    commit = process.log_writer._commit
    loop = asyncio.get_running_loop()

    def tell(group: list[Any]) -> Any:
        outcome = commit(group)
        if models.Run.objects.filter(status="running").exists() and not claiming.is_set():
            loop.call_soon_threadsafe(claiming.set)
            time.sleep(0.2)  # it is stored, and the process stops before it knows
        return outcome

    monkeypatch.setattr(process.log_writer, "_commit", tell)
    monkeypatch.setattr(registry, "_agents", {"test": parrot})
    session = await threads.run(lambda: a_session(OWNER, agent="test"))
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        await tab.say(session.pk, "Hello")
        await claiming.wait()
        await process.stop()
    run = await threads.run(models.Run.objects.get, session=session)
    assert (run.status, run.worker_id) == ("waiting", None)


async def test_an_agent_stops_waiting_when_its_session_is_deleted(process: Process, monkeypatch: Any) -> None:
    asking, ended = asyncio.Event(), asyncio.Event()

    async def agent(turn: Turn) -> None:
        call = await turn.tool("send_mail", {})
        asking.set()
        try:
            await call.approval(expires_s=None)
        finally:
            ended.set()

    monkeypatch.setattr(registry, "_agents", {"test": agent})
    session = await threads.run(lambda: a_session(OWNER, agent="test"))
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        await tab.say(session.pk, "Hello")
        await asking.wait()
        await threads.run(purge.delete_sessions, [session.pk])
        await asyncio.wait_for(ended.wait(), DEADLINE_S)
