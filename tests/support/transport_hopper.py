"""A reader that changes its transport and its server repeatedly, mid-word."""

import asyncio
from random import Random
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from sessions_app.core.cursor import Cursor
from tests.support.follower import RETRY_S
from tests.support.http_followers import ServerUnavailable, StreamFollower, check
from tests.support.person import Followed, Frame, Person


class TransportHopper(StreamFollower):
    """A follower of one session that stays at most `STAY_S` on a transport, at one of these servers."""

    STAY_S = 0.2

    def __init__(self, *urls: str, seed: int = 1) -> None:
        super().__init__(urls[0])
        self.urls = urls
        self.hops: list[str] = []
        self.routes: set[tuple[str, str]] = set()  # (server, transport) that events or states came over
        self._random = Random(seed)
        self._transport = ""

    async def _stay(self) -> None:
        (session,) = self.following
        self.sessions.setdefault(session, Followed(Cursor("none", 0)))
        while True:
            transport = self._transport = self._random.choice(("websocket", "stream", "poll"))
            self.url = self._random.choice(self.urls)
            self.http.base_url = self.url
            try:
                async with asyncio.timeout(self._random.uniform(0.01, self.STAY_S)):
                    await getattr(self, f"_{transport}")(session)
            except TimeoutError:
                pass
            except (OSError, EOFError, httpx.TransportError, WebSocketException, ServerUnavailable):
                await asyncio.sleep(RETRY_S)
            except Exception as failure:
                self._failure = failure
                self._changed.set()
                return
            self.hops.append(transport)
            self._changed.set()

    async def _take(self, frame: Frame, size: int) -> None:
        await super()._take(frame, size)
        if frame["type"] in ("attached", "events"):
            self.routes.add((self.url, self._transport))

    def _place(self, session: str) -> Frame:
        followed = self.sessions[session]
        return self._attach_frame(session, str(followed.cursor) if followed.attached else None)

    async def _websocket(self, session: str) -> None:
        try:
            await self.connect()
            await Person.send(self, self._place(session))
            await asyncio.Event().wait()
        finally:
            await self.disconnect()

    async def _stream(self, session: str) -> None:
        await self._read_events("POST", "/api/stream/", json={"attach": [self._place(session)]})

    async def _poll(self, session: str) -> None:
        while True:
            body: dict[str, Any] = {"attach": [self._place(session)]}
            answer = await self.http.post("/api/poll/", json=body, timeout=30)
            check(answer)
            for frame in answer.json()["frames"]:
                await self._take_one(frame)
