"""Agents and users in one process, for tests that ask, steer and stop an agent of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agents_app import registry
from agents_app.local.runner import Runner
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.core import busy
from sessions_app.core.fold import MessageState
from sessions_app.database import threads
from sessions_app.process import Process
from tests.support.person import Frame
from tests.support.stored import a_session
from tests.support.tab import Tab

OWNER = "guest:1"


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    if not process.stopping:
        await process.stop()


async def all_settled() -> bool:
    open_ = models.Signal.objects.filter(status__in=["accepted", "delivered"])
    return not await threads.run(open_.exists)


class Conversation:
    """A session whose agent is a given function, with a tab on it; for `async with`."""

    def __init__(self, process: Process, agent: registry.Agent, *, while_busy: busy.WhileBusy = "queue") -> None:
        self.process = process
        self.tab = Tab(process, OWNER)
        self._agent = agent
        self._while_busy = while_busy

    async def __aenter__(self) -> "Conversation":
        registry._agents["test"] = self._agent
        busy.set_policy("test", self._while_busy)
        self.session: str = (await threads.run(lambda: a_session(OWNER, agent="test"))).pk
        await self.tab.__aenter__()
        self.followed = await self.tab.attach(self.session)
        return self

    async def __aexit__(self, *problem: Any) -> None:
        await self.tab.__aexit__(*problem)
        registry._agents.pop("test", None)

    async def second_tab(self) -> Tab:
        """Open another tab of the same person on the session."""
        tab = await Tab(self.process, OWNER).__aenter__()
        await tab.attach(self.session)
        return tab

    @property
    def messages(self) -> list[MessageState]:
        return list(self.followed.messages.values())

    @property
    def answers(self) -> list[MessageState]:
        return [message for message in self.messages if message.role == "assistant"]

    @property
    def signals(self) -> dict[str, Frame]:
        return self.followed.signals

    async def say(self, text: str, *, kind: str = "message") -> str:
        return await self.tab.say(self.session, text, kind=kind)

    async def send(self, kind: str, **payload: Any) -> Frame:
        """Send a signal; return its receipt."""
        id = await self.tab.signal(self.session, kind, payload)
        return self.tab.receipts[id]

    async def final(self, id: str) -> Frame:
        """Wait for the final record of a signal."""
        return await self.tab.wait_status(self.session, id, "applied", "rejected", "expired")

    async def answered(self, number: int = 1) -> MessageState:
        """Wait until so many answers have ended; return the one with this number."""
        await self.tab.wait_until(lambda: len([a for a in self.answers if a.status != "streaming"]) >= number)
        return self.answers[number - 1]

    async def answered_instead(self, earlier: MessageState) -> MessageState:
        """Wait until an answer that has replaced this one has ended; return it."""
        shown = self.followed.messages
        await self.tab.wait_until(lambda: earlier.id not in shown and self.answers[-1].status != "streaming")
        return self.answers[-1]

    async def wait_until(self, condition: Callable[[], object]) -> None:
        await self.tab.wait_until(condition)

    async def stored(self, model: Any, **fields: Any) -> Any:
        """Return the one row of a model in this session."""
        return await threads.run(model.objects.get, session=self.session, **fields)

    async def run(self) -> models.Run:
        run: models.Run = await threads.run(models.Run.objects.filter(session=self.session).latest, "created_at")
        return run


async def parrot(turn: Turn) -> None:
    await turn.text(turn.prompt)


def endless(began: asyncio.Event | None = None) -> registry.Agent:
    """An agent that goes on until it is stopped, a step every 10 ms."""

    async def agent(turn: Turn) -> None:
        while True:
            for steer in await turn.step():
                await turn.text(f"[{steer}]")
            await turn.text("word ")
            if began:
                began.set()
            await asyncio.sleep(0.01)

    return agent
