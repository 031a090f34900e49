"""A user of the page: cookies, the REST API, and a socket whose frames are applied as PROTOCOL.md requires."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sessions_app.core.cursor import Cursor
from sessions_app.core.fold import MessageState, ended, fold
from sessions_app.core.snapshot import apply_attached, held
from tests.support.harness import DEADLINE_S

Frame = dict[str, Any]


@dataclass
class Followed:
    """A session as its client has it."""

    cursor: Cursor
    messages: dict[str, MessageState] = field(default_factory=dict)  # by id, oldest first
    signals: dict[str, Frame] = field(default_factory=dict)  # records, by id
    serials: list[int] = field(default_factory=list)  # of every event that came live, in the order applied
    attached: list[Frame] = field(default_factory=list)  # the answers to attaching, and the unasked ones
    keeps_replaced: bool = False  # whether it attached with `replaced`
    gaps: int = 0
    detached: Frame | None = None

    @property
    def text(self) -> str:
        """The text of the newest message."""
        return text_of(list(self.messages.values())[-1]) if self.messages else ""


def text_of(message: MessageState) -> str:
    return "".join(part["text"] for part in message.parts if part["type"] == "text")


class Person:
    """`async with Person(server.url) as person:` opens the page as a new guest, and closes everything at the end.

    `url`: where Holdfast is included. What arrives is in `frames` (all, in order), `sessions` (folded), `receipts` (by
    signal), `errors`. Where the URL is a proxy's, everything goes through it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Without TLS: to read the authorities for it takes 20 ms of the processor for each client.
        self.http = httpx.AsyncClient(base_url=url, timeout=DEADLINE_S, verify=False)
        self.socket: ClientConnection | None = None
        self.acknowledges = True
        self.frames: list[Frame] = []
        self.sessions: dict[str, Followed] = {}
        self.receipts: dict[str, Frame] = {}
        self.errors: list[Frame] = []
        self.limits: dict[str, int] = {}
        self.close_code: int | None = None  # of the last socket, when it is closed
        self._failure: Exception | None = None  # a frame that couldn't be applied
        self._changed = asyncio.Event()
        self._unacknowledged: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        (await self.http.get("/")).raise_for_status()
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        await self.disconnect()
        for task in self._tasks:
            task.cancel()
        await self.http.aclose()

    # What a person does

    async def create_session(self, **fields: Any) -> str:
        """Create a session of one's own; return its id."""
        answer = await self.http.post("/api/sessions/", json=fields)
        assert answer.status_code == 201, answer.text
        session: str = answer.json()["id"]
        return session

    async def connect(self, **options: Any) -> Self:
        """Open a socket, in place of the one before, and wait for its first frame. `options` go to `websockets`."""
        await self.disconnect()
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        at = urlsplit(self.url)
        settings = {
            "compression": None,
            "ping_interval": None,
            "max_size": None,
            "origin": f"{at.scheme}://{at.netloc}",
        }
        settings |= {"open_timeout": DEADLINE_S} | options
        self.socket = await connect(
            f"ws://{at.netloc}{at.path}/ws/", additional_headers={"Cookie": cookies}, **settings
        )
        self.close_code = None
        seen = len(self.frames)
        self._start(self._read(self.socket))
        await self.wait_until(lambda: len(self.frames) > seen or self.close_code is not None)
        return self

    async def disconnect(self) -> None:
        if self.socket:
            await self.socket.close()
            self.socket = None

    async def attach(self, session: str, **fields: Any) -> Followed:
        """Follow a session, resuming where one is, and wait for the answer, or the socket's end."""
        followed = self.sessions.setdefault(session, Followed(Cursor("none", 0)))
        seen = len(followed.attached), len(self.errors)
        await self._attach(session, **fields)
        await self.wait_until(lambda: (len(followed.attached), len(self.errors)) != seen or self.close_code is not None)
        return followed

    async def say(self, session: str, text: str, *, id: str = "", kind: str = "message") -> str:
        """Send a message (or a steer) and wait for its receipt; return the signal's id."""
        return await self.signal(session, kind, {"parts": [{"type": "text", "text": text}]}, id=id)

    async def signal(self, session: str, kind: str, payload: Frame, *, id: str = "") -> str:
        """Send a signal and wait for its receipt; return its id."""
        id = id or secrets.token_urlsafe(12)
        self.receipts.pop(id, None)
        await self.send({"type": "signal", "session": session, "id": id, "kind": kind, "payload": payload})
        await self.wait_until(lambda: id in self.receipts)
        return id

    async def wait_status(self, session: str, id: str, *statuses: str) -> Frame:
        """Wait until a signal has one of these statuses; return its record."""
        records = self.sessions[session].signals
        await self.wait_until(lambda: id in records and records[id]["status"] in statuses)
        return records[id]

    async def send(self, frame: Frame) -> None:
        assert self.socket, "connect first"
        await self.socket.send(json.dumps(frame))

    async def wait_until(self, condition: Callable[[], object], within: float = DEADLINE_S) -> None:
        """Wait until the condition holds, looking after each frame; fail with the newest frames after `within` s."""
        deadline = asyncio.get_running_loop().time() + within
        while not condition():
            if self._failure:
                raise self._failure
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):  # `wait_for` may swallow a cancellation (Python 3.11)
                    await self._changed.wait()
            except TimeoutError:
                if condition():
                    return
                raise AssertionError(f"not within {within} s; the newest frames: {self.frames[-5:]}") from None

    async def wait_for_end(self, session: str, within: float = DEADLINE_S) -> MessageState:
        """Wait until the session's newest message is an answer that has ended."""

        def answer() -> MessageState | None:
            newest = list(self.sessions[session].messages.values())[-1:]
            return newest[0] if newest and newest[0].role == "assistant" and ended(newest[0]) else None

        await self.wait_until(answer, within)
        message = answer()
        assert message
        return message

    # What a client does

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                if socket is not self.socket:
                    return  # replaced: its frames are dropped
                await self._take(json.loads(text), len(text))
                self._changed.set()
        except ConnectionClosed:
            pass  # without a close frame: its code says so
        except Exception as failure:
            self._failure = failure
        if socket is self.socket:
            self.close_code = socket.close_code
        self._changed.set()

    async def _take(self, frame: Frame, size: int) -> None:
        self.frames.append(frame)
        if frame["type"] == "connected":
            self.limits = frame["limits"]
        elif frame["type"] == "attached":
            self._reload(self.sessions[frame["session"]], frame)
            await self._taken(frame["session"], size)
        elif frame["type"] == "events":
            await self._apply(frame["session"], frame)
            await self._taken(frame["session"], size)
        elif frame["type"] == "receipt":
            self.receipts[frame["id"]] = frame
        elif frame["type"] == "detached":
            self.sessions[frame["session"]].detached = frame
        elif frame["type"] == "error":
            self.errors.append(frame)

    def _reload(self, followed: Followed, frame: Frame) -> None:
        if not frame["resumed"]:
            followed.signals.clear()
        followed.signals |= {record["id"]: record for record in frame["signals"]}
        apply_attached(followed.messages, frame, after=followed.cursor.serial)  # type: ignore[arg-type]
        followed.cursor = Cursor.parse(frame["cursor"])
        followed.attached.append(frame)

    async def _apply(self, session: str, frame: Frame) -> None:
        followed = self.sessions[session]
        new = [event for event in frame["events"] if event["serial"] > followed.cursor.serial]
        if new and new[0]["serial"] > followed.cursor.serial + 1:
            followed.gaps += 1
            await self._attach(session)
            return
        for event in new:
            fold(followed.messages, event, keep_replaced=followed.keeps_replaced)
            if "signal" in event:
                followed.signals[event["signal"]["id"]] = event["signal"]
            followed.serials.append(event["serial"])
            followed.cursor = Cursor(followed.cursor.epoch, event["serial"])

    async def _attach(self, session: str, **fields: Any) -> None:
        followed = self.sessions[session]
        followed.keeps_replaced = fields.get("replaced", followed.keeps_replaced)
        place = {"cursor": str(followed.cursor), "held": self._held(followed)} if followed.attached else {}
        place |= {"replaced": True} if followed.keeps_replaced else {}
        await self.send({"type": "attach", "session": session, **place, **fields})

    def _held(self, followed: Followed) -> dict[str, list[int]]:
        return {message.id: held(message) for message in followed.messages.values() if not ended(message)}

    async def _taken(self, session: str, size: int) -> None:
        waiting = self._unacknowledged.get(session)
        self._unacknowledged[session] = (waiting or 0) + size
        if self._unacknowledged[session] >= self.limits["ack_bytes"]:
            await self._acknowledge(session)
        elif waiting is None:
            self._start(self._acknowledge_soon(session))

    async def _acknowledge_soon(self, session: str) -> None:
        await asyncio.sleep(self.limits["ack_ms"] / 2000)
        if session in self._unacknowledged and self.socket:
            try:
                await self._acknowledge(session)
            except ConnectionClosed:
                pass

    async def _acknowledge(self, session: str) -> None:
        self._unacknowledged.pop(session, None)
        if self.acknowledges:
            followed = self.sessions[session]
            await self.send(
                {"type": "ack", "session": session, "cursor": str(followed.cursor), "held": self._held(followed)}
            )

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
