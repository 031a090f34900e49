"""Limits per person and per address: refused by name; others, back ends and honest reconnects are unaffected."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from sessions_app import conf
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.core.tokens import Grant
from sessions_app.database import threads
from sessions_app.fairness import answers, rates, requests
from sessions_app.fairness.payer import Payer, payer_of
from sessions_app.fairness.turns import Turns
from sessions_app.process import Process
from tests.support.stored import a_message, a_session
from tests.support.tab import Tab
from tests.support.writer import delta, start, text_start

pytestmark = pytest.mark.django_db(transaction=True)

ALICE, BOB = "guest:alice", "guest:bob"
HERE, THERE = "203.0.113.1", "203.0.113.2"
LONG = "x" * 30_000
BUDGET = 65_536  # bytes a minute: two attaches with LONG in them
BACKEND = Grant("jti", 0, 2**40, frozenset({"read", "send", "publish"}), ("*",))


@pytest.fixture
def limit(settings: Any) -> Any:
    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


@pytest.fixture
async def process(settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "ANSWER_BYTES_PER_MINUTE": BUDGET}
    monkeypatch.setattr(answers, "WAIT_S", 0.1)
    process = Process()
    await process.start()
    yield process
    await process.stop()


async def a_long_session(owner: str) -> str:
    def stored() -> str:
        session = a_session(owner)
        a_message(session, LONG)
        return session.pk

    return await threads.run(stored)


async def spent(tab: Tab, session: str) -> dict[str, Any]:
    """Attach until it is refused; return the error."""
    for _ in range(10):
        await tab.attach(session, cursor=None)
        if tab.errors:
            return tab.errors[-1]
    raise AssertionError("nothing was refused")


async def attach(tab: Tab, session: str) -> list[str]:
    """Attach afresh; return the codes of the errors."""
    seen = len(tab.errors)
    await tab.attach(session, cursor=None)
    return [error["code"] for error in tab.errors[seen:]]


# Answers


async def test_attaches_beyond_the_bytes_of_a_person_are_refused_with_a_time_and_the_socket_stays(
    process: Process,
) -> None:
    mine, others = await a_long_session(ALICE), await a_long_session(BOB)
    async with Tab(process, ALICE) as alice, Tab(process, BOB) as bob:
        error = await spent(alice, mine)
        assert (error["code"], error["session"], error["retryable"]) == ("read_limit", mine, True)
        assert 100 <= error["retry_after_ms"] <= 60_000
        assert await attach(bob, others) == []
        assert alice.close_codes == []
        await alice.send({"type": "ping"})


async def test_a_second_socket_and_another_session_count_for_the_same_person(process: Process) -> None:
    first, second = await a_long_session(ALICE), await a_long_session(ALICE)
    async with Tab(process, ALICE) as one, Tab(process, ALICE) as two:
        await spent(one, first)
        assert await attach(two, second) == ["read_limit"]


async def test_an_attach_waits_for_a_debt_that_is_soon_paid(process: Process, limit: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(answers, "WAIT_S", 20.0)
    limit(ANSWER_BYTES_PER_MINUTE=60 * 70_000)
    payer = Payer(ALICE, "")
    rates.spend("answer", payer, 61 * 70_000)  # a second in debt
    session = await a_long_session(ALICE)
    async with Tab(process, ALICE) as alice:
        assert await attach(alice, session) == []
        assert rates.wait("answer", payer) < 1


async def test_a_client_that_reconnects_often_is_never_refused(process: Process, limit: Any) -> None:
    """Forty resumes at once with a thirtieth of the default budget: far more than a telephone in a tunnel makes."""
    limit(ANSWER_BYTES_PER_MINUTE=6_291_456 // 30)
    session = await a_long_session(ALICE)
    async with Tab(process, ALICE) as tab:
        followed = await tab.attach(session)
        for _ in range(40):
            await tab.disconnect()
            await tab.connect()
            await tab.attach(session, cursor=str(followed.cursor))
        assert tab.errors == [] and len(followed.attached) == 41


async def test_all_people_of_an_address_together_have_a_budget(process: Process, limit: Any) -> None:
    limit(PEOPLE_PER_ADDRESS=2)
    codes = []
    for number in range(10):
        owner = f"guest:{number}"
        async with at(process, owner, HERE) as tab:
            codes += await attach(tab, await a_long_session(owner))
    assert set(codes) == {"read_limit"}
    async with at(process, BOB, THERE) as bob:
        assert await attach(bob, await a_long_session(BOB)) == []


async def test_a_back_end_has_no_budget(process: Process) -> None:
    session = await a_long_session("ext:site")
    async with at(process, "ext:site", HERE, BACKEND) as tab:
        for _ in range(10):
            assert await attach(tab, session) == []


async def test_a_reader_that_was_behind_waits_for_its_state_and_is_not_refused(process: Process) -> None:
    payer = Payer(ALICE, HERE)
    rates.spend("answer", payer, BUDGET + BUDGET // 600)  # 0.1 s in debt, which is WAIT_S
    async with process.connections.answers.turn(payer, is_patient=True) as bill:
        bill.charge(1)


async def test_live_text_counts_and_in_debt_it_comes_as_state(process: Process, limit: Any) -> None:
    session = (await threads.run(a_session, ALICE)).pk
    async with Tab(process, ALICE) as alice, Tab(process, BOB) as bob:
        followed = await alice.attach(session)
        response = process.writers.unprompted(session, agent="test")
        for chunk in (start(response.uid), text_start(), *(delta("word " * 200) for _ in range(10))):
            await response.write(chunk)
            await response.flush()
        assert rates.wait("answer", alice.connection.payer) == 0
        await alice.wait_until(lambda: len(followed.text) == 10_000)
        rates.spend("answer", alice.connection.payer, BUDGET)
        await process.connections.tick()
        assert (alice.connection.window.limit, bob.connection.window.limit) == (0, conf.settings.window_bytes)
        await response.write(delta("the end"))
        await response.flush()
        assert "the end" not in followed.text
        limiter = rates.limiter("answer", "owner", BUDGET, 60.0)
        limiter.spend(ALICE, time.monotonic(), -2 * BUDGET)  # time passes
        await alice.wait_until(lambda: followed.text.endswith("the end"))


async def test_a_person_has_one_answer_read_at_a_time_and_an_address_two_threads() -> None:
    turns = answers.Answers()
    reading: list[str] = []
    go = threading.Event()

    def reads(owner: str) -> None:
        reading.append(owner)
        assert go.wait(10)

    async def read(owner: str, address: str) -> None:
        async with turns.turn(Payer(owner, address), is_patient=True) as bill:
            await bill.read(partial(reads, owner))

    people = [(ALICE, HERE), (ALICE, THERE), (BOB, HERE), ("guest:carol", HERE), ("guest:dave", THERE)]
    tasks = [asyncio.create_task(read(*each)) for each in people]
    async with asyncio.timeout(5):
        while len(reading) < 3:
            await asyncio.sleep(0)
    await threads.run(lambda: None)  # the fourth thread is free
    assert sorted(reading) == [ALICE, BOB, "guest:dave"]
    go.set()
    await asyncio.gather(*tasks)
    assert len(reading) == len(people)
    assert turns._people._queues == turns._addresses._queues == turns._lanes._lanes == {}


async def test_no_more_than_so_many_answers_of_an_address_are_next() -> None:
    turns, entered, go = answers.Answers(), list[str](), asyncio.Event()

    async def enter(owner: str) -> None:
        async with turns.turn(Payer(owner, HERE), is_patient=True):
            entered.append(owner)
            await go.wait()

    tasks = [asyncio.create_task(enter(f"guest:{n}")) for n in range(2 * answers.OF_ONE_ADDRESS)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(entered) == answers.OF_ONE_ADDRESS
    go.set()
    await asyncio.gather(*tasks)


async def test_a_person_has_two_requests_worked_on_at_a_time_and_an_address_three() -> None:
    turns, working, go = requests.Requests(), list[str](), asyncio.Event()

    async def work(owner: str, address: str) -> None:
        async with turns.turn(Payer(owner, address)):
            working.append(owner)
            await go.wait()

    people = [(ALICE, HERE)] * 3 + [(BOB, HERE)] * 2 + [("guest:carol", THERE)] * 2
    tasks = [asyncio.create_task(work(*each)) for each in people]
    for _ in range(50):
        await asyncio.sleep(0)
    assert working == [ALICE, ALICE, BOB, "guest:carol", "guest:carol"]
    go.set()
    await asyncio.gather(*tasks)
    assert len(working) == len(people)


async def test_a_cancelled_turn_leaves_nothing_behind() -> None:
    turns = Turns(1)

    async def wait() -> None:
        async with turns.turn("a"):
            pass

    async with turns.turn("a"):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert turns.count("a") == 2
        waiting.cancel()
        await asyncio.wait({waiting})
    assert turns._queues == {}


# Sockets


def at(process: Process, owner: str, address: str, grant: Grant | None = None) -> Tab:
    """Return a tab at an address."""
    return Tab(process, owner, address=address, grant=grant)


async def test_the_connections_of_an_address_are_limited_and_those_of_others_are_not(
    process: Process, limit: Any
) -> None:
    limit(CONNECTIONS_PER_OWNER=2, PEOPLE_PER_ADDRESS=2)
    tabs = [await at(process, f"guest:{number}", HERE).connect() for number in range(4)]
    with pytest.raises(HoldfastError) as refused:
        await at(process, "guest:5", HERE).connect()
    assert (refused.value.code, refused.value.kind.close_code) == ("too_many_connections", 4429)
    assert "from one address" in refused.value.message
    tabs.append(await at(process, "guest:5", THERE).connect())
    tabs.append(await at(process, "ext:site", HERE, BACKEND).connect())
    await tabs[0].disconnect()
    tabs.append(await at(process, "guest:5", HERE).connect())
    for tab in tabs:
        await tab.disconnect()
    assert not process.connections._per_address and not process.connections._per_owner


async def test_a_back_ends_connections_take_none_of_its_addresss_places(process: Process, limit: Any) -> None:
    limit(CONNECTIONS_PER_OWNER=3, PEOPLE_PER_ADDRESS=1)
    tabs = [await at(process, "ext:site", HERE, BACKEND).connect() for _ in range(3)]
    tabs += [await at(process, f"guest:{number}", HERE).connect() for number in range(3)]
    for tab in tabs:
        await tab.disconnect()


async def test_frames_of_all_sockets_of_a_person_are_read_at_one_pace(process: Process, limit: Any) -> None:
    limit(FRAMES_PER_SECOND=5)
    loop = asyncio.get_running_loop()
    tabs = [await Tab(process, ALICE).connect() for _ in range(6)]
    began = loop.time()
    for _ in range(5):
        await asyncio.gather(*(tab.send({"type": "ping"}) for tab in tabs))
    assert loop.time() - began > 0.4  # ten more than were there at once, at twenty a second
    assert [tab.close_codes for tab in tabs] == [[]] * 6
    async with Tab(process, BOB) as bob:
        began = loop.time()
        await bob.send({"type": "ping"})
        assert loop.time() - began < 0.2
    for tab in tabs:
        await tab.disconnect()


# Signals and what they store


def message(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"type": "signal", "kind": "message", "payload": {"parts": [{"type": "text", "text": text}]}} | more


async def codes_of(tab: Tab, session: str, count: int, text: str = "Hello") -> list[str]:
    """Send messages; return what each receipt says: its error's code, or accepted."""
    receipts = [tab.receipts[await tab.say(session, text)] for _ in range(count)]
    return [receipt.get("error", {}).get("code", receipt["status"]) for receipt in receipts]


async def test_the_signals_of_an_address_are_limited(process: Process, limit: Any) -> None:
    limit(SIGNALS_PER_MINUTE=2, PEOPLE_PER_ADDRESS=2)
    got = []
    for number in range(3):
        owner = f"guest:{number}"
        async with at(process, owner, HERE) as tab:
            got += await codes_of(tab, (await threads.run(a_session, owner)).pk, 2)
    assert got == ["accepted"] * 4 + ["rate_limited"] * 2
    async with at(process, BOB, THERE) as bob:
        assert await codes_of(bob, (await threads.run(a_session, BOB)).pk, 1) == ["accepted"]


async def test_the_bytes_that_a_person_sends_are_limited(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rates.RATES, "sent", rates.Rate(lambda settings: 65_536, rates.HOUR_S))
    session = (await threads.run(a_session, ALICE)).pk
    async with Tab(process, ALICE) as alice:
        assert await codes_of(alice, session, 3, LONG) == ["accepted", "accepted", "rate_limited"]
        assert await codes_of(alice, session, 1) == ["accepted"]


async def test_a_refused_person_takes_nothing_from_their_address(process: Process, limit: Any) -> None:
    limit(SIGNALS_PER_MINUTE=2, PEOPLE_PER_ADDRESS=2)
    async with at(process, ALICE, HERE) as alice, at(process, BOB, HERE) as bob:
        assert (await codes_of(alice, (await threads.run(a_session, ALICE)).pk, 20)).count("accepted") == 2
        assert await codes_of(bob, (await threads.run(a_session, BOB)).pk, 2) == ["accepted"] * 2


# People and addresses


def test_a_flood_of_people_takes_bounded_memory_and_resets_no_limit(
    limit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "MAX_COUNTED", 50)
    limit(SIGNALS_PER_MINUTE=1, PEOPLE_PER_ADDRESS=10)
    assert rates.take("signal", Payer(ALICE, THERE)) == 0
    for number in range(1000):
        rates.take("signal", Payer(f"guest:{number}", f"2001:db8:0:{number:x}::/64"))
    assert rates.take("signal", Payer(ALICE, THERE)) > 0
    people = rates.limiter("signal", "owner", 1, 60.0)
    assert len(people._buckets) <= 50


def test_an_address_at_its_limit_brings_no_new_people_into_the_table(limit: Any) -> None:
    limit(SIGNALS_PER_MINUTE=1, PEOPLE_PER_ADDRESS=3)
    for number in range(100):
        rates.take("signal", Payer(f"guest:{number}", HERE))
    assert len(rates.limiter("signal", "owner", 1, 60.0)._buckets) == 3


def test_only_the_scope_publish_makes_a_back_end() -> None:
    reader = Grant("jti", 0, 2**40, frozenset({"read", "send"}), ("*",))
    assert payer_of(Identity("ext:site", grant=BACKEND), HERE).is_backend
    assert not payer_of(Identity("ext:site", grant=reader), HERE).is_backend
    assert payer_of(None, HERE) == Payer("", HERE)


def test_the_frame_names_the_time_to_wait() -> None:
    problem = HoldfastError("read_limit", retry_after_s=1.2)
    assert json.loads(frames.error(problem, session="s"))["retry_after_ms"] == 1200
