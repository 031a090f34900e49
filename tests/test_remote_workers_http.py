"""Remote workers over HTTP: long polls that claim, requests, and their access checks."""

import asyncio
import json
from typing import Any

import pytest
from django.test import AsyncClient

from sessions_app.core.signals import Sent
from sessions_app.database import threads
from sessions_app.process import Process
from sessions_app.runs import turns
from tests.support.requests import new_session, refusal_of, running
from tests.support.tokens import KEYS, bearer, token
from tests.support.writer import delta, finish, start, text_start

__all__ = ["running"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

WHO = {"producer": "worker-1", "epoch": 1}


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS, "REMOTE_AGENTS": ["far"]}


async def post(path: str, body: Any, **changes: Any) -> Any:
    text = token(**{"sub": "agent:fleet", "scope": "work", "agents": ["far"]} | changes)
    client = AsyncClient(enforce_csrf_checks=True)
    return await client.post(path, json.dumps(body), content_type="application/json", headers=bearer(text))


def a_claim(**fields: Any) -> dict[str, Any]:
    return {"id": "request-1", **WHO, "agents": ["far"], "most": 5, "wait_ms": 5000, **fields}


async def poll(**fields: Any) -> list[Any]:
    response = await post("/api/work/claim/", a_claim(**fields))
    assert response.status_code == 200, response.content
    frames: list[Any] = response.json()["frames"]
    return frames


async def asked(session: str) -> None:
    await threads.run(turns.begin, session, "Hello", id="question-1")


async def test_a_poll_waits_for_a_run_which_is_answered(running: Process) -> None:
    session = await new_session("guest:1", agent="far")
    waiting = asyncio.create_task(poll(wait_ms=20_000))
    async with asyncio.timeout(10):
        while not running.workers._links:
            await asyncio.sleep(0.01)
    await asked(session)
    answer, run = await waiting
    assert (answer["type"], answer["result"]["runs"], run["type"]) == ("answer", [], "run")
    about = {"session": session, "run": run["run"], **WHO}
    page = await post("/api/work/", {"type": "history", "id": "request-2", **about})
    assert page.json()["result"]["messages"] == run["messages"]
    batch = {
        "message": run["message"], "run": run["run"], "sequence": 1, **WHO,
        "chunks": [start(run["message"]), text_start(), delta("Hi"), finish()],
    }  # fmt: skip
    for _ in range(2):
        assert (await post(f"/api/sessions/{session}/publish/", batch)).status_code == 200
    begin = {"type": "begin", "id": "request-3", "approval": "approval_1", **about}
    assert refusal_of(await post("/api/work/", begin)) == (409, "fenced")


async def test_a_signal_that_the_worker_has_is_no_news(running: Process) -> None:
    session = await new_session("guest:1", agent="far")
    await asked(session)
    _, run = await poll()
    steer = {"id": "steer-001", "kind": "steer", "payload": {"parts": [{"type": "text", "text": "shorter"}]}}
    sent = await post(f"/api/sessions/{session}/signals/", steer, sub="ext:alice", scope="send", agents=None)
    assert sent.status_code == 404  # another's session
    payload: Any = steer["payload"]
    await running.signal_intake.store(session, Sent("steer-001", "steer", "guest:1", payload), agent="far")
    frames = await poll(runs=[run["run"]])
    assert [frame["type"] for frame in frames] == ["answer", "inbox"]
    frames = await poll(runs=[run["run"]], signals=[frames[1]["signal"]["id"]], wait_ms=200)
    assert [frame["type"] for frame in frames] == ["answer"]


@pytest.mark.parametrize(
    ("body", "changes", "refusal"),
    [
        (a_claim(), {"scope": "publish", "agents": None}, (403, "forbidden_scope")),
        (a_claim(), {"agents": ["near"]}, (403, "forbidden_agent")),
        (a_claim(most=-1), {}, (400, "bad_frame")),
        (a_claim(agents=[]), {}, (400, "bad_frame")),
        (a_claim(runs=["x"]), {}, (400, "bad_frame")),
        (a_claim(wait_ms=-1), {}, (400, "bad_frame")),
        (a_claim(epoch=2**60), {}, (400, "bad_frame")),
        (a_claim(id="x"), {}, (400, "bad_frame")),
    ],
)
async def test_a_wrong_claim_is_refused_by_name(body: Any, changes: Any, refusal: tuple[int, str]) -> None:
    assert refusal_of(await post("/api/work/claim/", body, **changes)) == refusal


@pytest.mark.parametrize("type", ["claim", "publish", "signal", "", None, 7])
async def test_only_requests_about_runs_are_asked(type: Any) -> None:
    assert refusal_of(await post("/api/work/", {"type": type, "id": "request-1", **WHO})) == (400, "unknown_type")


async def test_a_stopping_process_ends_polls(running: Process) -> None:
    waiting = asyncio.create_task(post("/api/work/claim/", a_claim(wait_ms=25_000)))
    async with asyncio.timeout(10):
        while not running.workers._links:
            await asyncio.sleep(0.01)
        await running.stop()
        assert (await waiting).status_code == 200
    assert refusal_of(await post("/api/work/claim/", a_claim())) == (503, "going_away")


async def test_an_owner_has_no_more_workers_than_connections(running: Process, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"CONNECTIONS_PER_OWNER": 3}
    polls = [
        asyncio.create_task(post("/api/work/claim/", a_claim(producer=f"worker-{number}", wait_ms=25_000)))
        for number in range(12)
    ]
    refused = [refusal_of(await each) for each in await finished(polls, 9)]
    assert {code for _, code in refused} == {"too_many_connections"}
    assert len(running.workers._links) == 3
    other = await post("/api/work/claim/", a_claim(wait_ms=0), sub="agent:other")
    assert other.status_code == 200
    for each in polls:
        each.cancel()
    await asyncio.gather(*polls, return_exceptions=True)


async def finished(tasks: list[Any], count: int) -> list[Any]:
    """Wait until so many tasks have ended; return them."""
    async with asyncio.timeout(10):
        while sum(task.done() for task in tasks) < count:
            await asyncio.sleep(0.01)
    return [task for task in tasks if task.done()]
