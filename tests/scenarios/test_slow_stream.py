"""A stalled HTTP stream: bounded memory, and it continues with the conflated state."""

import asyncio
import time
from typing import Any

import pytest

from sessions_app.core.fold import MessageState, fold
from sessions_app.core.snapshot import apply_patch
from tests.scenarios.test_slow_reader import MIB, resident
from tests.support.harness import DEADLINE_S, StartServer
from tests.support.person import Person, text_of
from tests.support.raw_stream import RawStream

SETTINGS = {
    "HOLDFAST_RUNS_PER_PROCESS": "0",  # people talk to themselves here
    "HOLDFAST_SIGNALS_PER_MINUTE": "10000",
    "HOLDFAST_FRAMES_PER_SECOND": "1000",
}
LARGE_ANSWERS = {"HOLDFAST_SNAPSHOT_BYTES": str(64 * MIB)}
IMPATIENT = {"HOLDFAST_SLOW_READER_MS": "1000", "HOLDFAST_ACK_MS": "100", "HOLDFAST_CONNECTIONS_PER_OWNER": "2"}
SERVERS = pytest.mark.parametrize("command", ["runserver", pytest.param("uvicorn", marks=pytest.mark.long)])
TURN = "x" * 30_000
TURNS = 190  # 5.7 MB, of which the kernel takes about half


async def talk(person: Person, session: str, turns: int = TURNS) -> None:
    await person.connect()
    for number in range(turns):
        await person.say(session, f"{number}{TURN}")
    await person.disconnect()


def read_until(stream: RawStream, turns: int) -> tuple[list[dict[str, Any]], dict[str, MessageState]]:
    """Read as a client does until it has so many messages."""
    messages: dict[str, MessageState] = {}
    read: list[dict[str, Any]] = []
    cursor = 0
    for frame in stream.frames():
        read.append(frame)
        for patch in frame.get("messages", ()):
            messages[patch["id"]] = apply_patch(messages.get(patch["id"]), patch)
        for event in frame.get("events", ()):
            assert event["serial"] == cursor + 1
            cursor = event["serial"]
            fold(messages, event)
        if "cursor" in frame:
            cursor = int(frame["cursor"].rpartition("-")[2])
        if len(messages) == turns:
            break
    return read, messages


@SERVERS
async def test_a_stalled_stream_gets_the_conflated_state_when_it_reads_again(
    start_server: StartServer, command: str
) -> None:
    server = start_server(command, **SETTINGS, **LARGE_ANSWERS)
    async with Person(server.url) as person:
        session = await person.create_session()
        stream = RawStream(server, person, session)
        await talk(person, session)
        read, messages = await asyncio.to_thread(read_until, stream, TURNS)
        assert [text_of(message) for message in messages.values()] == [f"{number}{TURN}" for number in range(TURNS)]
        unasked = [frame for frame in read if frame["type"] == "attached"][1:]
        assert unasked and all(frame["resumed"] for frame in unasked)
        assert len([frame for frame in read if frame["type"] == "events"]) < TURNS


@SERVERS
async def test_a_stalled_stream_takes_no_more_memory(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS)
    async with Person(server.url) as person:
        session = await person.create_session()
        await talk(person, session, 100)  # so much fills SQLite's caches
        deaf = [RawStream(server, person, session) for _ in range(20)]
        await talk(person, session, 1)
        before = resident(server)
        await talk(person, session, 2 * TURNS)  # 11 MB for each of them: 228 MB
        assert resident(server) - before < 150 * MIB  # an answer of 1 MB for each, and what encoding them took
        for stream in deaf:
            stream.close()


@SERVERS
async def test_a_stream_that_stays_behind_is_ended(start_server: StartServer, command: str) -> None:
    server = start_server(command, **SETTINGS, **IMPATIENT)
    async with Person(server.url) as person:
        session = await person.create_session()
        stream = RawStream(server, person, session)
        deadline = time.monotonic() + DEADLINE_S
        await person.connect()
        while (await first_frame(person, session)) != "connected":
            assert time.monotonic() < deadline, server.log
            for _ in range(10):  # until the kernel takes no more of it, and it lacks something for a second
                await person.say(session, TURN)
        read, _ = await asyncio.to_thread(read_until, stream, TURNS)
        assert len([frame for frame in read if frame["type"] == "events"]) < TURNS  # it has ended without the rest


async def test_a_stopping_server_does_not_wait_for_a_stalled_stream(start_server: StartServer) -> None:
    server = start_server(**SETTINGS)
    async with Person(server.url) as person:
        session = await person.create_session()
        stream = RawStream(server, person, session)
        await talk(person, session, 150)
    began = time.monotonic()
    assert await asyncio.to_thread(server.terminate) == 0
    assert time.monotonic() - began < 20
    stream.close()


async def first_frame(person: Person, session: str) -> str:
    """Return the stream's first frame: `connected`, or `error` while others have the owner's places."""
    async with person.http.stream("GET", f"/api/sessions/{session}/stream/") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                return line.split('"')[3]
    return ""
