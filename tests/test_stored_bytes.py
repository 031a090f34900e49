"""The quota of stored bytes: counted with each commit, refused by name, and freed by what is deleted or has expired."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app import models
from sessions_app.core.errors import HoldfastError
from sessions_app.database import threads
from sessions_app.event_log import quota
from sessions_app.process import Process
from sessions_app.retention import purge
from tests.support.stored import a_session
from tests.support.tab import Tab
from tests.support.writer import Writer, begun, delta, finish, start, text_start, user_message, writer

__all__ = ["writer"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
LEAST = 65_536  # the smallest quota that may be set
TEXT = "Žlutý kůň " * 100


@pytest.fixture(autouse=True)
def small_quota(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"STORED_BYTES_PER_OWNER": LEAST, "TAIL_POLL_MS": 50, "JOURNAL_EVENTS": 4}


def held(session: str) -> int:
    """Return the bytes that a session's rows hold, counted one by one."""
    parts = models.Message.objects.filter(session=session).values_list("parts", flat=True)
    payloads = models.Signal.objects.filter(session=session).values_list("payload", flat=True)
    return sum(len(text.encode()) for text in [*parts, *payloads])


def stored(session: str) -> int:
    return models.Session.objects.get(pk=session).stored


def fill(session: str, size: int = LEAST) -> None:
    models.Session.objects.filter(pk=session).update(stored=size)


# Counting


def test_a_response_counts_the_bytes_of_its_row_while_it_is_written_and_at_its_end(writer: Writer) -> None:
    session = a_session(OWNER)
    writer.append(session, "u_1", [user_message(TEXT)])
    counted = []
    for chunk in [*begun("m_1"), *(delta(TEXT) for _ in range(12)), finish()]:
        writer.append(session, "m_1", [chunk])
        assert stored(session.pk) == held(session.pk)
        counted.append(stored(session.pk))
    assert counted == sorted(counted) and counted[-1] > 12 * len(TEXT.encode())


def test_a_message_that_another_process_continues_is_counted_once(writer: Writer) -> None:
    session = a_session(OWNER)
    writer.append(session, "m_1", [*begun("m_1"), delta(TEXT)])
    with Writer() as other:
        other.append(session, "m_1", [delta(TEXT)])
        other.append(session, "m_1", [finish()])
    assert stored(session.pk) == held(session.pk) > 2 * len(TEXT.encode())


def test_what_a_refusal_undoes_is_not_counted(writer: Writer) -> None:
    session = a_session(OWNER)

    def refused(log: Any) -> None:
        log.append("u_1", [user_message(TEXT)])
        log.add_bytes(1000)
        raise HoldfastError("busy")

    with pytest.raises(HoldfastError):
        writer.change(session, refused).result()
    writer.append(session, "u_2", [user_message("Hello")])
    assert stored(session.pk) == held(session.pk)


async def test_signals_count_with_their_payloads(process: Process) -> None:
    session = (await threads.run(a_session, OWNER)).pk
    async with Tab(process, OWNER) as tab:
        await tab.say(session, TEXT)
        await tab.say(session, TEXT)
    assert await threads.run(stored, session) == await threads.run(held, session) > 4 * len(TEXT.encode())


def test_what_expires_is_freed(writer: Writer) -> None:
    session = a_session(OWNER, hours=200)
    for uid in ("u_1", "u_2", "u_3"):
        writer.append(session, uid, [user_message(TEXT)])
    old = timezone.now() - timedelta(hours=100)
    models.Message.objects.exclude(uid="u_3").update(created_at=old, updated_at=old)
    purge.purge()
    assert models.Message.objects.count() == 1
    assert stored(session.pk) == held(session.pk) > 0


def test_what_was_stored_before_it_was_counted_makes_no_session_negative(writer: Writer) -> None:
    session = a_session(OWNER, hours=200)
    writer.append(session, "u_1", [user_message(TEXT)])
    writer.append(session, "u_2", [user_message(TEXT)])
    old = timezone.now() - timedelta(hours=100)
    models.Message.objects.filter(uid="u_1").update(created_at=old, updated_at=old)
    fill(session.pk, 10)
    purge.purge()
    assert stored(session.pk) == 0


# Refusing


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    await process.start()
    yield process
    await process.stop()


async def code_of(tab: Tab, session: str, kind: str, payload: Any, id: str = "") -> str:
    receipt = tab.receipts[await tab.signal(session, kind, payload, id=id)]
    return str(receipt.get("error", {}).get("code", receipt["status"]))


PARTS = {"parts": [{"type": "text", "text": "Hello"}]}


async def test_at_the_quota_nothing_more_is_asked_and_everything_else_goes_on(process: Process) -> None:
    full, session, strangers = [(await threads.run(a_session, owner)).pk for owner in (OWNER, OWNER, "guest:2")]
    async with Tab(process, OWNER) as tab, Tab(process, "guest:2") as other:
        followed = await tab.attach(session)
        response = process.writers.unprompted(session, agent="test")
        for chunk in (start(response.uid), text_start(), delta("Hello")):
            await response.write(chunk)
        await response.flush()
        assert await code_of(tab, session, "message", PARTS, id="signal-0001") == "accepted"
        await threads.run(fill, full)
        assert await code_of(tab, session, "message", PARTS) == "storage_full"
        assert await code_of(tab, session, "steer", PARTS) == "storage_full"
        assert await code_of(tab, session, "message", PARTS, id="signal-0001") == "accepted"  # again
        assert await code_of(other, strangers, "message", PARTS) == "accepted"
        await response.write(delta(", world"))
        await response.write(finish())
        await response.flush()
        await tab.wait_until(lambda: followed.messages[response.uid].status == "complete")
        assert (await tab.attach(full)).attached
        await threads.run(purge.delete_sessions, [full])
        assert await code_of(tab, session, "message", PARTS) == "accepted"


async def test_a_stop_counts_at_the_quota(process: Process) -> None:
    session = (await threads.run(a_session, OWNER)).pk
    async with Tab(process, OWNER) as tab:
        response = process.writers.unprompted(session, agent="test")
        await response.write(start(response.uid))
        await response.flush()
        await threads.run(fill, session)
        assert await code_of(tab, session, "cancel", {}) == "accepted"


def test_the_sum_is_over_an_owners_sessions_that_are_not_being_removed() -> None:
    sizes = [("guest:1", 5, None), ("guest:1", 7, None), ("guest:1", 11, timezone.now()), ("guest:2", 13, None)]
    for owner, size, removed in sizes:
        fill(a_session(owner, removed_at=removed).pk, size)
    assert quota.stored_bytes("guest:1") == 12
    assert quota.stored_bytes("guest:3") == 0
