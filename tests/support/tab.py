"""A user's tab on a `Process` in this event loop: the client of `Person`, without a server or network between."""

import asyncio
import json
from typing import Any, Self

from sessions_app.auth.identity import Identity
from sessions_app.core.tokens import Grant
from sessions_app.delivery.connection import Connection
from sessions_app.process import Process
from sessions_app.transports.frame_dispatch import FrameDispatch
from tests.support.person import Frame, Person


class Tab(Person):
    """A connected tab: `async with Tab(process, "guest:1") as tab:`. `options`: of its connection."""

    def __init__(self, process: Process, owner: str, *, grant: Grant | None = None, **options: Any) -> None:
        super().__init__("http://no.server")
        self.process = process
        self.owner = owner
        self.identity = Identity(owner, grant=grant)
        self._options = options
        self.limits = {"ack_bytes": 16_384, "ack_ms": 50}
        self.close_codes: list[int] = []
        self._inbox: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def connect(self, **options: Any) -> Self:
        options = self._options | options
        self.connection = Connection(
            self.process.connections, self.identity, send=self._deliver, close=self._closed, **options
        )
        self.process.connections.admit(self.connection)
        self.dispatch = FrameDispatch(self.process, self.connection)
        self.socket: Any = self.connection
        self._start(self._take_all())
        return self

    async def disconnect(self) -> None:
        self.process.connections.dismiss(self.connection)

    async def send(self, frame: Frame) -> None:
        await self.dispatch.receive(json.dumps(frame), now=asyncio.get_running_loop().time())

    async def _take_all(self) -> None:
        while True:
            text = await self._inbox.get()
            await self._take(json.loads(text), len(text))
            self._changed.set()

    async def _deliver(self, texts: list[str]) -> None:
        for text in texts:
            self._inbox.put_nowait(text)

    async def _closed(self, code: int) -> None:
        self.close_codes.append(code)
        self._changed.set()
