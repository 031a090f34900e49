"""Remote publishing: each batch counts once, in order, at any process; zombies are fenced."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from sessions_app import models
from sessions_app.auth.identity import Identity
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.database import threads
from sessions_app.event_log import queries, sql
from sessions_app.event_log.producer_batches import REPEATS
from sessions_app.models import Message, Run, Signal, Worker
from sessions_app.process import Process
from sessions_app.publishing import producers as publishing
from sessions_app.runs.leases import DEAD
from tests.support.producers import AGENT, OTHER, UID, Producer, keys, producer, run_of, second, session, stored
from tests.support.requests import new_session, running
from tests.support.stored import a_message, hours_ago, unfolded
from tests.support.writer import Chunk, begun, delta, finish, start, user_message

__all__ = ["keys", "producer", "running", "second", "session"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

# Once, in order


async def test_the_first_batch_creates_the_response_and_its_run(
    running: Process, producer: Producer, session: str
) -> None:
    assert await producer.publish(running, 1, *begun(UID, "Hel")) == 3
    run = await run_of(session)
    assert (run.uid, run.status, run.agent, run.sequence, run.serial) == (UID, "running", "", 1, 3)
    assert (run.worker.producer, run.worker.epoch) == ("agent:billing producer", 1)
    assert await producer.publish(running, 2, delta("lo"), finish()) == 5
    assert await stored(session) == ("complete", "Hello")
    assert ((await run_of(session)).status, await threads.run(unfolded)) == ("ended", 0)


async def test_a_repeated_batch_gets_the_same_result(running: Process, second: Process, producer: Producer) -> None:
    batches = [begun(UID, "a"), [delta("b")], [delta("c"), finish()]]
    serials = [await producer.publish(running, number, *batch) for number, batch in enumerate(batches, 1)]
    for here in (running, second):
        for number, batch in enumerate(batches, 1):
            assert await producer.publish(here, number, *batch) == serials[-1]
    assert await stored(producer.frame.session) == ("complete", "abc")


async def test_a_gap_is_refused_with_the_expected_number(running: Process, producer: Producer, session: str) -> None:
    assert await producer.refused(running, 2, delta("b")) == "out_of_order 1 is expected"
    await producer.publish(running, 1, *begun(UID, "a"))
    assert await producer.refused(running, 3, delta("c")) == "out_of_order 2 is expected"
    await producer.publish(running, 2, delta("b"))
    assert await stored(session) == ("streaming", "ab")


async def test_pipelined_batches_are_stored_in_order(running: Process, producer: Producer, session: str) -> None:
    """All are in one transaction, as from a client that does not wait."""
    outcomes: list[Any] = []
    frames = [
        (1, begun(UID, "a")),
        (2, [delta("b")]),
        (2, [delta("b")]),
        (4, [delta("d")]),
        (3, [delta("c"), finish()]),
    ]
    with running.log_writer._changed:
        for sequence, chunks in frames:
            frame = replace(producer.frame, sequence=sequence, chunks=chunks)
            running.producers._known.add(models.derived_id("agent:billing producer", 1))
            await running.producers.submit(AGENT, frame, outcomes.append)
    async with asyncio.timeout(10):
        while len(outcomes) < len(frames):
            await asyncio.sleep(0.01)
    assert {type(outcome) for outcome in outcomes} == {HoldfastError}  # nobody has registered the producer
    worker = models.derived_id("agent:billing producer", 1)
    await running.log_writer.do(publishing._register, worker, "agent:billing producer", 1)
    outcomes.clear()
    with running.log_writer._changed:
        for sequence, chunks in frames:
            frame = replace(producer.frame, sequence=sequence, chunks=chunks)
            await running.producers.submit(AGENT, frame, outcomes.append)
    async with asyncio.timeout(10):
        while len(outcomes) < len(frames):
            await asyncio.sleep(0.01)
    codes = [outcome.code if isinstance(outcome, HoldfastError) else outcome.serial for outcome in outcomes]
    assert codes == [3, 4, 4, "out_of_order", 6]
    assert await stored(session) == ("complete", "abc")


async def test_a_producer_that_changes_process_loses_nothing(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    """Each process has an outdated fold of its own; conflated every four events."""
    await producer.publish(running, 1, *begun(UID))
    words = [f"{number} " for number in range(40)]
    for number, word in enumerate(words):
        await producer.publish((running, second)[number // 3 % 2], number + 2, delta(word))
    assert await stored(session) == ("streaming", "".join(words))
    await producer.publish(second, 42, finish())
    assert await stored(session) == ("complete", "".join(words))
    assert await producer.code(running, 43, delta("x")) == "fenced"


async def test_a_batch_sent_to_two_processes_at_once_counts_once(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    for number, batch in enumerate([begun(UID), *([delta(f"{n} ")] for n in range(10)), [finish()]], 1):
        await asyncio.gather(*(producer.publish(here, number, *batch) for here in (running, second)))
    assert await stored(session) == ("complete", "0 1 2 3 4 5 6 7 8 9 ")


async def test_a_batch_whose_commit_failed_may_be_sent_again(
    running: Process, producer: Producer, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    with monkeypatch.context() as broken:
        broken.setattr(sql, "note_batches", _fails)
        assert await producer.code(running, 2, delta("b")) == "storage_unavailable"
    await producer.publish(running, 2, delta("b"))
    await producer.publish(running, 3, finish())
    assert await stored(session) == ("complete", "ab")


def _fails(*arguments: Any) -> Any:
    raise OperationalError("the disk is full")


# What is refused


async def test_a_refused_chunk_truncates_its_batch_and_the_batch_counts(
    running: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    wrong = [delta("b"), delta("x", "nothing"), delta("y")]
    for _ in range(2):  # what comes again is answered as the first time
        assert await producer.code(running, 2, *wrong) == "unknown_part"
    assert await producer.code(running, 3, delta("x", "nothing")) == "unknown_part"
    await producer.publish(running, 4, {"type": "error", "errorText": "I am broken"})
    assert await stored(session) == ("failed", "ab")


async def test_a_batch_with_a_malformed_chunk_is_refused_whole(
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


@pytest.mark.parametrize("chunk", [user_message("I am Alice"), delta("x"), finish(), start("m_another")])
async def test_a_response_begins_with_its_start(running: Process, producer: Producer, chunk: Chunk) -> None:
    """So a publisher cannot store a user's message."""
    assert await producer.code(running, 1, chunk) == "bad_chunk"
    assert not await threads.run(Message.objects.exists) and not await threads.run(Run.objects.exists)


async def test_a_response_contains_no_user_message(running: Process, producer: Producer) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    assert await producer.code(running, 2, user_message("I am Alice")) == "message_exists"


async def test_an_existing_message_cannot_be_taken_over(running: Process, session: str) -> None:
    def a_turn() -> None:
        a_message(models.Session.objects.get(pk=session), uid=UID)

    await threads.run(a_turn)
    own = running.writers.unprompted(session, agent="test")
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
async def test_a_missing_session_stores_nothing(running: Process, whose: str) -> None:
    sessions = {"expired": {"hours": 100}, "being removed": {"removed_at": hours_ago(1)}}
    session = await new_session(**{"owner": "ext:alice"} | sessions[whose]) if whose in sessions else "A" * 22
    code = await Producer(session).code(running, 1, *begun(UID))
    assert code == ("expired" if whose == "expired" else "not_found")


async def test_publishing_requires_the_scope_and_the_session(running: Process, session: str) -> None:
    grant = AGENT.grant
    assert grant
    read_only = AGENT._replace(grant=grant._replace(scopes=frozenset({"read", "send", "approve", "cancel"})))
    for who, code in (
        (read_only, "forbidden_scope"), (Identity("ext:alice"), "forbidden_scope"),
        (AGENT._replace(grant=grant._replace(sessions=("B" * 22,))), "not_found"),
    ):  # fmt: skip
        assert await Producer(session, who=who).code(running, 1, *begun(UID)) == code
    with pytest.raises(HoldfastError, match="forbidden_scope"):
        await running.producers.beat(read_only, ClientFrame("beat", producer="producer", epoch=1))


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
            await here.producers.beat(AGENT, ClientFrame("beat", producer="producer", epoch=1))
    await running.reaper.scan()
    assert await stored(session) == ("interrupted", "a")
    await heir.publish(running, 2, finish(), message="m_other")
    assert await stored(session, "m_other") == ("complete", "b")


async def test_a_publisher_cannot_fence_anothers_producer(running: Process, session: str) -> None:
    mine, theirs = Producer(session), Producer(session, who=OTHER, epoch=2**53)
    await mine.publish(running, 1, *begun(UID, "a"))
    await theirs.publish(running, 1, *begun("m_other"), message="m_other")
    await mine.publish(running, 2, finish())
    assert await stored(session) == ("complete", "a")


async def test_every_request_of_a_producer_renews_its_lease(running: Process, producer: Producer, session: str) -> None:
    beats: list[int] = []
    for step in (
        producer.publish(running, 1, *begun(UID, "a")), producer.publish(running, 2, delta("b")),
        producer.publish(running, 2, delta("b")),
        running.producers.beat(AGENT, ClientFrame("beat", producer="producer", epoch=1)),
    ):  # fmt: skip
        await step
        beats.append((await run_of(session)).worker.beats)
    assert beats == [1, 2, 3, 4]


async def test_a_dead_producers_open_response_is_interrupted_as_stored(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    """A process with an older fold ends it; the returning producer gets an error."""
    await producer.publish(running, 1, *begun(UID, "a"))
    for number in range(2, 9):
        await producer.publish(second, number, delta(f"{number}"))
    await threads.run(lambda: Worker.objects.exclude(producer="").update(alive=False))
    await running.reaper.scan()
    assert await stored(session) == ("interrupted", "a2345678")
    message = await threads.run(queries.message, session, UID)
    assert message and message.reason == DEAD
    assert await producer.publish(second, 8, delta("8")) > 0  # that much is stored
    assert await producer.code(second, 9, delta("x")) == "fenced"
    await producer.publish(second, 1, *begun("m_next"), message="m_next")  # it lives on


# What people do meanwhile


async def signal(here: Process, session: str, kind: str, id: str, **payload: Any) -> Any:
    sent = ClientFrame("signal", session, id=id, kind=kind, payload=payload)
    receipt, problem = await here.signal_intake.accept(Identity("ext:alice"), sent, address="")
    assert problem is None
    return await threads.run(lambda: Signal.objects.get(uid=id))


async def test_a_stop_by_a_user_is_final(running: Process, second: Process, producer: Producer, session: str) -> None:
    """A process with an older fold applies it, without asking the agent."""
    await producer.publish(running, 1, *begun(UID, "a"))
    await producer.publish(second, 2, delta("b"))
    stop = await signal(running, session, "cancel", "stop-0001")
    assert stop.status == "applied" and await stored(session) == ("cancelled", "ab")
    assert await producer.code(second, 3, delta("x")) == "fenced"
    assert await producer.publish(second, 2, delta("b")) > 0
    assert await stored(session) == ("cancelled", "ab")


async def test_a_steer_to_a_published_response_becomes_a_question(
    running: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a"))
    steer = await signal(running, session, "steer", "steer-001", parts=[{"type": "text", "text": "Shorter!"}])
    assert steer.status == "applied" and await stored(session, "steer-001") == ("complete", "Shorter!")
    await producer.publish(running, 2, finish())
    assert await stored(session) == ("complete", "a")


# Content


async def test_a_character_in_two_batches_is_whole(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    assert await producer.publish(running, 1, *begun(UID, "a\ud83d")) == 3
    for _ in range(2):  # the second is a repeat
        assert await producer.publish(second, 2, delta("\ude00b\ud83c")) == 4
    await producer.publish(running, 3, delta("\udf08\ud83d"), finish())
    assert await stored(session) == ("complete", "a😀b🌈\ufffd")
    assert (await run_of(session)).halves is None


@pytest.mark.parametrize("ends", ["stopped", "dead"])
async def test_half_a_character_of_a_producer_that_goes_no_further(
    running: Process, producer: Producer, session: str, ends: str
) -> None:
    await producer.publish(running, 1, *begun(UID, "a\ud83d"))
    if ends == "stopped":
        await signal(running, session, "cancel", "stop-0001")
    else:
        await threads.run(lambda: Worker.objects.exclude(producer="").update(alive=False))
        await running.reaper.scan()
    assert (await stored(session))[1] == "a\ufffd"


async def test_a_batch_with_a_stored_ones_number_and_other_content_is_a_conflict(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    batches = [begun(UID, "a"), [delta("b")], [delta("c")], [delta("d", "unknown")]]
    for number, batch in enumerate(batches[:3], 1):
        await producer.publish(running, number, *batch)
    assert await producer.code(running, 4, *batches[3]) == "unknown_part"
    for here in (running, second):
        assert await producer.publish(here, 2, delta("b")) > 0
        assert await producer.code(here, 4, *batches[3]) == "unknown_part"
        for number in (1, 2, 3, 4):
            assert await producer.code(here, number, *begun(UID, "other")) == "conflict"
    assert await stored(session) == ("streaming", "abc")


async def test_of_two_different_batches_with_one_number_at_once_one_is_a_conflict(
    running: Process, second: Process, producer: Producer, session: str
) -> None:
    await producer.publish(running, 1, *begun(UID, ""))
    each = [producer.publish(here, 2, delta(text)) for here, text in ((running, "x"), (second, "y"), (running, "z"))]
    outcomes = await asyncio.gather(*each, return_exceptions=True)
    assert sorted(getattr(outcome, "code", "stored") for outcome in outcomes) == ["conflict", "conflict", "stored"]
    assert len((await stored(session))[1]) == 1


async def test_repeats_older_than_the_last_64_count_as_stored(running: Process, producer: Producer) -> None:
    await producer.publish(running, 1, *begun(UID, ""))
    for number in range(2, REPEATS + 3):
        await producer.publish(running, number, delta(str(number)))
    assert await producer.publish(running, 2, delta("other")) > 0
    assert await producer.code(running, 3, delta("other")) == "conflict"
    assert len((await run_of(producer.frame.session)).digests or "") == 8 * REPEATS
