"""Signals: checked, stored once, receipted; a failed one reports its error and may be sent again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db.models import Model

from sessions_app import models
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.process import Process
from sessions_app.retention import purge
from tests.support.person import text_of
from tests.support.stored import a_message, a_session
from tests.support.tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"


@pytest.fixture
def limit(settings: Any) -> Any:
    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def tab(process: Process) -> AsyncIterator[Tab]:
    async with Tab(process, OWNER) as tab:
        yield tab


async def new_session(owner: str = OWNER, **fields: Any) -> models.Session:
    return await threads.run(lambda: a_session(owner, **fields))


async def signal(tab: Tab, session: str, *, id: str = "signal-1", kind: str = "message", payload: Any = None) -> Any:
    """Send a signal; return its receipt, or the error that it got instead."""
    tab.receipts.pop(id, None)
    seen = len(tab.errors)
    payload = {"parts": [{"type": "text", "text": "Hello"}]} if payload is None else payload
    await tab.send({"type": "signal", "session": session, "id": id, "kind": kind, "payload": payload})
    await tab.wait_until(lambda: id in tab.receipts or len(tab.errors) > seen)
    return tab.receipts.get(id) or tab.errors[-1]


async def count(model: type[Model]) -> int:
    return await threads.run(model._default_manager.count)


async def test_a_message_is_stored_and_receipted(tab: Tab) -> None:
    session = await new_session()
    receipt = await signal(tab, session.pk)
    assert receipt == {
        "type": "receipt", "session": session.pk, "id": "signal-1", "status": "accepted", "serial": 1
    }  # fmt: skip
    message = await threads.run(queries.message, session.pk, "signal-1")
    assert message and (message.role, message.status, text_of(message)) == ("user", "complete", "Hello")


async def test_a_sender_sees_its_message_as_every_other_reader_does(tab: Tab) -> None:
    session = await new_session()
    async with Tab(tab.process, OWNER) as other:
        for each in (tab, other):
            await each.attach(session.pk)
        await signal(tab, session.pk)
        for each in (tab, other):
            followed = each.sessions[session.pk]
            await each.wait_until(lambda followed=followed: "signal-1" in followed.messages)
            assert followed.serials == [1]


async def test_a_repeated_signal_gets_the_same_receipt_and_counts_once(tab: Tab) -> None:
    session = await new_session(agent="test")
    first = await signal(tab, session.pk)
    await signal(tab, session.pk, id="signal-2")
    assert await signal(tab, session.pk) == first
    asked = await models.Message.objects.filter(role="user").acount()  # an agent may have begun to answer
    assert (asked, await count(models.Run)) == (2, 2)


async def test_a_used_id_with_other_content_is_a_conflict(tab: Tab) -> None:
    session, other = await new_session(), await new_session()
    await signal(tab, session.pk)
    for kind, payload in (("message", {"parts": [{"type": "text", "text": "Hullo"}]}), ("cancel", {})):
        refused = await signal(tab, session.pk, kind=kind, payload=payload)
        assert (refused["status"], refused["error"]["code"]) == ("rejected", "conflict")
        assert not refused["error"]["retryable"]
    assert (await signal(tab, other.pk, payload={"parts": [{"type": "text", "text": "Hi"}]}))["status"] == "accepted"
    assert (await signal(tab, session.pk))["status"] == "accepted"
    await threads.run(models.Signal.objects.all().delete)  # as retention may
    assert (await signal(tab, session.pk))["status"] == "accepted"
    refused = await signal(tab, session.pk, payload={"parts": [{"type": "text", "text": "Hullo"}]})
    assert refused["error"]["code"] == "conflict"


async def test_a_signal_sent_by_two_tabs_at_once_counts_once(tab: Tab) -> None:
    session = await new_session(agent="test")
    async with Tab(tab.process, OWNER) as other:
        receipts = await asyncio.gather(*(signal(each, session.pk) for each in (tab, other)))
    assert receipts[0] == receipts[1]
    assert (await count(models.Message), await count(models.Run)) == (1, 1)


async def test_a_message_and_the_run_that_answers_it_are_one_transaction(tab: Tab) -> None:
    session = await new_session(agent="test")
    await signal(tab, session.pk)
    run = await threads.run(models.Run.objects.get)
    assert (run.session_id, run.agent, run.status, run.prompt) == (session.pk, "test", "waiting", "signal-1")


async def test_without_an_agent_no_run_is_created(tab: Tab) -> None:
    session = await new_session()
    await signal(tab, session.pk)
    assert await count(models.Run) == 0


async def test_the_first_message_sets_the_sessions_title(tab: Tab) -> None:
    session = await new_session()
    await signal(tab, session.pk, payload={"parts": [{"type": "text", "text": "  What\nis\u0000 " + "long " * 50}]})
    await signal(tab, session.pk, id="signal-2")
    await threads.run(session.refresh_from_db)
    assert session.title.startswith("What is long long")
    assert len(session.title) <= 60


async def test_a_title_set_by_a_user_is_kept(tab: Tab) -> None:
    session = await new_session(title="Mine")
    await signal(tab, session.pk)
    await threads.run(session.refresh_from_db)
    assert session.title == "Mine"


# Refused


def text(value: Any) -> dict[str, Any]:
    return {"parts": [{"type": "text", "text": value}]}


@pytest.mark.parametrize(
    "payload",
    [
        {}, {"parts": None}, {"parts": []}, {"parts": "Hello"}, {"parts": [None]}, {"parts": ["Hello"]},
        {"parts": [{"type": "text"}]}, text(None), text(1), text(""), text("  \n\t"), {"parts": [{"text": "Hello"}]},
        {"parts": [{"type": "file", "url": "data:,"}]}, {"parts": text("x")["parts"] * 17},
    ],
)  # fmt: skip
async def test_an_invalid_payload_is_rejected_permanently(tab: Tab, payload: Any) -> None:
    session = await new_session()
    receipt = await signal(tab, session.pk, payload=payload)
    assert (receipt["status"], receipt["error"]["code"]) == ("rejected", "bad_signal")
    assert receipt["error"]["retryable"] is False
    assert await count(models.Message) == 0


@pytest.mark.parametrize("extra", [{"role": "system"}, {"id": "m_1"}, {"attachments": []}], ids=str)
async def test_what_would_be_dropped_is_refused(tab: Tab, extra: Any) -> None:
    session = await new_session()
    part = {"type": "text", "text": "Hello"}
    for payload in ({"parts": [part], **extra}, {"parts": [part | extra]}):
        receipt = await signal(tab, session.pk, payload=payload)
        assert (receipt["status"], receipt["error"]["code"]) == ("rejected", "bad_signal")
        assert next(iter(extra)) in receipt["error"]["message"]
    assert await count(models.Message) == 0


@pytest.mark.parametrize("kind", ["message", "steer"])
async def test_metadata_is_the_messages(tab: Tab, kind: str) -> None:
    session = await new_session(agent="")
    await tab.attach(session.pk)
    payload = text("Hello") | {"metadata": {"reply_to": "m_1", "n": 2**60}}
    assert (await signal(tab, session.pk, kind=kind, payload=payload))["status"] == "accepted"
    message = await threads.run(queries.message, session.pk, "signal-1")
    assert message and (message.role, message.metadata) == ("user", payload["metadata"])
    await tab.wait_until(lambda: tab.sessions[session.pk].messages)
    assert tab.sessions[session.pk].messages["signal-1"].metadata == payload["metadata"]


async def test_other_metadata_is_other_content(tab: Tab) -> None:
    session = await new_session()
    with_metadata = text("Hello") | {"metadata": {"a": 1}}
    await signal(tab, session.pk, payload=with_metadata)
    for forgotten in (False, True):
        if forgotten:
            await threads.run(models.Signal.objects.all().delete)  # as retention may
        for other in (text("Hello"), text("Hello") | {"metadata": {"a": 2}}):
            assert (await signal(tab, session.pk, payload=other))["error"]["code"] == "conflict"
        assert (await signal(tab, session.pk, payload=with_metadata))["status"] == "accepted"


async def test_a_message_has_a_maximum_size_in_bytes(limit: Any, tab: Tab) -> None:
    limit(MESSAGE_BYTES=100)
    session = await new_session()
    assert (await signal(tab, session.pk, payload=text("é" * 50)))["status"] == "accepted"
    receipt = await signal(tab, session.pk, id="signal-2", payload=text("é" * 50 + "x"))
    assert receipt["error"]["code"] == "message_too_large"


async def test_an_unknown_kind_is_rejected(tab: Tab) -> None:
    session = await new_session()
    assert (await signal(tab, session.pk, kind="dance"))["error"]["code"] == "unknown_kind"


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "an expired stranger's"])
async def test_another_owners_session_rejects_signals_and_looks_nonexistent(tab: Tab, whose: str) -> None:
    session = models.new_id()
    if whose != "nobody's":
        session = (await new_session("guest:2", hours=100 if "expired" in whose else 0)).pk
    receipt = await signal(tab, session)
    assert receipt["error"] == {
        "code": "not_found", "message": "Session not found, or it isn't yours", "retryable": False
    }  # fmt: skip
    assert await count(models.Message) == 0


async def test_an_expired_session_rejects_signals(tab: Tab) -> None:
    session = await new_session(hours=100)
    assert (await signal(tab, session.pk))["error"]["code"] == "expired"


async def test_a_deleted_session_rejects_signals(tab: Tab) -> None:
    session = await new_session()
    await threads.run(purge.delete_sessions, [session.pk])
    assert (await signal(tab, session.pk))["error"]["code"] == "not_found"


async def test_signals_beyond_the_rate_limit_are_rejected_and_may_be_retried(process: Process, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"SIGNALS_PER_MINUTE": 3}
    session, strangers = await new_session(), await new_session("guest:2")
    async with Tab(process, OWNER) as tab, Tab(process, OWNER) as second, Tab(process, "guest:2") as other:
        receipts = [await signal(each, session.pk, id=f"signal-{n}") for n, each in enumerate([tab, second, tab, tab])]
        assert [receipt["status"] for receipt in receipts] == ["accepted"] * 3 + ["rejected"]
        assert (receipts[3]["error"]["code"], receipts[3]["error"]["retryable"]) == ("rate_limited", True)
        assert (tab.close_codes, second.close_codes) == ([], [])
        assert (await signal(other, strangers.pk))["status"] == "accepted"


async def test_the_id_of_an_answer_is_not_mistaken_for_a_repeated_signal(tab: Tab) -> None:
    session = await new_session()
    await threads.run(lambda: a_message(session, "An answer.", role="assistant", uid="m_answer"))
    receipt = await signal(tab, session.pk, id="m_answer")
    assert (receipt["status"], receipt["error"]["code"]) == ("rejected", "message_exists")
