"""Hints that wait for a slow channel layer: joined by group, in order, and bounded."""

import asyncio

from sessions_app.core.attachment import Frame
from sessions_app.delivery import outgoing_hints
from sessions_app.delivery.outgoing_hints import Message, Outgoing


def hint(*serials: int, at: float = 1.0, size: int = 100) -> Message:
    frames = [Frame("s", "e", serial, serial, "", size) for serial in serials]
    return {"type": "frames", "origin": "x", "at": at, "frames": frames}


SIGNAL: Message = {"type": "signals", "origin": "x", "at": 1.0, "shards": 1}


async def test_waiting_hints_of_a_group_become_one_message() -> None:
    outgoing = Outgoing(10)
    outgoing.put("a", hint(1, 2, at=1.0))
    outgoing.put("b", hint(10))
    outgoing.put("a", hint(3, at=2.0))
    assert await outgoing.take() == ("a", hint(1, 2, 3, at=1.0), 2)
    assert await outgoing.take() == ("b", hint(10), 1)


async def test_signals_stay_messages_of_their_own() -> None:
    outgoing = Outgoing(10)
    outgoing.put("a", hint(1))
    outgoing.put("s", SIGNAL)
    outgoing.put("s", SIGNAL)
    outgoing.put("a", hint(2))
    assert [(await outgoing.take()).message for _ in range(3)] == [hint(1, 2), SIGNAL, SIGNAL]


async def test_a_message_stays_bounded() -> None:
    outgoing = Outgoing(10)
    most = outgoing_hints.MOST_FRAMES
    for first in (0, most - 1, 2 * most):
        outgoing.put("a", hint(*range(first, first + most - 1)))
    taken = [(await outgoing.take()) for _ in range(2)]
    assert [batch.hints for batch in taken] == [2, 1]
    assert len(taken[0].message["frames"]) < 2 * most


async def test_large_frames_are_not_joined() -> None:
    outgoing = Outgoing(10)
    for serial in range(3):
        outgoing.put("a", hint(serial, size=outgoing_hints.MOST_BYTES // 2))
    assert [(await outgoing.take()).hints for _ in range(2)] == [2, 1]


async def test_a_full_queue_drops_the_oldest() -> None:
    outgoing = Outgoing(2)
    assert [outgoing.put("a", hint(number)) for number in range(3)] == [0, 0, 1]
    assert (await outgoing.take()).message == hint(1, 2)
    outgoing.put("a", hint(4))
    assert outgoing.clear() == 1


async def test_a_hint_wakes_the_sender() -> None:
    outgoing = Outgoing(2)
    taking = asyncio.create_task(outgoing.take())
    await asyncio.sleep(0)
    outgoing.put("a", hint(1))
    assert (await asyncio.wait_for(taking, 10)).hints == 1
