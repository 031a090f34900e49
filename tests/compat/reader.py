"""One client instance of a vendor's, as a page has it: it resumes, and loads the history where that is all there is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.compat import compare
from tests.compat.clients import Clients

DEADLINE_S = 20.0
POLL_S = 0.015

Message = dict[str, Any]
History = Callable[[], Awaitable[list[Message]]]


class Differs(AssertionError):
    """A client doesn't come to have what is stored."""


class Reader:
    """A client on a session. `follows`: it asks again and again for what another client does.

    `has_history`: not only the answer under way. `loads`: since that had ended before its client was back.
    """

    def __init__(self, clients: Clients, name: str, wire: str, history: History, *, follows: bool = False) -> None:
        self.wire = wire
        self.name = name
        self.loads = 0
        self._clients = clients
        self._history = history
        self.errors: list[str] = []
        self.has_history = True
        self._follows = follows
        self._lacks = False

    @property
    def is_chat(self) -> bool:
        """Return whether it reads one answer at a time, and only when it asks."""
        return self.wire != compare.STORE

    async def open(self, **said: Any) -> None:
        await self.call("open", wire=self.wire, **said)

    async def act(self, verb: str, **given: Any) -> None:
        """Do what a person does."""
        self._lacks = False
        await self.call(verb, **given)

    async def call(self, verb: str, **given: Any) -> Any:
        return await self._clients.call(self.name, verb, **given)

    async def state(self) -> Any:
        return await self.call("state")

    async def catch_up(self) -> None:
        """Ask for the answer under way, as a page does that is loaded, or that has lost its connection."""
        if not self.is_chat:
            return
        before = await self._under_way()
        self._lacks = not await self.call("resume")
        if not self._lacks or self.wire == "ai-sdk-holdfast":  # which has no stream where all waits for people
            return
        if before and before == await self._under_way() and (state := await self.state())["status"] != "error":
            raise Differs(f"{self.name}: no stream of {before}, which is under way: {state}")

    async def _under_way(self) -> str | None:
        """Return the id of the answer under way."""
        messages = await self._history()
        return str(messages[-1]["id"]) if messages and messages[-1]["status"] == "streaming" else None

    async def wait_for_text(self, number: int) -> None:
        """Wait until some of the text of the answer is there that is message `number`; or the connection is lost."""
        await self._until(lambda state: _text_of(state["messages"][number - 1 :]) > 20 or state["status"] == "error")

    async def settle(self, rests: Callable[[list[Message]], bool]) -> list[Message]:
        """Wait until the session rests and the client has what is stored; return that. Raises Differs."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            stored = await self._history()
            state = await self.state()
            shown = stored if self.has_history else stored[-1:]
            difference = compare.difference(self.wire, state["messages"], shown, decides=not self._follows)
            if rests(stored) and state["status"] == "ready" and not difference:
                return stored
            if time.monotonic() > deadline:
                raise Differs(f"{self.name}: {state['status']}, {self.errors[-3:]}: {difference}")
            await self._recover(state, rests(stored), stored)
            await asyncio.sleep(POLL_S)

    async def load(self, stored: list[Message]) -> None:
        """Take the history, as a page does that is loaded."""
        await self.call("load", messages=stored)
        self.has_history, self._lacks = True, False

    async def _recover(self, state: Any, is_at_rest: bool, stored: list[Message]) -> None:
        """Do what a page does after a lost connection."""
        if state["status"] == "error":
            self.errors.append(state["error"])
            await self.catch_up()
        elif state["status"] == "ready" and self._lacks and is_at_rest:
            await self.load(stored)
            self.loads += 1
        elif state["status"] == "ready" and (self._lacks or self._follows):
            await self.catch_up()

    async def _until(self, condition: Callable[[Any], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition(await self.state()):
                await asyncio.sleep(POLL_S)


def _text_of(messages: list[Message]) -> int:
    """Return the length of an answer's text, of either vendor's form."""
    if not messages or messages[-1]["role"] != "assistant":
        return 0
    parts = messages[-1].get("parts", messages[-1].get("content"))
    return sum(len(part["text"]) for part in parts if part["type"] == "text")
