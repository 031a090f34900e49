"""Turns that a back end begins: over HTTP, from Python and by command, once for each id."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import AsyncClient

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.runs import turns
from tests.support.agents import Conversation, parrot, process
from tests.support.person import text_of
from tests.support.requests import new_session, running
from tests.support.stored import a_session
from tests.support.tokens import KEYS, bearer, token

__all__ = ["process", "running"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

ID = "daily-2026-12-01"
TEXT = {"parts": [{"type": "text", "text": "What happened?"}]}


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS, "REMOTE_AGENTS": ["test"]}


def a_token(**changes: Any) -> dict[str, str]:
    return bearer(token(**{"sub": "agent:cron", "scope": "work", "agents": ["test"]} | changes))


async def post(session: str, body: Any, **changes: Any) -> Any:
    address = f"/api/sessions/{session}/runs/"
    client = AsyncClient(enforce_csrf_checks=True)
    return await client.post(address, json.dumps(body), content_type="application/json", headers=a_token(**changes))


async def test_a_turn_begins_once_per_id() -> None:
    session = await new_session("guest:1", agent="test")
    answers = [await post(session, {"id": ID, **TEXT}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 1
    run = await threads.run(models.Run.objects.get, session=session)
    assert answers[0].json() == {"session": session, "id": ID, "serial": 1, "run": run.pk, "message": run.uid}
    stored = await threads.run(models.Message.objects.get, session=session, uid=ID)
    assert json.loads(stored.metadata or "") == {"holdfast": {"begun_by": "agent:cron"}}
    other = await post(session, {"id": ID, "parts": [{"type": "text", "text": "Another"}]})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "changes", "refusal"),
    [
        ({"id": ID, **TEXT}, {"agents": ["other"]}, (403, "forbidden_agent")),
        ({"id": ID, **TEXT}, {"scope": "send publish", "agents": None}, (403, "forbidden_scope")),
        ({"id": ID, **TEXT}, {"sessions": ["A" * 22]}, (404, "not_found")),
        ({"id": "short", **TEXT}, {}, (400, "bad_signal")),
        (TEXT, {}, (400, "bad_signal")),
        ({"id": ID}, {}, (400, "bad_signal")),
        ({"id": ID, **TEXT, "role": "system"}, {}, (400, "bad_signal")),
        ({"id": ID, **TEXT, "metadata": 7}, {}, (400, "bad_signal")),
    ],
)
async def test_what_is_wrong_is_refused_by_name(body: Any, changes: Any, refusal: tuple[int, str]) -> None:
    answer = await post(await new_session("guest:1", agent="test"), body, **changes)
    assert (answer.status_code, answer.json()["code"]) == refusal
    assert not await threads.run(models.Run.objects.exists)


async def test_a_session_without_an_agent_or_none_is_refused() -> None:
    answer = await post(await new_session("guest:1", agent=""), {"id": ID, **TEXT})
    assert answer.json()["code"] == "bad_signal"
    assert (await post("A" * 22, {"id": ID, **TEXT})).json()["code"] == "not_found"


async def test_the_owner_is_charged(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"WAITING_RUNS_PER_OWNER": 1}
    session = await new_session("guest:1", agent="test")
    assert (await post(session, {"id": ID, **TEXT})).status_code == 200
    assert (await post(session, {"id": "another-id", **TEXT})).json()["code"] == "too_many_waiting"


def test_python_and_the_command_begin_the_same_turn() -> None:
    session = a_session("guest:1", agent="test").pk
    begun = turns.begin(session, "What happened?", id=ID, metadata={"job": 7})
    assert turns.begin(session, "What happened?", id=ID, metadata={"job": 7}) == begun
    stored = models.Message.objects.get(session=session, uid=ID)
    assert json.loads(stored.metadata or "") == {"job": 7, "holdfast": {"begun_by": "agent:site"}}
    said = StringIO()
    call_command("begin_turn", session, "What else?", "--id", "by-command", "--by", "agent:cron", stdout=said)
    assert models.Run.objects.filter(session=session).count() == 2 and "by-command" in said.getvalue()


@pytest.mark.parametrize("wrong", [{"id": "short"}, {"by": "guest:1"}, {"session": "A" * 22}, {"text": " "}])
def test_python_refuses_what_is_wrong(wrong: dict[str, str]) -> None:
    right = {"session": a_session("guest:1", agent="test").pk, "text": "Hello", "id": ID, "by": "agent:cron"}
    with pytest.raises(HoldfastError):
        turns.begin(**(right | wrong))
    asked = right | wrong
    with pytest.raises(CommandError):
        call_command("begin_turn", asked["session"], asked["text"], "--id", asked["id"], "--by", asked["by"])


async def test_an_agent_answers_a_turn_and_readers_see_it(process: Any, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"REMOTE_AGENTS": []}
    async with Conversation(process, parrot) as talk:
        await threads.run(turns.begin, talk.session, "What happened?", id=ID)
        answer = await talk.answered()
        assert text_of(answer) == "What happened?"


async def test_no_person_can_say_that_a_back_end_has_begun_a_message(process: Any) -> None:
    async with Conversation(process, parrot) as talk:
        forged = {"holdfast": {"begun_by": "agent:billing"}, "theme": "dark"}
        receipt = await talk.send("message", **TEXT, metadata=forged)
        stored = await threads.run(models.Message.objects.get, session=talk.session, uid=receipt["id"])
        assert json.loads(stored.metadata or "") == {"theme": "dark"}
        again = await talk.tab.signal(talk.session, "message", {**TEXT, "metadata": forged}, id=receipt["id"])
        assert talk.tab.receipts[again]["status"] != "rejected"
