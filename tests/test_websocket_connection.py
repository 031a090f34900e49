"""A WebSocket connection: attach, acknowledge, fall behind, and the errors of each."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import OperationalError

from sessions_app import models
from sessions_app.core.attachment import State
from sessions_app.database import threads
from sessions_app.delivery import catchup
from sessions_app.process import Process
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_message, a_session
from tests.support.tab import Tab
from tests.support.writer import delta, finish, start, text_start

pytestmark = pytest.mark.django_db(transaction=True)

OWNER = "guest:1"


@pytest.fixture
def limit(settings: Any) -> Any:
    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50}
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


class AnswerWriter:
    """An answer that is written word by word."""

    def __init__(self, process: Process, session: models.Session) -> None:
        self.response = process.writers.unprompted(session.pk, agent="test")

    async def begin(self) -> "AnswerWriter":
        await self.response.write(start(self.response.uid))
        await self.response.write(text_start())
        await self.response.flush()
        return self

    async def say(self, text: str) -> None:
        await self.response.write(delta(text))
        await self.response.flush()

    async def end(self) -> None:
        await self.response.write(finish())
        await self.response.flush()


async def error(tab: Tab, frame: dict[str, Any] | str) -> dict[str, Any]:
    """Send a frame; return the error that it gets."""
    seen = len(tab.errors)
    text = frame if isinstance(frame, str) else json.dumps(frame)
    await tab.dispatch.receive(text, now=asyncio.get_running_loop().time())
    await tab.wait_until(lambda: len(tab.errors) > seen)
    return tab.errors[-1]


# Attach


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "being deleted"])
async def test_another_owners_session_looks_nonexistent(tab: Tab, whose: str) -> None:
    session = models.new_id()
    if whose != "nobody's":
        session = (await new_session("guest:2" if whose == "a stranger's" else "")).pk
    answer = await error(tab, {"type": "attach", "session": session})
    assert answer == {
        "type": "error", "code": "not_found", "message": "Session not found, or it isn't yours",
        "retryable": False, "session": session,
    }  # fmt: skip
    assert tab.connection._followed == {} and tab.process.feeds._feeds == {}


async def test_an_expired_session_is_reported_to_its_owner(tab: Tab) -> None:
    session = await new_session(hours=100)
    assert (await error(tab, {"type": "attach", "session": session.pk}))["code"] == "expired"
    other = await new_session("guest:2", hours=100)
    assert (await error(tab, {"type": "attach", "session": other.pk}))["code"] == "not_found"


async def test_the_sessions_of_a_connection_are_limited(limit: Any, tab: Tab) -> None:
    limit(SESSIONS_PER_CONNECTION=2)
    sessions = [await new_session() for _ in range(3)]
    for session in sessions[:2]:
        await tab.attach(session.pk)
    assert (await error(tab, {"type": "attach", "session": sessions[2].pk}))["code"] == "too_many_sessions"
    await tab.attach(sessions[0].pk)  # it follows that one already
    await tab.send({"type": "detach", "session": sessions[0].pk})
    await tab.attach(sessions[2].pk)


async def test_nothing_is_sent_after_a_detach(tab: Tab) -> None:
    session, other = await new_session(), await new_session()
    followed, fence = await tab.attach(session.pk), await tab.attach(other.pk)
    await tab.send({"type": "detach", "session": session.pk})
    for each in (session, other):
        await AnswerWriter(tab.process, each).begin()
    await tab.wait_until(lambda: fence.serials)
    assert followed.serials == []


async def test_repeated_attaches_repeat_and_lose_nothing(tab: Tab) -> None:
    session = await new_session()
    followed = await tab.attach(session.pk)
    answer = await AnswerWriter(tab.process, session).begin()
    for number in range(30):
        await asyncio.gather(answer.say(f"{number} "), tab.attach(session.pk))
    await tab.wait_until(lambda: followed.text == "".join(f"{number} " for number in range(30)))
    assert followed.gaps == 0


async def test_a_clients_attach_precedes_the_servers_own_read(tab: Tab) -> None:
    session = await new_session()
    await threads.run(a_message, session, "a turn")
    followed = await tab.attach(session.pk)
    tab.connection._followed[session.pk].resync()  # the server will read, from where this client was
    await tab._attach(session.pk, cursor=None)  # but it has lost everything
    await tab.wait_until(lambda: len(followed.attached) > 1)
    assert (followed.attached[1]["resumed"], len(followed.attached[1]["messages"])) == (False, 1)


async def test_an_attach_without_the_database_is_refused_and_may_be_retried(tab: Tab, monkeypatch: Any) -> None:
    session = await new_session()
    with monkeypatch.context() as patch:
        patch.setattr(catchup, "read", lambda *_, **__: (_ for _ in ()).throw(OperationalError("away")))
        answer = await error(tab, {"type": "attach", "session": session.pk})
        assert (answer["code"], answer["retryable"]) == ("storage_unavailable", True)
    assert (await tab.attach(session.pk)).attached


class UnreadableStore:
    """While `on`, the store can't be read to catch up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        self.asked = 0
        read = catchup.read

        def read_or_fail(*arguments: Any, **how: Any) -> Any:
            self.asked += 1
            if self.on:
                raise OperationalError("the server closed the connection unexpectedly")
            return read(*arguments, **how)

        monkeypatch.setattr(catchup, "read", read_or_fail)


async def test_a_reader_gets_its_lost_frames_when_the_database_is_back(tab: Tab, monkeypatch: Any) -> None:
    session = await new_session()
    unreadable = UnreadableStore(monkeypatch)
    followed = await tab.attach(session.pk)
    answer = await AnswerWriter(tab.process, session).begin()
    await answer.say("one ")
    await tab.wait_until(lambda: followed.text == "one ")
    unreadable.on = True
    tab.connection._followed[session.pk].resync()
    async with asyncio.timeout(DEADLINE_S):
        while unreadable.asked < 2:
            await asyncio.sleep(0.01)
    await answer.say("two ")
    unreadable.on = False
    await tab.wait_until(lambda: followed.text == "one two ")
    await answer.say("three")
    await tab.wait_until(lambda: followed.text == "one two three")
    assert tab.errors == []


async def test_a_reader_behind_in_a_deleted_session_is_detached(limit: Any, process: Process) -> None:
    limit(WINDOW_BYTES=1024)
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        tab.acknowledges = False
        followed = await tab.attach(session.pk)
        answer = await AnswerWriter(process, session).begin()
        for _ in range(5):
            await answer.say("x" * 400)
        await threads.run(models.Session.objects.filter(pk=session.pk).update, owner="user:1")
        tab.acknowledges = True
        await tab._acknowledge(session.pk)
        await tab.wait_until(lambda: followed.detached)
        assert followed.detached and followed.detached["error"]["code"] == "not_found"
        assert tab.errors == []


# Acknowledge


async def test_acknowledging_an_unattached_session_is_an_error(tab: Tab) -> None:
    session = await new_session()
    answer = await error(tab, {"type": "ack", "session": session.pk, "cursor": f"{session.epoch}-1"})
    assert (answer["code"], answer["session"]) == ("not_attached", session.pk)


async def test_an_acknowledgement_of_another_epoch_is_ignored(tab: Tab) -> None:
    session = await new_session()
    await tab.attach(session.pk)
    tab.acknowledges = False
    await tab.send({"type": "ack", "session": session.pk, "cursor": "000000000000-5"})
    assert tab.errors == []
    assert tab.connection.window.used > 0


async def test_a_reader_without_acknowledgements_falls_behind_and_gets_the_state_once_it_acknowledges(
    limit: Any, process: Process
) -> None:
    limit(WINDOW_BYTES=4096)
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        tab.acknowledges = False
        followed = await tab.attach(session.pk)
        answer = await AnswerWriter(process, session).begin()
        for number in range(40):
            await answer.say(f"{number:03} " * 50)
        attachment = tab.connection._followed[session.pk].attachment
        assert attachment.state is State.BEHIND
        assert attachment.window.used <= 4096
        assert len(followed.text) < 40 * 200
        await answer.end()
        tab.acknowledges = True
        await tab._acknowledge(session.pk)
        await tab.wait_until(lambda: followed.messages[answer.response.uid].status == "complete")
        assert followed.text == "".join(f"{number:03} " * 50 for number in range(40))
        assert (followed.attached[-1]["resumed"], len(followed.attached), followed.gaps) == (True, 2, 0)


async def test_a_reader_behind_gets_only_the_missing_content(limit: Any, process: Process) -> None:
    limit(WINDOW_BYTES=4096)
    session = await new_session()
    async with Tab(process, OWNER) as tab:
        followed = await tab.attach(session.pk)
        answer = await AnswerWriter(process, session).begin()
        await answer.say("x" * 3000)
        await tab.wait_until(lambda: len(followed.text) == 3000)
        window = tab.connection._followed[session.pk].attachment.window
        async with asyncio.timeout(DEADLINE_S):
            while window.used:  # until it is acknowledged
                await asyncio.sleep(0.01)
        await answer.say("y" * 5000)  # more than a window
        await tab.wait_until(lambda: len(followed.text) == 8000)
        assert len(json.dumps(followed.attached[-1])) < 9000


async def test_a_reader_that_stays_behind_is_closed_with_its_error(limit: Any, process: Process) -> None:
    limit(WINDOW_BYTES=1024, SLOW_READER_MS=200)
    session = await new_session()
    async with Tab(process, OWNER) as tab, Tab(process, OWNER) as other:
        tab.acknowledges = False
        await tab.attach(session.pk)
        followed = await other.attach(session.pk)
        answer = await AnswerWriter(process, session).begin()
        for _ in range(5):
            await answer.say("x" * 300)
        await tab.wait_until(lambda: tab.close_codes)
        assert (tab.close_codes, tab.errors[-1]["code"]) == ([4408], "slow_reader")
        await other.wait_until(lambda: len(followed.text) == 1500)
        assert other.close_codes == []


# Sessions do not hold each other up


async def test_a_small_session_continues_while_a_large_one_fills_the_window(limit: Any, process: Process) -> None:
    limit(WINDOW_BYTES=2048)
    large, small = await new_session(), await new_session()
    async with Tab(process, OWNER) as tab:
        await tab.attach(large.pk)
        followed = await tab.attach(small.pk)
        for session, text in ((large, "x" * 4000), (small, "a word")):
            answer = await AnswerWriter(process, session).begin()
            await answer.say(text)
            await answer.end()
        await tab.wait_until(lambda: followed.text == "a word")
        await tab.wait_until(lambda: len(tab.sessions[large.pk].text) == 4000)


# Limits


async def test_a_flood_of_frames_closes_the_connection_with_its_error(limit: Any, process: Process) -> None:
    limit(FRAMES_PER_SECOND=5)
    async with Tab(process, OWNER) as tab:
        for _ in range(300):  # a machine that stands still meanwhile lets it have some more
            if not tab.connection.closed:
                await tab.send({"type": "ping"})
        await tab.wait_until(lambda: tab.close_codes and tab.errors)
        assert (tab.errors[-1]["code"], tab.close_codes) == ("rate_limited", [4429])


async def test_the_connections_of_an_owner_are_limited(limit: Any, process: Process) -> None:
    limit(CONNECTIONS_PER_OWNER=2)
    async with Tab(process, OWNER), Tab(process, OWNER):
        with pytest.raises(Exception, match="too_many_connections"):
            await Tab(process, OWNER).connect()
        async with Tab(process, "guest:2"):
            pass
    async with Tab(process, OWNER):
        pass


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("nonsense", "bad_json"),
        ("[]", "bad_frame"),
        ("null", "bad_frame"),
        ('{"type": 1}', "bad_frame"),
        ('{"type": "published"}', "unknown_type"),
        ('{"type": "attach"}', "bad_frame"),
        ('{"type": "attach", "session": "short"}', "bad_session_id"),
        ("[" * 5000, "bad_json"),
        ('{"type": "ping", "x": "\\ud800"}', "bad_json"),
    ],
)
async def test_an_invalid_frame_gets_an_error_and_keeps_the_connection(tab: Tab, text: str, code: str) -> None:
    assert (await error(tab, text))["code"] == code
    session = await new_session()
    assert (await tab.attach(session.pk)).attached


async def test_a_frame_that_is_too_large_closes_the_connection(tab: Tab) -> None:
    answer = await error(tab, '{"type": "ping", "x": "' + "x" * 70_000 + '"}')
    assert (answer["code"], tab.close_codes) == ("frame_too_large", [4413])


# Heartbeats


async def test_a_ping_is_answered_with_the_tails(tab: Tab) -> None:
    session = await new_session()
    await threads.run(a_message, session, "a turn")
    await tab.attach(session.pk)
    await tab.send({"type": "ping"})
    await tab.wait_until(lambda: tab.frames[-1]["type"] == "heartbeat")
    assert tab.frames[-1]["tails"] == {session.pk: f"{session.epoch}-1"}
