"""An AI SDK client's WebSocket, without a server between, and its requests as the vendor's transport reads them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from sessions_app.transports.ai_sdk.websocket import ChatConsumer
from tests.support.chat import Chunk, Stream
from tests.support.harness import DEADLINE_S
from tests.support.requests import GUEST

OURS, EVIL = "http://localhost", "http://evil.example"
FINAL = ("end", "error", "no-active")


class ChatSocket:
    """One socket, for `async with`. Without `reads`, the server waits for it at each frame."""

    def __init__(self, *, guest: str = GUEST, origin: str = OURS, offered: tuple[str, ...] = ()) -> None:
        headers = [(b"host", b"localhost"), (b"origin", origin.encode())]
        if guest:
            headers.append((b"cookie", f"holdfast_guest={guest}".encode()))
        self.scope = {"type": "websocket", "path": "/ws/chat/", "headers": headers, "subprotocols": [*offered]}
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.accepted: dict[str, Any] = {}
        self.frames: list[dict[str, Any]] = []
        self.code: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "ChatSocket":
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(ChatConsumer()(self.scope, self.inbox.get, self._send))
        await self.until(lambda: self.accepted)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reads.set()
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, DEADLINE_S)

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            await self.reads.wait()
        async with self._changed:
            if message["type"] == "websocket.accept":
                self.accepted = message
            elif message["type"] == "websocket.send":
                self.frames.append(json.loads(message["text"]))
            else:
                self.code = message["code"]
            self._changed.notify_all()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(condition)

    def say(self, frame: Any) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    def send(self, chat: Chunk, request: str = "r1", **fields: Any) -> "Request":
        """Send a body as the vendor's transport does, and return the request. `fields`: of the frame itself."""
        own = {name: chat[name] for name in ("id", "trigger", "messageId", "messages") if name in chat}
        rest = {name: value for name, value in chat.items() if name not in own}
        frame = {"type": "send", "requestId": request, **own, "headers": {}, "body": rest}
        self.say(frame | fields)
        return Request(self, request)

    def resume(self, chat: str, request: str = "r1") -> "Request":
        self.say({"type": "resume", "requestId": request, "id": chat, "headers": {}, "body": {}})
        return Request(self, request)

    def abort(self, request: str = "r1") -> None:
        self.say({"type": "abort", "requestId": request})


class Request:
    """What one request was told so far. A gap in its sequence or a frame after its end fails the test."""

    def __init__(self, socket: ChatSocket, id: str) -> None:
        self.socket = socket
        self.id = id
        self._since = len(socket.frames)

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [frame for frame in self.socket.frames[self._since :] if frame["requestId"] == self.id]

    @property
    def chunks(self) -> list[Chunk]:
        told = [frame for frame in self.frames if frame["type"] == "chunk"]
        assert [frame["sequence"] for frame in told] == [*range(len(told))]
        return [frame["chunk"] for frame in told]

    @property
    def types(self) -> list[str]:
        return [chunk["type"] for chunk in self.chunks]

    @property
    def end(self) -> str:
        """The type of the frame that has ended it, or nothing."""
        ends = [place for place, frame in enumerate(self.frames) if frame["type"] in FINAL]
        assert not ends or ends == [len(self.frames) - 1]
        return self.frames[-1]["type"] if ends else ""

    async def all(self) -> list[Chunk]:
        """Wait until it has ended well; return its chunks."""
        await self.socket.until(lambda: self.end)
        assert self.end == "end" and self.frames[0]["type"] == "start", self.frames
        return self.chunks

    async def refusal(self) -> Any:
        """Wait until it is refused; return the error."""
        await self.socket.until(lambda: self.end)
        [frame] = self.frames
        assert frame["type"] == "error", frame
        return json.loads(frame["errorText"])

    async def code(self) -> str:
        return str((await self.refusal())["code"])

    async def until(self, type: str) -> None:
        await self.socket.until(lambda: type in self.types)

    def message(self, holds: Chunk | None = None) -> Stream:
        """The message that its chunks make."""
        stream = Stream(None, holds)
        for chunk in self.chunks:
            stream._take(chunk, None)
        return stream
