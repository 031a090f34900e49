"""Publishing from elsewhere: each batch counts once, in its order, whichever process takes it; zombies are fenced."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from sessions_app import executor, models, publishing, signals, statements, store
from sessions_app.api.throttles import buckets
from sessions_app.connections import PUBLISHING
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import SCOPES, Grant
from sessions_app.identity import Identity
from sessions_app.leases import DEAD
from sessions_app.models import JournalEntry, Message, Run, Signal, Worker
from sessions_app.process import Process
from tests.support.bearer import Socket
from tests.support.requests import a_session_of, running, told
from tests.support.stored import a_message
from tests.support.tokens import KEYS, bearer, token
from tests.support.writer import Chunk, begun, delta, finish, said, start

__all__ = ["running"]  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)

AGENT = Identity("agent:billing", grant=Grant("t", 0, 2**40, frozenset(SCOPES), ("*",)))
OTHER = AGENT._replace(owner="agent:other")
UID = "m_answer"


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": KEYS, "JOURNAL_EVENTS": 4}


@pytest.fixture
async def second(running: Process) -> AsyncIterator[Process]:
    """Another server process on the same database."""
    other = Process()
    await other.start()
    yield other
    await other.stop()


@pytest.fixture
async def session() -> str:
    return await a_session_of("ext:alice")


class Producer:
    """What one publishes, batch by batch, to any process."""

    def __init__(self, session: str, *, who: Identity = AGENT, name: str = "producer", epoch: int = 1) -> None:
        self.who = who
        self.frame = ClientFrame("publish", session, message=UID, producer=name, epoch=epoch)

    async def publish(self, here: Process, sequence: int, *chunks: Chunk, **changes: Any) -> int:
        frame = replace(self.frame, sequence=sequence, chunks=list(chunks), **changes)
        return await publishing.publish(here, self.who, frame)

    async def refused(self, here: Process, sequence: int, *chunks: Chunk, **changes: Any) -> str:
        with pytest.raises(HoldfastError) as refusal:
            await self.publish(here, sequence, *chunks, **changes)
        return f"{refusal.value.code} {refusal.value.message.rpartition(': ')[2]}" if chunks else refusal.value.code

    async def code(self, here: Process, sequence: int, *chunks: Chunk, **changes: Any) -> str:
        return (await self.refused(here, sequence, *chunks, **changes)).split()[0]


@pytest.fixture
def producer(session: str) -> Producer:
    return Producer(session)


async def stored(session: str, uid: str = UID) -> tuple[str, str]:
    """The status and text of a message."""
    message = await executor.run(store.message, session, uid)
    assert message
    return message.status, "".join(part.get("text", "") for part in message.parts)


async def run_of(session: str) -> Run:
    return await executor.run(lambda: Run.objects.select_related("worker").get(session=session))


# Once, in order


async def test_the_first_batch_begins_the_response_and_its_run(
    running: Process, producer: Producer, session: str
) -> None:
    assert await producer.publish(running, 1, *begun(UID, "Hel")) == 3
    run = await run_of(session)
    assert (run.uid, run.status, run.agent, run.sequence, run.serial) == (UID, "running", "", 1, 3)
    assert (run.worker.producer, run.worker.epoch) == ("agent:billing producer", 1)
    assert await producer.publish(running, 2, delta("lo"), finish()) == 5
    assert await stored(session) == ("complete", "Hello")
    assert ((await run_of(session)).status, await executor.run(JournalEntry.objects.count)) == ("ended", 0)


async def test_a_repeat_is_answered_as_the_first_time(running: Process, second: Process, producer: Producer) -> None:
    batches = [begun(UID, "a"), [delta("b")], [delta("c"), finish()]]
    serials = [await producer.publish(running, number, *batch) for number, batch in enumerate(batches, 1)]
    for here in (running, second):
        for number, batch in enumerate(batches, 1):
            assert await producer.publish(here, number, *batch) == serials[-1]
    assert await stored(producer.frame.session) == ("complete", "abc")


async def test_a_gap_is_refused_and_names_what_is_expected(running: Process, producer: Producer, session: str) -> None:
    assert await producer.refused(running, 2, delta("b")) == "out_of_order 1 is expected."
    await producer.publish(running, 1, *begun(UID, "a"))
    assert await producer.refused(running, 3, delta("c")) == "out_of_order 2 is expected."
    await producer.publish(running, 2, delta("b"))
    assert await stored(session) == ("streaming", "ab")


async def test_what_is_sent_together_is_taken_in_order(running: Process, producer: Producer, session: str) -> None:
    """All in one transaction, as a client sends it that doesn't wait."""
    outcomes: list[Any] = []
    frames = [
        (1, begun(UID, "a")),
        (2, [delta("b")]),
        (2, [delta("b")]),
        (4, [delta("d")]),
        (3, [delta("c"), finish()]),
    ]
    with running.ingest._changed:
        for sequence, chunks in frames:
            frame = replace(producer.frame, sequence=sequence, chunks=chunks)
            running.producers._known.add(models.derived_id("agent:billing producer", 1))
            await publishing.submit(running, AGENT, frame, outcomes.append)
    async with asyncio.timeout(10):
        while len(outcomes) < len(frames):
            await asyncio.sleep(0.01)
    assert {type(outcome) for outcome in outcomes} == {HoldfastError}  # nobody has registered the producer
    await executor.run(
        lambda: publishing._register(models.derived_id("agent:billing producer", 1), "agent:billing producer", 1)
    )
    outcomes.clear()
    with running.ingest._changed:
        for sequence, chunks in frames:
            frame = replace(producer.frame, sequence=sequence, chunks=chunks)
            await publishing.submit(running, AGENT, frame, outcomes.append)
    async with asyncio.timeout(10):
        while len(outcomes) < len(frames):
            await asyncio.sleep(0.01)
    codes = [outcome.code if isinstance(outcome, HoldfastError) else outcome.serial for outcome in outcomes]
    assert codes == [3, 4, 4, "out_of_order", 6]
    assert await stored(session) == ("complete", "abc")


async def test_from_process_to_process_nothing_is_lost(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    """Each has the fold of what it wrote itself, which is older by then; conflated every four events."""
    await producer.publish(running, 1, *begun(UID))
    words = [f"{number} " for number in range(40)]
    for number, word in enumerate(words):
        await producer.publish((running, second)[number // 3 % 2], number + 2, delta(word))
    assert await stored(session) == ("streaming", "".join(words))
    await producer.publish(second, 42, finish())
    assert await stored(session) == ("complete", "".join(words))
    assert await producer.code(running, 43, delta("x")) == "fenced"


async def test_one_batch_to_two_processes_at_once_counts_once(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    for number, batch in enumerate([begun(UID), *([delta(f"{n} ")] for n in range(10)), [finish()]], 1):
        await asyncio.gather(*(producer.publish(here, number, *batch) for here in (running, second)))
    assert await stored(session) == ("complete", "0 1 2 3 4 5 6 7 8 9 ")


async def test_a_batch_whose_commit_failed_is_taken_again(
    running: Process, producer: Producer, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    with monkeypatch.context() as broken:
        broken.setattr(statements, "note_batches", _fails)
        assert await producer.code(running, 2, delta("b")) == "storage_unavailable"
    await producer.publish(running, 2, delta("b"))
    await producer.publish(running, 3, finish())
    assert await stored(session) == ("complete", "ab")


def _fails(*arguments: Any) -> Any:
    raise OperationalError("the disk is full")


# What is refused


async def test_a_refused_chunk_cuts_its_batch_short_and_the_batch_counts(
    running: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    wrong = [delta("b"), delta("x", "nothing"), delta("y")]
    for _ in range(2):  # what comes again is answered as the first time
        assert await producer.code(running, 2, *wrong) == "unknown_part"
    assert await producer.code(running, 3, delta("x", "nothing")) == "unknown_part"
    await producer.publish(running, 4, {"type": "error", "errorText": "I am broken"})
    assert await stored(session) == ("failed", "ab")


async def test_a_batch_with_what_is_no_chunk_is_refused_whole(
    running: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    for wrong, code in (
        ({"type": "nonsense"}, "unknown_chunk"),
        ({"type": "text-delta"}, "bad_chunk"),
        (7, "bad_chunk"),
    ):
        assert await producer.code(running, 2, delta("b"), wrong) == code  # type: ignore[arg-type]
    await producer.publish(running, 2, delta("b"))
    assert await stored(session) == ("streaming", "ab")


@pytest.mark.parametrize("chunk", [said("I am Alice"), delta("x"), finish(), start("m_another")])
async def test_a_response_begins_with_its_start(running: Process, producer: Producer, chunk: Chunk) -> None:
    """Nobody says a person's turn from elsewhere."""
    assert await producer.code(running, 1, chunk) == "bad_chunk"
    assert not await executor.run(Message.objects.exists) and not await executor.run(Run.objects.exists)


async def test_no_person_speaks_in_a_response(running: Process, producer: Producer) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    assert await producer.code(running, 2, said("I am Alice")) == "message_exists"


async def test_a_message_that_is_there_is_not_taken_over(running: Process, session: str) -> None:
    def a_turn() -> None:
        a_message(models.Session.objects.get(pk=session), uid=UID)

    await executor.run(a_turn)
    own = running.respond(session, agent="test")
    await own.write(start(own.uid))
    await own.flush()
    producer = Producer(session)
    for uid in (UID, own.uid):
        assert await producer.code(running, 1, start(uid), message=uid) == "message_exists"
        assert await producer.code(running, 2, delta("x"), message=uid) == "out_of_order"
    assert await stored(session) == ("complete", "Hello")


async def test_one_response_has_one_producer(running: Process, producer: Producer, session: str) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    for other in (Producer(session, name="another1"), Producer(session, who=OTHER), Producer(session, epoch=2)):
        assert await other.code(running, 1, *begun(UID)) == "message_exists"
        assert await other.code(running, 2, delta("x")) == "fenced"
    assert await stored(session) == ("streaming", "a")


@pytest.mark.parametrize("whose", ["nobody's", "expired", "being removed"])
async def test_a_session_that_isnt_there_takes_nothing(running: Process, whose: str) -> None:
    sessions = {"expired": {"hours": 100}, "being removed": {"owner": ""}}
    session = await a_session_of(**{"owner": "ext:alice"} | sessions[whose]) if whose in sessions else "A" * 22
    code = await Producer(session).code(running, 1, *begun(UID))
    assert code == ("expired" if whose == "expired" else "not_found")


async def test_it_needs_the_scope_and_the_session(running: Process, session: str) -> None:
    grant = AGENT.grant
    assert grant
    read_only = AGENT._replace(grant=grant._replace(scopes=frozenset({"read", "send", "approve", "cancel"})))
    for who, code in (
        (read_only, "forbidden_scope"), (Identity("ext:alice"), "forbidden_scope"),
        (AGENT._replace(grant=grant._replace(sessions=("B" * 22,))), "not_found"),
    ):  # fmt: skip
        assert await Producer(session, who=who).code(running, 1, *begun(UID)) == code
    with pytest.raises(HoldfastError, match="forbidden_scope"):
        await publishing.beat(running, read_only, ClientFrame("beat", producer="producer", epoch=1))


# Fences and leases


async def test_a_later_epoch_fences_the_earlier_one_everywhere(running: Process, second: Process, session: str) -> None:
    zombie, heir = Producer(session), Producer(session, epoch=2)
    await zombie.publish(running, 1, *begun(UID, "a"))
    await heir.publish(second, 1, *begun("m_other", "b"), message="m_other")
    assert await zombie.code(running, 2, delta("x")) == "fenced"
    assert await zombie.code(running, 1, *begun("m_new"), message="m_new") == "fenced"
    assert await zombie.code(second, 2, delta("x")) == "fenced"
    for here in (running, second):
        with pytest.raises(HoldfastError, match="fenced"):
            await publishing.beat(here, AGENT, ClientFrame("beat", producer="producer", epoch=1))
    await running._reaper.look()
    assert await stored(session) == ("interrupted", "a")
    await heir.publish(running, 2, finish(), message="m_other")
    assert await stored(session, "m_other") == ("complete", "b")


async def test_nobody_fences_anothers_producer(running: Process, session: str) -> None:
    mine, theirs = Producer(session), Producer(session, who=OTHER, epoch=2**53)
    await mine.publish(running, 1, *begun(UID, "a"))
    await theirs.publish(running, 1, *begun("m_other"), message="m_other")
    await mine.publish(running, 2, finish())
    assert await stored(session) == ("complete", "a")


async def test_all_that_it_sends_are_beats(running: Process, producer: Producer, session: str) -> None:
    beats: list[int] = []
    for step in (
        producer.publish(running, 1, *begun(UID, "a")), producer.publish(running, 2, delta("b")),
        producer.publish(running, 2, delta("b")),
        publishing.beat(running, AGENT, ClientFrame("beat", producer="producer", epoch=1)),
    ):  # fmt: skip
        await step
        beats.append((await run_of(session)).worker.beats)
    assert beats == [1, 2, 3, 4]


async def test_what_a_dead_one_left_open_is_interrupted_as_it_is_stored(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    """By a process that has an older fold of it; and the producer, when it is back, is told so."""
    await producer.publish(running, 1, *begun(UID, "a"))
    for number in range(2, 9):
        await producer.publish(second, number, delta(f"{number}"))
    await executor.run(lambda: Worker.objects.exclude(producer="").update(alive=False))
    await running._reaper.look()
    assert await stored(session) == ("interrupted", "a2345678")
    message = await executor.run(store.message, session, UID)
    assert message and message.reason == DEAD
    assert await producer.publish(second, 8, delta("8")) > 0  # that much is stored
    assert await producer.code(second, 9, delta("x")) == "fenced"
    await producer.publish(second, 1, *begun("m_next"), message="m_next")  # it lives on


# What people do meanwhile


async def signal(here: Process, session: str, kind: str, id: str, **payload: Any) -> Any:
    sent = ClientFrame("signal", session, id=id, kind=kind, payload=payload)
    receipt, problem = await signals.accept(here, Identity("ext:alice"), sent, now=0.0)
    assert problem is None
    return await executor.run(lambda: Signal.objects.get(uid=id))


async def test_who_stops_it_has_the_last_word(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    """At a process that has an older fold of it; its agent isn't asked."""
    await producer.publish(running, 1, *begun(UID, "a"))
    await producer.publish(second, 2, delta("b"))
    stop = await signal(running, session, "cancel", "stop-0001")
    assert stop.status == "applied" and await stored(session) == ("cancelled", "ab")
    assert await producer.code(second, 3, delta("x")) == "fenced"
    assert await producer.publish(second, 2, delta("b")) > 0
    assert await stored(session) == ("cancelled", "ab")


async def test_what_is_meant_for_it_is_a_question_of_its_own(
    running: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    steer = await signal(running, session, "steer", "steer-001", parts=[{"type": "text", "text": "Shorter!"}])
    assert steer.status == "applied" and await stored(session, "steer-001") == ("complete", "Shorter!")
    await producer.publish(running, 2, finish())
    assert await stored(session) == ("complete", "a")


# Over HTTP


async def post(path: str, body: Any, text: str) -> Any:
    from django.test import AsyncClient

    client = AsyncClient(enforce_csrf_checks=True)
    return await client.post(path, json.dumps(body), content_type="application/json", headers=bearer(text))


def batch(sequence: int, *chunks: Chunk, **changes: Any) -> dict[str, Any]:
    return {"message": UID, "producer": "producer", "epoch": 1, "sequence": sequence, "chunks": list(chunks)} | changes


async def test_a_batch_is_posted(session: str) -> None:
    path, agent = f"/api/sessions/{session}/publish/", token(sub="agent:billing", scope="publish")
    for _ in range(2):
        response = await post(path, batch(1, *begun(UID, "a")), agent)
        assert response.json() == {"type": "published", "session": session, "message": UID, "sequence": 1, "serial": 3}
    assert told(await post(path, batch(3, delta("x")), agent)) == (409, "out_of_order")
    assert told(await post(path, batch(2, delta("x")), token(scope="read"))) == (403, "forbidden_scope")
    assert (await post("/api/beat/", {"producer": "producer", "epoch": 1}, agent)).status_code == 204
    assert (await run_of(session)).worker.beats == 4
    assert (await post(path, batch(1, *begun("m_2"), message="m_2", epoch=2), agent)).status_code == 200
    assert told(await post("/api/beat/", {"producer": "producer", "epoch": 1}, agent)) == (409, "fenced")


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "answer"}, {"message": "m_"}, {"message": "m_" + "x" * 63}, {"message": "m_é"}, {"message": 7},
        {"producer": "short"}, {"producer": "x" * 65}, {"producer": "a b c d e"}, {"producer": None},
        {"epoch": -1}, {"epoch": 2**53 + 1}, {"epoch": True}, {"epoch": "1"}, {"epoch": 1.5},
        {"sequence": 0}, {"sequence": -1}, {"sequence": True}, {"sequence": "1"}, {"sequence": 2**31 + 1},
        {"chunks": []}, {"chunks": {}}, {"chunks": [delta("x")] * 1025}, {"chunks": None},
    ],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
async def test_what_is_no_batch_is_named(session: str, changes: dict[str, Any]) -> None:
    response = await post(f"/api/sessions/{session}/publish/", batch(1, *begun(UID)) | changes, token())
    assert told(response) == (400, "bad_frame")


async def test_a_flood_over_http_is_refused(session: str, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"PUBLISHES_PER_SECOND": 1}
    buckets.clear()
    for _ in range(500):  # a minute's worth at once, and what comes while they are sent
        answer = await post("/api/beat/", {"producer": "producer", "epoch": 1}, token())
        if answer.status_code != 204:
            break
    assert told(answer) == (429, "rate_limited")


# On a socket


def frame(session: str, sequence: int, *chunks: Chunk, **changes: Any) -> dict[str, Any]:
    return {"type": "publish", "session": session, **batch(sequence, *chunks), **changes}


async def test_a_socket_publishes_to_many_sessions_without_waiting_for_answers(session: str) -> None:
    sessions = [session, await a_session_of("ext:bob")]
    async with Socket(token(sub="agent:billing", scope="publish")) as socket:
        for sequence, chunks in enumerate([begun(UID), *([delta(f"{n} ")] for n in range(100)), [finish()]], 1):
            for each in sessions:
                socket.send(frame(each, sequence, *chunks))
        await socket.until(lambda: len(socket.said) == 1 + 2 * 102)
        for each in sessions:
            told_ = [one for one in socket.said[1:] if one["session"] == each]
            assert [one["sequence"] for one in told_] == list(range(1, 103))
            assert {one["type"] for one in told_} == {"published"} and told_[-1]["serial"] == 103
            assert await stored(each) == ("complete", "".join(f"{n} " for n in range(100)))


async def test_its_errors_name_the_batch_and_leave_it_open(session: str) -> None:
    async with Socket(token(scope="read publish", sessions=[session])) as socket:
        for sent, code in (
            (frame(session, 2, delta("x")), "out_of_order"), (frame(session, 1, delta("x")), "bad_chunk"),
            (frame(session, 1, *begun(UID), epoch="1"), "bad_frame"), (frame("B" * 22, 1, *begun(UID)), "not_found"),
        ):  # fmt: skip
            answer = await socket.ask(sent)
            named = (answer["session"], answer["id"], answer["sequence"])
            assert answer["code"] == code and named == (sent["session"], UID, sent["sequence"])
        assert (await socket.ask({"type": "publish", "message": 7, "sequence": "x"})).keys() == {
            "type", "code", "message", "retryable",
        }  # fmt: skip
        assert (await socket.ask({"type": "beat", "producer": "producer"}))["code"] == "bad_frame"
        assert socket.code is None


async def test_beats_on_a_socket(session: str) -> None:
    beat = {"type": "beat", "producer": "producer", "epoch": 2}
    async with Socket(token(sub="agent:billing", scope="publish")) as socket:
        socket.send(beat)
        assert (await socket.ask({"type": "ping"}))["type"] == "heartbeat"  # nothing is said to a beat
        worker = await executor.run(Worker.objects.get, producer="agent:billing producer")
        assert (worker.epoch, worker.beats) == (2, 1)
        assert (await socket.ask(beat | {"epoch": 1}))["code"] == "fenced"
    async with Socket(token(scope="read")) as socket:
        assert (await socket.ask(beat))["code"] == "forbidden_scope"


async def test_a_socket_that_publishes_too_fast_is_read_more_slowly(session: str, settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"PUBLISHES_PER_SECOND": 100, "FRAMES_PER_SECOND": 1}
    async with Socket(token(scope="publish")) as socket, Socket(token(scope="read")) as reader:
        for each in (socket, reader):
            for _ in range(250):
                each.send({"type": "ping"})
        await socket.until(lambda: len(socket.said) == 251)
        assert socket.code is None
        assert await reader.end() == ("rate_limited", 4429)


async def test_what_waits_to_be_stored_is_bounded(session: str, running: Process) -> None:
    async with Socket(token(scope="publish")) as socket:
        await socket.ask(frame(session, 1, *begun(UID)))
        [connection] = running.connections
        with running.ingest._changed:  # the writer stands still
            for sequence in range(2, 202):
                socket.send(frame(session, sequence, delta("x")))
            async with asyncio.timeout(10):
                while connection._publishing < PUBLISHING:
                    await asyncio.sleep(0.01)
            assert socket.inbox.qsize() >= 200 - PUBLISHING - 1
        await socket.until(lambda: socket.said[-1].get("sequence") == 201)
        assert await stored(session) == ("streaming", "x" * 200)
