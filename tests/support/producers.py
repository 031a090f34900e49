"""Remote producers, their sessions, and a second process."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sessions_app.auth.identity import Identity
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.tokens import SCOPES, Grant
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.models import Run
from sessions_app.process import Process
from tests.support.requests import new_session
from tests.support.tokens import KEYS
from tests.support.writer import Chunk

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
    return await new_session("ext:alice")


class Producer:
    """A producer, which publishes batch by batch to any process."""

    def __init__(self, session: str, *, who: Identity = AGENT, name: str = "producer", epoch: int = 1) -> None:
        self.who = who
        self.frame = ClientFrame("publish", session, message=UID, producer=name, epoch=epoch)

    async def publish(self, here: Process, sequence: int, *chunks: Chunk, **changes: Any) -> int:
        frame = replace(self.frame, sequence=sequence, chunks=list(chunks), **changes)
        return await here.producers.publish(self.who, frame)

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
    message = await threads.run(queries.message, session, uid)
    assert message
    return message.status, "".join(part.get("text", "") for part in message.parts)


async def run_of(session: str) -> Run:
    return await threads.run(lambda: Run.objects.select_related("worker").get(session=session))
