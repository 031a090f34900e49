"""An AI SDK client without a browser: its requests, and the message that it makes of a stream's chunks."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agents_app import registry
from agents_app.turn import Turn
from sessions_app import models
from sessions_app.core.fold import MessageState, apply, begin, to_wire
from sessions_app.database import threads
from sessions_app.event_log import queries
from tests.support.requests import Browser, new_session

Chunk = dict[str, Any]
Agent = Callable[[Turn], Awaitable[None]]
ONE, TWO = "AbCdEfGhIjKlMn01", "AbCdEfGhIjKlMn02"  # ids of messages, as useChat makes them


def user(id: str, text: str = "Hello", **fields: Any) -> Chunk:
    return {"id": id, "role": "user", "parts": [{"type": "text", "text": text}], **fields}


def body(session: str, *messages: Chunk, trigger: str = "submit-message", **fields: Any) -> Chunk:
    return {"id": session, "messages": list(messages), "trigger": trigger, **fields}


class Held:
    """An agent that says a word, waits to be let go, and says another."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.starts = 0

    async def __call__(self, turn: Turn) -> None:
        self.starts += 1
        await turn.text("first ")
        await self.go_on.wait()
        await turn.text("second")


class Speaker:
    """An agent that says more, word by word, than a client holds that doesn't read. `written`: all but the end is."""

    def __init__(self) -> None:
        self.words = [f"word {number} " for number in range(400)]
        self.text = "".join(self.words) + "end"
        self.written = asyncio.Event()

    async def __call__(self, turn: Turn) -> None:
        for word in self.words:
            await turn.text(word)
            await turn.flush()
        self.written.set()
        await turn.text("end")


async def parrot(turn: Turn) -> None:
    await turn.text(turn.prompt)


class Stream:
    """The chunks of a response as they arrive, and the message that they make. None: they come another way."""

    def __init__(self, response: Any, holds: Chunk | None = None) -> None:
        assert response is None or response.status_code == 200, response.content
        self.response = response
        parts = copy.deepcopy(holds["parts"]) if holds else []
        marks = [[1, 1] for _ in parts]
        self.message = (
            MessageState(holds["id"], "assistant", "streaming", 1, 1, 0, parts=parts, marks=marks) if holds else None
        )
        self.chunks: list[Chunk] = []
        self.ids: list[str] = []
        self.is_done = False

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        rest = ""
        async for piece in self.response._body:
            *blocks, rest = (rest + piece.decode()).split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                if fields.get("data") == "[DONE]":
                    self.is_done = True
                elif "data" in fields:
                    self._take(json.loads(fields["data"]), fields.get("id"))
                    yield self.chunks[-1]

    def _take(self, chunk: Chunk, id: str | None) -> None:
        self.chunks.append(chunk)
        self.ids += [id] if id else []
        if self.message is None:
            self.message = begin({"serial": 1, "message": chunk["messageId"], "at": 0, "chunk": chunk})  # type: ignore[arg-type, typeddict-item]
        elif chunk["type"] != "start" and not self._has_decided(chunk):
            apply(self.message, self.message.last_serial + 1, chunk)  # type: ignore[arg-type]

    def _has_decided(self, chunk: Chunk) -> bool:
        """Whether it is the client's own decision or result, which it holds already; its fold takes that again."""
        if chunk["type"] == "tool-approval-response":
            approvals = [part.get("approval", {}) for part in self.held["parts"]]
            return any(each.get("id") == chunk["approvalId"] and "approved" in each for each in approvals)
        calls = [part for part in self.held["parts"] if part.get("toolCallId") == chunk.get("toolCallId", 0)]
        return chunk["type"].startswith("tool-output") and any(
            "output" in part or "errorText" in part for part in calls
        )

    async def all(self) -> list[Chunk]:
        """Read to the end; return the chunks."""
        async for _ in self:
            pass
        assert self.is_done, "it was cut off"
        return self.chunks

    async def until(self, type: str) -> None:
        """Read up to a chunk of this type, and leave."""
        async for chunk in self:
            if chunk["type"] == type:
                break
        await self.response._body.aclose()

    @property
    def types(self) -> list[str]:
        return [chunk["type"] for chunk in self.chunks]

    @property
    def held(self) -> Chunk:
        """The message as useChat has it."""
        assert self.message is not None
        wire = json.loads(json.dumps(to_wire(self.message)))
        return {name: wire[name] for name in ("id", "role", "parts")}

    @property
    def text(self) -> str:
        return "".join(part.get("text", "") for part in self.held["parts"])


async def post(chat: Chunk, *, browser: Browser | None = None, slash: str = "/") -> Any:
    return await (browser or Browser()).post(f"/api/chat{slash}", chat)


async def send(chat: Chunk, holds: Chunk | None = None, **how: Any) -> Stream:
    """Send a message, and read its answer to the end."""
    stream = Stream(await post(chat, **how), holds)
    await stream.all()
    return stream


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`await chat(agent)`: a session in which this agent answers."""

    async def new(agent: Agent) -> str:
        monkeypatch.setattr(registry, "_agents", {"test": agent})
        return await new_session(agent="test")

    return new


async def stored(session: str, uid: str) -> Any:
    def read() -> Any:
        with queries.consistent_read():
            return queries.message(session, uid)

    return await threads.run(read)


async def messages(session: str) -> list[tuple[str, str]]:
    rows = models.Message.objects.filter(session=session).order_by("first_serial")
    return await threads.run(lambda: list(rows.values_list("role", "uid")))
