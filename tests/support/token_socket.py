"""A WebSocket that presents a token, without a server between."""

import asyncio
import json
from typing import Any

from sessions_app.transports.websocket import SessionConsumer
from tests.support.harness import DEADLINE_S

EVIL = "http://evil.example"


class TokenSocket:
    """A WebSocket that presents a token. `said` holds the server's messages."""

    def __init__(self, text: str | None, *, how: str = "header", origin: str = EVIL, cookie: str = "") -> None:
        headers = [(b"host", b"localhost")] + ([(b"origin", origin.encode())] if origin else [])
        offered: list[str] = []
        if how == "header" and text is not None:
            headers.append((b"authorization", f"Bearer {text}".encode()))
        elif text is not None:
            offered = how.format(token=text).split(", ")
        if cookie:
            headers.append((b"cookie", f"holdfast_guest={cookie}".encode()))
        self.scope = {"type": "websocket", "path": "/ws/", "headers": headers, "subprotocols": offered}
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.accepted: dict[str, Any] = {}
        self.said: list[dict[str, Any]] = []
        self.code: int | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "TokenSocket":
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(SessionConsumer()(self.scope, self.inbox.get, self._send))
        await self.until(lambda: self.said)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, DEADLINE_S)

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._changed:
            if message["type"] == "websocket.accept":
                self.accepted = message
            elif message["type"] == "websocket.send":
                self.said.append(json.loads(message["text"]))
            else:
                self.code = message["code"]
            self._changed.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(condition)

    def send(self, frame: dict[str, Any]) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame and return the next message."""
        seen = len(self.said)
        self.send(frame)
        await self.until(lambda: len(self.said) > seen)
        return self.said[seen]

    async def end(self) -> tuple[str, int]:
        """Wait for the close; return the last error's code and the close code."""
        await self.until(lambda: self.code is not None)
        errors = [frame["code"] for frame in self.said if frame["type"] == "error"]
        assert self.code
        return errors[-1], self.code
