"""A model's script in no framework's words, and the tools that it calls: each kit plays it through its framework."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agents_app.registry import Agent


@dataclass(frozen=True)
class Think:
    text: str


@dataclass(frozen=True)
class Call:
    """A piece of a tool call: the first of its index has the name and the id."""

    arguments: str
    name: str = ""
    id: str = ""
    index: int = 0


@dataclass(frozen=True)
class Cite:
    url: str
    title: str


@dataclass(frozen=True)
class Used:
    input: int
    output: int


@dataclass(frozen=True)
class Fail:
    """The model's request fails."""

    text: str


@dataclass(frozen=True)
class Hold:
    """The model says nothing more until it is stopped."""


Piece = str | Think | Call | Cite | Used | Fail | Hold
Step = list[Piece]


def look(where: str, id: str = "call_1") -> Call:
    return Call(f'{{"where": "{where}"}}', "look", id)


def send(to: str, id: str = "call_1", index: int = 0) -> Call:
    return Call(f'{{"to": "{to}"}}', "send", id, index)


class ToolProblem(Exception):
    """What a tool tells its model; each kit has its framework's exception for it."""


@dataclass
class Desk:
    """Two tools: `look`, and `send`, which needs an approval whose arguments may be edited."""

    looked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    problem: Exception | None = None
    holds: bool = False  # tools don't return until they are stopped
    stopped: list[str] = field(default_factory=list)  # tools, and "model", that were stopped

    async def look(self, where: str) -> str:
        """Look somewhere."""
        self.looked.append(where)
        await self._work("look")
        return f"{where}: found"

    async def send(self, to: str) -> str:
        """Send a letter."""
        self.sent.append(to)
        await self._work("send")
        return f"sent to {to}"

    async def _work(self, name: str) -> None:
        if self.problem:
            raise self.problem
        if self.holds:
            await self.hold(name)

    async def hold(self, name: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped.append(name)
            raise


Told = list[tuple[str, str]]  # a request of the model: who said what ("user", "assistant", "tool"), oldest first


@dataclass
class Made:
    agent: Agent
    requests: list[Told]


class Kit(Protocol):
    """One framework: makes an agent of a script."""

    name: str
    lacks: frozenset[str]  # what the framework can't do or tell
    problem: Callable[[str], Exception]  # with which a tool tells its model something

    def make(self, script: list[Step], desk: Desk, *, structured: bool = False) -> Made: ...
