"""Fixtures for agents with a model: a process whose agents answer, and a person who asks."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic_ai import Agent

from agents_app import registry
from agents_app.adapters.pydantic_ai.agent import register
from agents_app.local.runner import Runner
from sessions_app.core.fold import MessageState
from sessions_app.process import Process
from tests.support.agents import Conversation


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    if not process.stopping:
        await process.stop()


class Talk(Conversation):
    """A conversation with one question after the other."""

    asked = 0

    @property
    def answer(self) -> MessageState | None:
        """The answer to the last question, once it has begun."""
        return self.answers[-1] if len(self.answers) == self.asked else None

    async def ask(self, text: str) -> MessageState:
        """Ask, and return the answer once it has ended."""
        await self.begin(text)
        return await self.ended()

    async def begin(self, text: str) -> None:
        self.asked += 1
        await self.say(text)

    async def retry(self, mode: str) -> MessageState:
        """Continue or regenerate the last answer; return the new one once it has ended."""
        assert self.answer
        earlier = self.answer
        receipt = await self.send("retry", message=earlier.id, mode=mode)
        assert receipt["status"] == "accepted", receipt
        if mode == "regenerate":
            return await self.answered_instead(earlier)
        self.asked += 1
        return await self.ended()

    async def ended(self) -> MessageState:
        return await self.answered(self.asked)


@pytest.fixture
async def talk(process: Process, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Start a conversation with a pydantic-ai agent: `await talk(agent)`."""
    monkeypatch.setattr(registry, "_agents", {})
    async with AsyncExitStack() as stack:

        async def begin(agent: Agent[Any, Any], **options: Any) -> Talk:
            register("tested", agent, **options)
            function = registry.find("tested")
            assert function
            return await stack.enter_async_context(Talk(process, function))

        yield begin
