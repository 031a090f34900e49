"""docs/architecture.md: its files exist, its layers are those enforced, its three walks are what the code does."""

import asyncio
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.db import connection

from agents_app import registry
from agents_app.local.runner import Runner
from agents_app.turn import Turn
from sessions_app import process as process_module
from sessions_app.database import threads
from sessions_app.process import Process
from tests.support import tokens
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.token_socket import TokenSocket
from tests.test_layers import LAYERS, MODULES

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
TOPS = {path.name for path in ROOT.iterdir()}


def section(title: str) -> str:
    return DOCUMENT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def walk(title: str) -> list[str]:
    """Return the files of a walk: the first one that each numbered step names."""
    return re.findall(r"^\d+\. `([\w/.]+)`", section(title), re.MULTILINE)


def test_every_file_and_folder_that_it_names_exists() -> None:
    named = {path for path in re.findall(r"`([\w.-]+/[\w./-]*)`", DOCUMENT) if path.split("/")[0] in TOPS}
    named |= {path.removeprefix("../") for path in re.findall(r"\]\(([\w./-]+)", DOCUMENT)}
    assert len(named) > 80
    assert [path for path in sorted(named) if not any((base / path).exists() for base in (ROOT, ROOT / "docs"))] == []


def test_its_layers_are_those_that_are_enforced() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("Packages"), re.MULTILINE)
    assert [re.findall(r"`([\w.]+)`", row) for row in rows] == [line.split() for line in LAYERS]


def test_it_names_every_package() -> None:
    packages = {
        ".".join(name.split(".")[:2])
        for name, path in MODULES.items()
        if path.name == "__init__.py" and name.startswith(("sessions_app.", "agents_app."))
    }
    assert {name for name in packages if f"`{name}`" not in section("Packages")} == set()


# The walks: what is called in which file, from the moment that something is sent

WALKS = {
    "token": "From `turn.text` to the socket",
    "attach": "The way of an attach",
    "signal": "The way of a signal",
}


class Recorder:
    """The files of the product whose functions are called while it is on, in order, in threads too."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.is_on = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if self.is_on and event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            self.files.append(frame.f_code.co_filename.removeprefix(f"{ROOT}/"))

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        self.files, self.is_on = [], True
        sys.setprofile(self)
        try:
            yield self.files
        finally:
            self.is_on = False
            sys.setprofile(None)


def missing(steps: list[str], files: list[str]) -> list[str]:
    """Return the steps, from the first on that isn't called after the ones before it."""
    called = iter(files)
    for number, step in enumerate(steps):
        if step not in called:  # consumes what comes before it
            return steps[number:]
    return []


class Conversation:
    """A session with an agent that says a token when it is told to, then takes a step when it is told to."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.speak = asyncio.Event()
        self.step = asyncio.Event()
        self.session = ""

    async def agent(self, turn: Turn) -> None:
        await turn.text("first ")
        await turn.flush()
        await self.speak.wait()
        await turn.text("token ")
        await self.step.wait()
        await turn.step()

    async def begin(self, socket: TokenSocket) -> None:
        await socket.ask({"type": "attach", "session": self.session})
        self.send(socket, "message", "s_the_message")
        await socket.until(lambda: has_event(socket, '"first "'))

    def send(self, socket: TokenSocket, kind: str, id: str) -> None:
        payload = {"parts": [{"type": "text", "text": "Hello"}]}
        socket.send({"type": "signal", "session": self.session, "id": id, "kind": kind, "payload": payload})

    async def token(self, socket: TokenSocket) -> list[str]:
        with self.recorder.recording() as files:
            self.speak.set()
            await socket.until(lambda: has_event(socket, '"token "'))
        return files

    async def attach(self, socket: TokenSocket) -> list[str]:
        cursor = next(frame["cursor"] for frame in socket.said if frame["type"] == "attached")
        async with TokenSocket(tokens.token()) as other:
            with self.recorder.recording() as files:
                await other.ask({"type": "attach", "session": self.session, "cursor": cursor})
        assert other.said[-1]["resumed"]
        return files

    async def signal(self, socket: TokenSocket) -> list[str]:
        await self.token(socket)
        with self.recorder.recording() as files:
            self.send(socket, "steer", "s_the_steer")
            await socket.until(lambda: has_event(socket, '"kind": "steer", "status": "delivered"'))
            self.step.set()
            await socket.until(lambda: has_event(socket, '"steering-message"'))
        return files


def has_event(socket: TokenSocket, text: str) -> bool:
    return any(text in json.dumps(frame) for frame in socket.said if frame["type"] == "events")


@pytest.fixture
async def conversation(settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Conversation]:
    settings.HOLDFAST = settings.HOLDFAST | {"TOKEN_KEYS": tokens.KEYS}
    conversation = Conversation()
    monkeypatch.setattr(registry, "_agents", {"test": conversation.agent})
    with ThreadPoolExecutor(1) as thread:
        monkeypatch.setattr(threads, "_threads", thread)
        threading.setprofile(conversation.recorder)
        try:  # threads that are begun here are recorded
            conversation.session = (await threads.run(lambda: a_session(tokens.SUB, agent="test"))).pk
            process = Process()
            await process.start([lambda here: Runner(here).run])
        finally:
            threading.setprofile(None)  # type: ignore[arg-type]
        monkeypatch.setattr(process_module, "_current", process)
        yield conversation
        await process.stop()
        await threads.run(lambda: connection.close())  # or the pool would never get it back


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WALKS)
async def test_a_walk_is_the_order_in_which_its_files_are_called(way: str, conversation: Conversation) -> None:
    steps = walk(WALKS[way])
    assert len(steps) > 10
    go: Callable[[TokenSocket], Any] = getattr(conversation, way)
    async with asyncio.timeout(2 * DEADLINE_S), TokenSocket(tokens.token()) as socket:
        await conversation.begin(socket)
        assert missing(steps, await go(socket)) == []


def test_a_walk_in_another_order_is_noticed() -> None:
    assert missing(["a.py", "c.py", "b.py"], ["a.py", "b.py", "c.py"]) == ["b.py"]
