"""A user whose client reconnects by itself, and who detects that shown content was taken back."""

import asyncio
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import WebSocketException

from sessions_app.core.fold import MessageState, ended
from tests.support.person import Frame, Person, text_of

RETRY_S = 0.05


class Follower(Person):
    """A user that `follow`s sessions; `resets` and `taken_back` should stay empty despite kills."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.following: list[str] = []
        self.shown: dict[tuple[str, str], str] = {}  # session, message → the longest text that was shown
        self.taken_back: list[str] = []
        self.resets: list[str] = []
        self.connections = 0
        self._keeper: asyncio.Task[None] | None = None

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        if self._keeper:
            self._keeper.cancel()
        await super().__aexit__(kind, error, trace)

    async def follow(self, *sessions: str) -> Self:
        """Connect, attach, and stay connected from now on."""
        self.following += sessions
        self._keeper = asyncio.create_task(self._stay())
        await self.wait_until(lambda: all(self._has(session) for session in self.following))
        return self

    def messages(self, session: str) -> list[MessageState]:
        return list(self.sessions[session].messages.values())

    def all_ended(self) -> bool:
        return all(ended(message) for session in self.following for message in self.messages(session))

    def all_answered(self) -> bool:
        """Return whether each session's last message is an answer, and every answer has ended."""
        return self.all_ended() and all(self.messages(session)[-1].role == "assistant" for session in self.following)

    def _has(self, session: str) -> bool:
        return session in self.sessions and bool(self.sessions[session].attached)

    async def _stay(self) -> None:
        while True:
            try:
                await self.connect()
                self.connections += 1
                for session in self.following:
                    await self.attach(session)
                await self.wait_until(lambda: self.close_code is not None, within=600)
            except (OSError, WebSocketException, AssertionError, EOFError):
                pass  # the server is away, or went in the middle of it
            await asyncio.sleep(RETRY_S)

    async def _take(self, frame: Frame, size: int) -> None:
        await super()._take(frame, size)
        if frame["type"] == "attached" and frame["reason"]:
            self.resets.append(frame["reason"])
        if frame["type"] in ("attached", "events"):
            self._compare(frame["session"])

    def _compare(self, session: str) -> None:
        have = {uid: text_of(message) for uid, message in self.sessions[session].messages.items()}
        for (where, uid), text in self.shown.items():
            if where == session and not have.get(uid, "").startswith(text):
                self.taken_back.append(f"{uid}: {text[-40:]!r} became {have.get(uid, '')[-40:]!r}")
        self.shown |= {(session, uid): text for uid, text in have.items()}
