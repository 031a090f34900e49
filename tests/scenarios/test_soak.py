"""A soak test: users who come, ask, leave midway and return for a quarter of an hour; memory stays flat."""

import asyncio
import faulthandler
import itertools
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median

import pytest
from websockets.exceptions import WebSocketException

from tests.support.harness import Server, StartServer
from tests.support.person import Person

pytestmark = [pytest.mark.long, pytest.mark.soak]

SECONDS = 60 * float(os.environ.get("HOLDFAST_SOAK_MINUTES", "15"))
SESSIONS = 2000
AT_ONCE = 150  # connected at any time
STAY_S = (1, 12)
SAMPLE_S = 5.0
SETTINGS = {"HOLDFAST_DEMO_TOKENS_PER_S": "200"}
MIB = 1 << 20


def resident(server: Server) -> float:
    """Return the server's memory, in MiB."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


class Visitor:
    """A user with one session, who comes now and then."""

    def __init__(self, server: Server, random: Random) -> None:
        self.person = Person(server.url)
        self.random = random
        self.session = ""
        self.visits = self.answers = 0

    async def visit(self) -> None:
        """Come back to where one was; ask, or read what has become of the answer; leave whenever."""
        if not self.session:
            await self.person.__aenter__()
            self.session = await self.person.create_session()
        await self.person.connect()
        followed = await self.person.attach(self.session)
        assert followed.gaps == 0
        streaming = [message for message in followed.messages.values() if message.status == "streaming"]
        if not streaming and self.random.random() < 0.5:
            await self.person.say(self.session, "What is a session?")
            self.answers += 1
        await asyncio.sleep(self.random.uniform(*STAY_S))
        socket = self.person.socket
        if self.random.random() < 0.5 and socket:
            socket.transport.abort()  # no goodbye
        await self.person.disconnect()
        self.person.frames.clear()
        self.visits += 1


@pytest.mark.parametrize("command", ["uvicorn", "runserver"])
async def test_memory_stays_flat(start_server: StartServer, command: str) -> None:
    faulthandler.dump_traceback_later(SECONDS + 300, exit=True, file=sys.__stderr__)  # not after pytest's 300 s
    server = start_server(command, **SETTINGS)
    random = Random(1)
    visitors = [Visitor(server, random) for _ in range(SESSIONS)]
    ends = time.monotonic() + SECONDS
    turns = itertools.cycle(visitors)

    async def come_and_go() -> None:
        while time.monotonic() < ends:
            with suppress(WebSocketException, ConnectionError):  # a cut of one's own
                await next(turns).visit()

    async def watch() -> list[float]:
        samples = []
        while time.monotonic() < ends:
            await asyncio.sleep(SAMPLE_S)
            samples.append(resident(server))
        return samples

    samples, *_ = await asyncio.gather(watch(), *(come_and_go() for _ in range(AT_ONCE)))
    quarter = len(samples) // 4
    quarters = [median(samples[n * quarter : (n + 1) * quarter]) for n in range(4)]
    visits, answers = sum(each.visits for each in visitors), sum(each.answers for each in visitors)
    print(
        f"{command}: {visits} visits, {answers} questions; MiB in each quarter {quarters}, at most {max(samples):.0f}"
    )
    for visitor in visitors:
        await visitor.person.http.aclose()
    assert all(visitor.visits for visitor in visitors)
    assert quarters[3] - quarters[1] < 10  # MiB, in half of the time; the first quarter fills caches
