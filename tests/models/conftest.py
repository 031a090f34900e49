"""What tests of agents with a model share: a process whose agents answer, and a person who asks."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic_ai import Agent

from agents_app import registry
from agents_app.pydantic_agent import register
from agents_app.runner import Runner
from sessions_app import executor
from sessions_app.core.fold import Message, ended
from sessions_app.process import Process
from tests.support.stored import a_session
from tests.support.tab import Tab

OWNER = "guest:1"


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


class Conversation:
    """A session with an agent, and somebody who talks to it."""

    def __init__(self, tab: Tab, session: str) -> None:
        self.session = session
        self._tab = tab
        self._asked = 0

    @property
    def receipts(self) -> list[tuple[str, str]]:
        """What became of signals: each one's kind and status, in the order of the changes."""
        events = [event for frame in self._tab.frames if frame["type"] == "events" for event in frame["events"]]
        return [(event["signal"]["kind"], event["signal"]["status"]) for event in events if "signal" in event]

    @property
    def messages(self) -> list[Message]:
        return list(self._tab.sessions[self.session].messages.values())

    @property
    def answer(self) -> Message | None:
        """The answer to what was said last, once it has begun."""
        answers = [message for message in self.messages if message.role == "assistant"]
        return answers[self._asked - 1] if len(answers) == self._asked else None

    async def say(self, text: str) -> None:
        self._asked += 1
        await self._tab.say(self.session, text)

    async def signal(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Its receipt."""
        id = secrets.token_urlsafe(12)
        await self._tab.send({"type": "signal", "session": self.session, "id": id, "kind": kind, "payload": payload})
        await self.wait_until(lambda: id in self._tab.receipts)
        return self._tab.receipts[id]

    async def ask(self, text: str) -> Message:
        """The answer, once it has ended."""
        await self.say(text)
        return await self.ended()

    async def retry(self, mode: str) -> Message:
        """Have the last answer gone on with, or given anew; the new one, once it has ended."""
        assert self.answer
        old, self._asked = self.answer.id, self._asked + 1
        receipt = await self.signal("retry", {"message": old, "mode": mode})
        assert receipt["status"] == "accepted", receipt
        return await self.ended()

    async def ended(self) -> Message:
        await self.wait_until(lambda: self.answer and ended(self.answer))
        assert self.answer
        return self.answer

    async def wait_until(self, condition: Callable[[], Any]) -> None:
        """Looks again after each frame that comes."""
        await self._tab.wait_until(condition)


@pytest.fixture
async def talk(process: Process, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """`await talk(agent)`: a conversation with this pydantic-ai agent."""
    tabs: list[Tab] = []

    async def begin(agent: Agent[Any, Any], **options: Any) -> Conversation:
        monkeypatch.setattr(registry, "_agents", {})
        register("tested", agent, **options)
        session = await executor.run(lambda: a_session(OWNER, agent="tested"))
        tab = await Tab(process, OWNER).connect()
        tabs.append(tab)
        await tab.attach(session.pk)
        return Conversation(tab, session.pk)

    yield begin
    for tab in tabs:
        await tab.__aexit__(None, None, None)
