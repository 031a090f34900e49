"""A worker elsewhere, frame by frame, at a process in this event loop."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import pytest
from django.test import AsyncClient

from agents_app.local.runner import Runner
from sessions_app import models
from sessions_app.auth.identity import Identity
from sessions_app.core.tokens import Grant
from sessions_app.database import threads
from sessions_app.delivery.connection import Connection
from sessions_app.process import Process
from sessions_app.transports.frame_dispatch import FrameDispatch
from tests.support.harness import DEADLINE_S
from tests.support.stored import a_session
from tests.support.tab import Tab
from tests.support.tokens import bearer, token
from tests.support.writer import Chunk

Frame = dict[str, Any]
AGENT = "elsewhere"


def grant(*, agents: tuple[str, ...] = (AGENT,), sessions: tuple[str, ...] = ("*",)) -> Grant:
    return Grant("w", 0, 2**40, frozenset({"work"}), sessions, agents=agents)


class RawWorker:
    """`async with RawWorker(process) as worker:`. What arrives is in `frames`."""

    def __init__(self, process: Process, *, name: str = "worker-1", epoch: int = 1, **token: Any) -> None:
        self.process = process
        self.who = {"producer": name, "epoch": epoch}
        self.identity = Identity("agent:fleet", grant=grant(**token))
        self.frames: list[Frame] = []
        self.sequences: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self.connection: Connection | None = None  # of a socket

    async def __aenter__(self) -> Self:
        self.connection = Connection(self.process.connections, self.identity, send=self._deliver, close=self._closed)
        self.process.connections.admit(self.connection)
        self.dispatch = FrameDispatch(self.process, self.connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.connection
        self.process.connections.dismiss(self.connection)

    async def _deliver(self, texts: list[str]) -> None:
        async with self._changed:
            self.frames += map(json.loads, texts)
            self._changed.notify_all()

    async def _closed(self, code: int) -> None:
        pass

    async def send(self, frame: Frame) -> None:
        await self.dispatch.receive(json.dumps(frame), now=asyncio.get_running_loop().time())

    async def until(self, condition: Callable[[Frame], object]) -> Frame:
        """Wait for a frame."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            while True:
                for frame in self.frames:
                    if condition(frame):
                        return frame
                await self._changed.wait()

    async def ask(self, type: str, *, id: str = "", **fields: Any) -> Any:
        """Send a request; return its result, or its error's code."""
        id = id or secrets.token_hex(8)
        await self.send({"type": type, "id": id, **self.who, **fields})
        answer = await self.until(lambda frame: frame.get("id") == id)
        return answer["result"] if answer["type"] == "answer" else answer["code"]

    async def claim(
        self, *, most: int = 10, agents: tuple[str, ...] = (AGENT,), runs: tuple[str, ...] = (), **fields: Any
    ) -> Any:
        return await self.ask("claim", agents=list(agents), most=most, runs=list(runs), **fields)

    async def given(self, session: str, number: int = 1) -> Frame:
        """Wait until it has been given so many runs of a session; return the last."""

        def runs() -> list[Frame]:
            return [frame for frame in self.frames if frame["type"] == "run" and frame["session"] == session]

        await self.until(lambda _: len(runs()) >= number)
        return runs()[number - 1]

    async def about(self, run: Frame, type: str, **fields: Any) -> Any:
        """Ask about a run."""
        return await self.ask(type, session=run["session"], run=run["run"], **fields)

    async def publish(self, run: Frame, *chunks: Chunk, sequence: int = 0, **fields: Any) -> Any:
        """Publish a batch of a run; return its serial, or the error's code."""
        uid = run["message"]
        number = sequence or self.sequences.get(uid, 0) + 1
        seen = len(self.frames)
        frame = {"session": run["session"], "message": uid, "run": run["run"], "sequence": number}
        await self.send({"type": "publish", **frame, **self.who, "chunks": list(chunks), **fields})
        answer = await self.until(lambda frame: frame.get("sequence") == number and frame in self.frames[seen:])
        if answer["type"] == "published":
            self.sequences[uid] = number
            return answer["serial"]
        return answer["code"]

    async def begin(self, run: Frame, *more: Chunk) -> Any:
        return await self.publish(run, {"type": "start", "messageId": run["message"]}, *more)

    async def heard(self, kind: str) -> Frame:
        """Wait for a signal of this kind; return it."""
        frame = await self.until(lambda frame: frame["type"] == "inbox" and frame["signal"]["kind"] == kind)
        signal: Frame = frame["signal"]
        return signal


class HttpWorker(RawWorker):
    """The same over HTTP: its claims are long polls, and the runs that it was given are said again in each."""

    async def __aenter__(self) -> Self:
        self._client = AsyncClient(enforce_csrf_checks=True)
        self._polling: asyncio.Task[None] | None = None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def send(self, frame: Frame) -> None:
        if frame["type"] == "claim":
            if self._polling:
                self._polling.cancel()
                await asyncio.gather(self._polling, return_exceptions=True)
            await self._poll(frame, wait_ms=0)
            self._polling = asyncio.create_task(self._keep_polling(frame))
        elif frame["type"] == "publish":
            rest = {name: value for name, value in frame.items() if name not in ("type", "session")}
            answer = await self._post(f"/api/sessions/{frame['session']}/publish/", rest)
            about = {"type": "published", "session": frame["session"], "sequence": frame["sequence"]}
            await self._deliver([json.dumps(about | answer)])
        elif frame["type"] == "beat":
            await self._post("/api/beat/", self.who)
        else:
            await self._deliver([json.dumps({"id": frame["id"]} | await self._post("/api/work/", frame))])

    async def _keep_polling(self, frame: Frame) -> None:
        while True:
            held = {told["run"] for told in self.frames if told["type"] == "run"} | set(frame["runs"])
            heard = [told["signal"]["id"] for told in self.frames if told["type"] == "inbox"]
            more = {"id": secrets.token_hex(8), "runs": sorted(held), "signals": heard}
            await self._poll(frame | more, wait_ms=500)
            await asyncio.sleep(0.01)

    async def _poll(self, frame: Frame, *, wait_ms: int) -> None:
        body = {name: value for name, value in frame.items() if name != "type"}
        answer = await self._post("/api/work/claim/", {**body, "wait_ms": wait_ms})
        await self._deliver([json.dumps(each) for each in answer.get("frames", [{"id": frame["id"]} | answer])])

    async def _post(self, path: str, body: Frame) -> Frame:
        grant = self.identity.grant
        assert grant is not None
        text = token(sub=self.identity.owner, scope="work", agents=list(grant.agents), sessions=list(grant.sessions))
        response = await self._client.post(
            path, json.dumps(body), content_type="application/json", headers=bearer(text)
        )
        told: Frame = json.loads(response.content) if response.content else {}
        return told if response.status_code < 400 else {"type": "error", **told}


OWNER = "guest:1"


@pytest.fixture
async def process(settings: Any) -> AsyncIterator[Process]:
    settings.HOLDFAST = settings.HOLDFAST | {"TAIL_POLL_MS": 50, "INBOX_POLL_MS": 20, "REMOTE_AGENTS": [AGENT]}
    process = Process()
    await process.start([lambda here: Runner(here).run])
    yield process
    await process.stop()


class Talk:
    """A session whose agent is elsewhere, with a tab on it."""

    def __init__(self, process: Process) -> None:
        self.tab = Tab(process, OWNER)

    async def __aenter__(self) -> "Talk":
        self.session: str = (await threads.run(lambda: a_session(OWNER, agent=AGENT))).pk
        await self.tab.__aenter__()
        self.followed = await self.tab.attach(self.session)
        return self

    async def __aexit__(self, *problem: Any) -> None:
        await self.tab.__aexit__(*problem)

    async def say(self, text: str, *, kind: str = "message") -> str:
        return await self.tab.say(self.session, text, kind=kind)

    async def send(self, kind: str, **payload: Any) -> dict[str, Any]:
        id = await self.tab.signal(self.session, kind, payload)
        return self.tab.receipts[id]

    async def final(self, id: str) -> Any:
        return await self.tab.wait_status(self.session, id, "applied", "rejected", "expired")

    async def record(self, id: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait for a signal's record that fits; return it."""
        signals = self.followed.signals
        await self.tab.wait_until(lambda: id in signals and condition(signals[id]))
        return signals[id]

    @property
    def answers(self) -> list[Any]:
        return [message for message in self.followed.messages.values() if message.role == "assistant"]

    async def run(self) -> models.Run:
        run: models.Run = await threads.run(
            models.Run.objects.select_related("worker").filter(session=self.session).latest, "created_at"
        )
        return run
