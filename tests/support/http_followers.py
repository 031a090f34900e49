"""Followers over HTTP, as small as a third party would write them from PROTOCOL.md §2."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from sessions_app.core.cursor import Cursor
from tests.support.follower import RETRY_S, Follower
from tests.support.person import Followed, Frame

WAIT_MS = 25_000


class ServerUnavailable(Exception):
    """The server can't answer now."""


class HttpFollower(Follower):
    """A follower that reads one response's frames after the other; `connections` counts the responses.

    One that says nothing for `silence_s` is given up. It follows one session.
    """

    silence_s = 30.0
    path = ""

    async def send(self, frame: Frame) -> None:
        """A signal, which is all that goes up; its receipt is the answer."""
        signal = {name: frame[name] for name in ("id", "kind", "payload")}
        answer = await self.http.post(f"/api/sessions/{frame['session']}/signals/", json=signal)
        await self._take_one(answer.json())

    async def _stay(self) -> None:
        (session,) = self.following
        followed = self.sessions.setdefault(session, Followed(Cursor("none", 0)))
        while True:
            try:
                await self._ask(session, str(followed.cursor) if followed.attached else None)
            except (httpx.TransportError, ServerUnavailable):
                pass  # or the answer was cut
            except Exception as failure:
                self._failure = failure
                self._changed.set()
                return
            await asyncio.sleep(RETRY_S)

    async def _ask(self, session: str, cursor: str | None) -> None:
        raise NotImplementedError

    async def _take_one(self, frame: Frame) -> None:
        await self._take(frame, 0)
        self._changed.set()

    async def _taken(self, session: str, size: int) -> None:
        pass  # over HTTP nothing is acknowledged

    async def _attach(self, session: str, **fields: Any) -> None:
        raise AssertionError(f"a gap after {self.sessions[session].cursor}")


class EventSourceFollower(HttpFollower):
    """A browser's own `EventSource`: it always asks for the same address and names the last id that it was given."""

    last_id = ""

    async def _ask(self, session: str, cursor: str | None) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        await self._read_events("GET", f"/api/sessions/{session}/stream/", headers=headers)

    async def _read_events(self, method: str, path: str, **request: Any) -> None:
        timeout = httpx.Timeout(10, read=self.silence_s)
        async with self.http.stream(method, path, timeout=timeout, **request) as answer:
            check(answer)
            self.connections += 1
            async for event in events_of(answer):
                self.last_id = event.get("id", self.last_id)
                if "data" in event:
                    await self._take_one(json.loads(event["data"]))


class StreamFollower(EventSourceFollower):
    """HTTP streaming as Holdfast's client does it."""

    async def _ask(self, session: str, cursor: str | None) -> None:
        await self._read_events("POST", "/api/stream/", json={"attach": [self._attach_frame(session, cursor)]})

    def _attach_frame(self, session: str, cursor: str | None) -> Frame:
        place = {"cursor": cursor, "held": self._held(self.sessions[session])} if cursor else {}
        return {"type": "attach", "session": session, **place}


class PollFollower(HttpFollower):
    """Long poll in a loop, as with `curl`: the next question has the last answer's cursor."""

    async def _ask(self, session: str, cursor: str | None) -> None:
        question = {"wait_ms": str(WAIT_MS)} | ({"cursor": cursor} if cursor else {})
        answer = await self.http.get(
            f"/api/sessions/{session}/poll/", params=question, timeout=httpx.Timeout(10, read=self.silence_s)
        )
        check(answer)
        self.connections += 1
        for frame in answer.json()["frames"]:
            await self._take_one(frame)


FOLLOWERS: dict[str, type[Follower]] = {
    "websocket": Follower,
    "eventsource": EventSourceFollower,
    "stream": StreamFollower,
    "poll": PollFollower,
}


def check(answer: httpx.Response) -> None:
    """Raise `ServerUnavailable` for a server error, after which a page makes a new `EventSource` too."""
    if answer.status_code >= 500:
        raise ServerUnavailable
    assert answer.status_code == 200, answer


async def events_of(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """An event stream's events: their fields, with the lines of `data` joined. What an end cuts off is dropped."""
    rest = ""
    async for text in answer.aiter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            event: dict[str, str] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(":")
                event[name] = event[name] + "\n" + value if name in event else value.removeprefix(" ")
            event.pop("", None)  # a comment
            yield event
