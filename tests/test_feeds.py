"""Delivery within and between processes: with any fault of the channel layer, every reader gets everything once."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from sessions_app import models
from sessions_app.core import frames
from sessions_app.core.fold import to_wire
from sessions_app.database import threads
from sessions_app.delivery import catchup
from sessions_app.delivery.channel_layer import SIGNALS
from sessions_app.event_log import queries
from sessions_app.process import Process
from sessions_app.retention import purge
from sessions_app.telemetry import metrics
from tests.support.person import Followed, text_of
from tests.support.stored import a_session
from tests.support.tab import Tab
from tests.support.writer import delta, finish, start, text_start

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"
TAIL_POLL_MS = 50


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": TAIL_POLL_MS}


@pytest.fixture
def layer(settings: Any) -> Callable[[str], None]:
    def use(name: str) -> None:
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"tests.support.channel_layers.{name}"}}

    return use


@pytest.fixture
async def processes(layer: Callable[[str], None]) -> AsyncIterator[Callable[..., Any]]:
    """Start processes on one database and one such layer: `await processes("Dropping", 2)`."""
    running: list[Process] = []

    async def begin(name: str = "", count: int = 1) -> list[Process]:
        if name:
            layer(name)
        for _ in range(count):
            running.append(Process())
            await running[-1].start()
        return running

    yield begin
    for process in running:
        await process.stop()


async def new_session(owner: str = OWNER) -> models.Session:
    return await threads.run(a_session, owner)


async def publish_answer(process: Process, session: models.Session, words: int, *, pause: float = 0.01) -> str:
    """Publish an answer of so many words; gives its id."""
    response = process.writers.unprompted(session.pk, agent="test")
    await response.write(start(response.uid))
    await response.write(text_start())
    for number in range(words):
        await response.write(delta(f"{number} "))
        await asyncio.sleep(pause)
    await response.write(finish())
    await response.flush()
    return response.uid


def expected_text(words: int) -> str:
    return "".join(f"{number} " for number in range(words))


async def same_as_stored(session: models.Session, uid: str, followed: Followed) -> bool:
    stored = await threads.run(queries.message, session.pk, uid)
    assert stored
    return to_wire(stored) == to_wire(followed.messages[uid])


# Between processes


@pytest.mark.parametrize("name", ["Layer", "Dropping", "Losing", "Unruly", "Failing", "Hanging"])
async def test_a_reader_in_another_process_gets_everything_once(processes: Any, name: str) -> None:
    one, other = await processes(name, 2)
    session = await new_session()
    async with Tab(other, OWNER) as tab:
        followed = await tab.attach(session.pk)
        uid = await publish_answer(one, session, 60)
        await tab.wait_until(lambda: followed.text == expected_text(60))
        await tab.wait_until(lambda: followed.messages[uid].status == "complete")
        assert len(followed.serials) == len(set(followed.serials))
        assert followed.serials == sorted(followed.serials)
        assert followed.gaps == 0
        assert await same_as_stored(session, uid, followed)


async def test_with_a_working_layer_no_event_waits_for_the_tail_check(processes: Any, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 60_000}
    one, other = await processes("Layer", 2)
    session = await new_session()
    async with Tab(other, OWNER) as tab:
        followed = await tab.attach(session.pk)
        await publish_answer(one, session, 10)
        await tab.wait_until(lambda: followed.text == expected_text(10))
        assert len(followed.attached) == 1


async def test_a_commit_is_one_message_of_the_layer(processes: Any) -> None:
    one, other = await processes("Layer", 2)
    sessions = [await new_session() for _ in range(20)]
    async with Tab(other, OWNER) as tab:
        for session in sessions:
            await tab.attach(session.pk)
        before = one.fanout.endpoints[0]._layer.passed_on
        with one.log_writer._changed:
            for session in sessions:
                response = one.writers.unprompted(session.pk, agent="test")
                await response.write(start(response.uid))
            await asyncio.sleep(0.05)  # all of them are handed over
        await tab.wait_until(lambda: all(tab.sessions[session.pk].messages for session in sessions))
        to_other = one.fanout.endpoints[0]._layer.passed_on - before
        assert to_other <= 2 * 2  # to each of two processes, and a commit may have been under way


async def test_a_signal_stored_by_one_process_makes_the_others_look_for_it(processes: Any) -> None:
    one, other = await processes("Layer", 2)
    async with Tab(one, OWNER) as tab:
        session = await new_session()
        await tab.attach(session.pk)
        while len(one.fanout.endpoints[0]._layer.groups[SIGNALS]) < 2:  # both hear of signals
            await asyncio.sleep(0.01)
        await tab.say(session.pk, "Hello")
        await asyncio.wait_for(other.claims.waiting.wait(), 30)


async def test_readers_of_one_process_get_the_same_bytes(processes: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(Tab(process, OWNER)) for _ in range(3)]
        for tab in tabs:
            await tab.attach(session.pk)
        await publish_answer(process, session, 20)
        for tab in tabs:
            await tab.wait_until(lambda tab=tab: tab.sessions[session.pk].text == expected_text(20))
        events = [[frame for frame in tab.frames if frame["type"] == "events"] for tab in tabs]
        assert events[0] == events[1] == events[2] != []


# Holes


async def test_a_gap_is_filled_with_events_while_the_journal_has_them(processes: Any) -> None:
    one, other = await processes("Dropping", 2)
    session = await new_session()
    async with Tab(other, OWNER) as tab:
        followed = await tab.attach(session.pk)
        response = one.writers.unprompted(session.pk, agent="test")
        await response.write(start(response.uid))
        await response.flush()
        await tab.wait_until(lambda: followed.messages)
        await response.write(text_start())
        for number in range(10):
            await response.write(delta(f"{number} "))
            await response.flush()
        await tab.wait_until(lambda: followed.text == expected_text(10))
        assert followed.serials[-11:] == list(range(2, 13))


async def test_a_gap_in_conflated_content_is_filled_with_the_state(processes: Any, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"JOURNAL_EVENTS": 1}
    one, other = await processes("Dropping", 2)
    session = await new_session()
    async with Tab(other, OWNER) as tab:
        followed = await tab.attach(session.pk)
        uid = await publish_answer(one, session, 20)
        await tab.wait_until(lambda: followed.text == expected_text(20))
        await tab.wait_until(lambda: followed.messages[uid].status == "complete")
        assert len(followed.attached) > 1
        assert {(frame["resumed"], frame["reason"]) for frame in followed.attached[1:]} == {(True, None)}
        assert await same_as_stored(session, uid, followed)


async def test_the_last_event_is_found_without_a_hint(processes: Any) -> None:
    one, other = await processes("Dropping", 2)
    session = await new_session()
    response = one.writers.unprompted(session.pk, agent="test")
    await response.write(start(response.uid))
    await response.flush()
    async with Tab(other, OWNER) as tab:
        followed = await tab.attach(session.pk)
        await response.write(finish())
        await tab.wait_until(lambda: followed.messages[response.uid].status == "complete")


async def test_a_hint_ahead_of_the_store_is_harmless(processes: Any, monkeypatch: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        readings = itertools.count()
        tails = queries.tails
        monkeypatch.setattr(queries, "tails", lambda ids: (next(readings), tails(ids))[1])
        lie = frames.events(session=session.pk, epoch=session.epoch, first=100, last=100, texts=["{}"])
        process.feeds.deliver([lie])
        await asyncio.sleep(0.5)
        assert next(readings) < 30
        await publish_answer(process, session, 5)
        await tab.wait_until(lambda: followed.text == expected_text(5))
        assert followed.serials == list(range(1, len(followed.serials) + 1))


# What the tail check finds


async def test_a_new_epoch_resets_attached_readers(processes: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        await publish_answer(process, session, 3)
        await tab.wait_until(lambda: followed.text == expected_text(3))
        await threads.run(call_command, "new_epoch", session.pk, "--no-input")
        await tab.wait_until(lambda: followed.attached[-1]["reason"] == "epoch-changed")
        assert followed.text == expected_text(3)
        await publish_answer(process, session, 4)
        await tab.wait_until(lambda: followed.text == expected_text(4))
        assert len(followed.messages) == 2


async def test_events_of_a_new_epoch_reach_readers_of_the_old_one(processes: Any, settings: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        await publish_answer(process, session, 3)
        for task in process._tasks:  # the frame comes before the check of the tails
            if task.get_name() == "holdfast tail check":
                task.cancel()
        await threads.run(call_command, "new_epoch", session.pk, "--no-input")
        uid = await publish_answer(process, session, 4)
        await tab.wait_until(lambda: uid in followed.messages and text_of(followed.messages[uid]) == expected_text(4))
        assert [frame["reason"] for frame in followed.attached[1:] if not frame["resumed"]] == ["epoch-changed"]


def set_back(session: models.Session) -> None:
    with transaction.atomic():
        models.Session.objects.filter(pk=session.pk).update(tail=0)
        models.Message.objects.all().delete()


async def test_a_restored_database_resets_attached_readers(processes: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        await publish_answer(process, session, 3)
        await threads.run(set_back, session)
        await tab.wait_until(lambda: followed.attached[-1]["reason"] == "ahead")
        assert followed.messages == {}
        await publish_answer(process, session, 4)
        await tab.wait_until(lambda: followed.text == expected_text(4))


async def detached(tab: Tab, session: models.Session) -> str:
    followed = tab.sessions[session.pk]
    await tab.wait_until(lambda: followed.detached)
    assert followed.detached
    assert session.pk not in tab.connection._followed
    return str(followed.detached["error"]["code"])


async def test_readers_of_a_deleted_session_are_detached(processes: Any) -> None:
    [process] = await processes()
    session, other = await new_session(), await new_session()
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        followed = await tab.attach(other.pk)
        await threads.run(purge.delete_sessions, [session.pk])
        assert await detached(tab, session) == "not_found"
        await publish_answer(process, other, 3)
        await tab.wait_until(lambda: followed.text == expected_text(3))


async def test_readers_of_an_expired_session_are_detached(processes: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        long_ago = purge.timezone.now() - purge.timezone.timedelta(hours=100)
        await threads.run(models.Session.objects.filter(pk=session.pk).update, active_at=long_ago)
        assert await detached(tab, session) == "not_found"


async def test_a_former_owner_is_detached_and_the_owner_is_not(processes: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        await threads.run(models.Session.objects.filter(pk=session.pk).update, owner="user:1")
        async with Tab(process, "user:1") as new:
            followed = await new.attach(session.pk)
            assert await detached(tab, session) == "not_found"
            await publish_answer(process, session, 3)
            await new.wait_until(lambda: followed.text == expected_text(3))
            assert followed.detached is None


async def test_a_session_without_readers_costs_no_query(processes: Any, monkeypatch: Any) -> None:
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        await tab.attach(session.pk)
        await tab.send({"type": "detach", "session": session.pk})
        asked: list[Any] = []
        monkeypatch.setattr(queries, "tails", lambda ids: asked.append(ids) or {})
        await asyncio.sleep(4 * TAIL_POLL_MS / 1000)
        assert asked == []


async def test_a_made_up_cursor_resets_its_client_alone(
    processes: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "_ahead_logged_at", -catchup.AHEAD_EVERY_S)
    [process] = await processes()
    session = await new_session()
    async with Tab(process, OWNER) as honest, Tab(process, OWNER) as liar:
        followed = await honest.attach(session.pk)
        await publish_answer(process, session, 3)
        await honest.wait_until(lambda: followed.text == expected_text(3))
        counted = metrics.catchups.labels("reset", "ahead")._value.get()
        for _ in range(3):
            lied = await liar.attach(session.pk, cursor=f"{session.epoch}-999999")
            assert lied.attached[-1]["reason"] == "ahead"
        assert metrics.catchups.labels("reset", "ahead")._value.get() == counted + 3
        assert len([record for record in caplog.records if "seen 99999" in record.message]) == 1
        await publish_answer(process, session, 4)
        await honest.wait_until(lambda: followed.text == expected_text(4))
        await liar.wait_until(lambda: lied.text == expected_text(4))
        assert [attached["reason"] for attached in followed.attached] == [None]
    stored = await models.Session.objects.aget(pk=session.pk)
    assert stored.epoch == session.epoch
