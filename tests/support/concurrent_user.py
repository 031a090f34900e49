"""A user with two tabs who asks, steers, stops and decides without waiting, despite server faults.

Each tab keeps all that it was told, so that `tests.support.session_invariants` can compare it with what is stored.
"""

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from sessions_app.core.fold import ended
from tests.support.follower import Follower
from tests.support.http_followers import ServerUnavailable
from tests.support.person import Frame

PATIENCE_S = 5.0  # for a receipt, before the same signal is sent again
PAUSES_S = 0.02, 0.25  # between two things that a person does


class RetryingFollower(Follower):
    """A follower that sends a signal until it is answered."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.all_receipts: dict[str, list[Frame]] = {}  # signal → every receipt of it

    async def hop(self) -> None:
        """Cut the connection; it connects again by itself, perhaps to another server."""
        if self.socket:
            await self.socket.close()

    async def send_until_answered(self, session: str, kind: str, payload: Frame, id: str) -> Frame:
        """Send a signal until it has a final receipt; return it."""
        while True:
            receipt = await self._try(session, kind, payload, id)
            if receipt and not (receipt["status"] == "rejected" and receipt["error"]["retryable"]):
                self.all_receipts.setdefault(id, []).append(receipt)
                return receipt
            await asyncio.sleep(0.1)

    async def _try(self, session: str, kind: str, payload: Frame, id: str) -> Frame | None:
        self.receipts.pop(id, None)
        if self._failure:
            raise self._failure  # or it would be sent for ever
        # The server is away, or went meanwhile.
        with suppress(OSError, httpx.TransportError, WebSocketException, AssertionError, ServerUnavailable):
            await self.send({"type": "signal", "session": session, "id": id, "kind": kind, "payload": payload})
            socket = self.socket
            await self.wait_until(
                lambda: id in self.receipts or self.close_code is not None or self.socket is not socket, PATIENCE_S
            )
        return self.receipts.get(id)


class RoamingTab(RetryingFollower):
    """Follows its sessions at whichever of the servers it comes to, and leaves when `hop` says so."""

    def __init__(self, *urls: str, random: Random) -> None:
        super().__init__(urls[0])
        self.urls = urls
        self._random = random

    async def connect(self, **options: Any) -> "RoamingTab":
        self.url = self._random.choice(self.urls)
        return await super().connect(**options)


class ConcurrentUser:
    """A user with one session and two tabs on it; `sent` holds each signal's kind and payload, by id.

    `steers`, `stops`: how probably they say something or stop the answer, at each moment.
    """

    def __init__(
        self, first: RetryingFollower, second: RetryingFollower, session: str, random: Random,
        *, steers: float = 0.15, stops: float = 0.1,
    ) -> None:  # fmt: skip
        self.tabs = [first, second]
        self.session = session
        self.sent: dict[str, tuple[str, Frame]] = {}
        self.receipts: dict[str, Frame] = {}
        self._random = random
        self._steers = steers
        self._stops = stops
        self._decided: set[str] = set()
        self._actions: set[asyncio.Task[None]] = set()

    async def ask(self, questions: int) -> None:
        """Ask questions, and do what people do until each is answered."""
        for _ in range(questions):
            await self.send("message", self._text())
            while not self._answered():
                await asyncio.sleep(self._random.uniform(*PAUSES_S))
                self._decide()
                self._do_something()
        await asyncio.gather(*self._actions)
        for id, receipt in self.receipts.items():
            if receipt["status"] == "accepted":
                await self._random.choice(self.tabs).send_until_answered(self.session, *self.sent[id], id)

    async def send(self, kind: str, payload: Frame, *, twice: bool = False) -> None:
        """Send a signal from either tab, or from both, until it is answered."""
        id = f"{kind}-{len(self.sent)}-{self._random.getrandbits(40):010x}"
        self.sent[id] = kind, payload
        tabs = self.tabs if twice else [self._random.choice(self.tabs)]
        receipts = await asyncio.gather(*(tab.send_until_answered(self.session, kind, payload, id) for tab in tabs))
        self.receipts[id] = receipts[0]

    async def settle(self) -> None:
        """Wait until both tabs show everything as ended."""
        for tab in self.tabs:
            await tab.wait_until(lambda tab=tab: self._at_rest(tab), 120)
        last = max(tab.sessions[self.session].cursor.serial for tab in self.tabs)
        for tab in self.tabs:
            await tab.wait_until(lambda tab=tab: tab.sessions[self.session].cursor.serial >= last, 60)

    def _at_rest(self, tab: RetryingFollower) -> bool:
        followed = tab.sessions[self.session]
        records = followed.signals
        known = all(id in records for id, receipt in self.receipts.items() if receipt["status"] == "accepted")
        done = all(record["status"] not in ("accepted", "delivered") for record in records.values())
        return known and done and all(map(ended, followed.messages.values())) and tab.close_code is None

    def _answered(self) -> bool:
        messages = [list(tab.sessions[self.session].messages.values()) for tab in self.tabs]
        return any(have and have[-1].role == "assistant" and ended(have[-1]) for have in messages)

    def _do_something(self) -> None:
        chance = self._random.random()
        if chance < self._steers:
            self._soon("steer", self._text())
        elif chance < self._steers + 0.05:
            hop = asyncio.ensure_future(self._random.choice(self.tabs).hop())
            self._actions.add(hop)
            hop.add_done_callback(self._actions.discard)
        elif chance > 1 - self._stops:
            for _ in range(self._random.choice([1, 2])):
                self._soon("cancel", {})

    def _decide(self) -> None:
        """Decide most approvals that either tab shows; sometimes both tabs decide."""
        for tab in self.tabs:
            for message in list(tab.sessions[self.session].messages.values()):
                for part in message.parts:
                    if part.get("state") == "approval-requested" and not ended(message):
                        self._decide_about(part)

    def _decide_about(self, part: Frame) -> None:
        approval, hash_ = part["approval"]["id"], part["approval"]["descriptor"]["input_hash"]
        if approval in self._decided or self._random.random() < 0.5:
            return
        self._decided.add(approval)
        chance = self._random.random()
        if chance < 0.1:
            return  # it expires
        if chance < 0.2:
            self._soon("approve", {"approval": approval, "input_hash": "sha256:of another"})
        if chance < 0.4:
            self._soon("deny", {"approval": approval})
        if chance > 0.3:
            self._soon("approve", {"approval": approval, "input_hash": hash_}, twice=chance > 0.9)

    def _text(self) -> Frame:
        orders = [self._random.choice(["w3", "w8", "s", "s", "a"]) for _ in range(self._random.randint(2, 6))]
        return {"parts": [{"type": "text", "text": " ".join(["w2", *orders])}]}

    def _soon(self, kind: str, payload: Frame, *, twice: bool = False) -> None:
        action = asyncio.ensure_future(self.send(kind, payload, twice=twice))
        self._actions.add(action)
