"""A worker's connection to a site: a publisher's, on which runs are claimed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from agents_app.remote.backend import ClaimedResponse
from agents_app.remote.publisher import PATIENCE_S, RETRY_FIRST_S, Publisher, problem_of
from agents_app.remote.transports import Frame, HttpTransport, PublisherTransport, TransportLost, WebSocketTransport
from sessions_app.core import busy
from sessions_app.core.errors import HoldfastError

logger = logging.getLogger(__name__)

POLL_PAUSE_S = 0.02  # between two polls: one may bring what the worker is about to do


class Link(Publisher):
    """The connection of one worker. `told` is called with each frame that the site sends by itself.

    `held` returns the runs that the worker has, `heard` the newest signals; `ended` is called with the
    runs that don't go on.
    """

    def __init__(
        self,
        url: str,
        *,
        agents: Iterable[str],
        most: int,
        told: Callable[[Frame], None],
        held: Callable[[], list[str]],
        heard: Callable[[], list[str]],
        ended: Callable[[str], None],
        **options: Any,
    ) -> None:
        super().__init__(url, **options)
        self._agents = list(agents)
        self._while_busy = {agent: busy.policy_of(agent) for agent in self._agents}
        self._most = most
        self._receive = told
        self._held = held
        self._heard = heard
        self._ended = ended
        self._claiming = asyncio.Lock()

    async def claim_no_more(self) -> None:
        """End claiming; runs that are given all the same are to be handed back."""
        self._most = 0
        await self.claim_again()

    async def claim_again(self) -> None:
        """Say again which runs this worker has: the site ends those that it hasn't any more."""
        if self._transport is not None and not self._transport.polls:  # the next poll says so
            await self._claim(self._transport)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run work in a task that ends with the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def broken(self) -> HoldfastError:
        """Wait until the site refuses this worker for good; return why."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._problem is not None)
        assert self._problem is not None  # it was waited for
        return self._problem

    def response_of(self, run: Frame) -> ClaimedResponse:
        """Return the response of a run that was given to this worker."""
        return ClaimedResponse(run["run"], run["session"], run["message"], ticker=self._ticker, submit=self._submit)

    async def ask(self, frame: Frame) -> Any:
        """Send a request until it is answered; return its result. Raises HoldfastError."""
        asked = {**frame, "id": secrets.token_urlsafe(16), **self._who}
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._answer(lambda transport: transport.ask(asked))
        except TimeoutError:
            raise HoldfastError("storage_unavailable") from None
        if answer["type"] == "error":
            raise problem_of(answer)
        return answer["result"]

    async def _open(self, token: str) -> PublisherTransport | Frame:
        try:
            return await WebSocketTransport.open(self._url, token, self._receive)
        except TransportLost as lost:
            logger.debug("no WebSocket: %s", lost)
        return await HttpTransport.open(self._url, token, self._who, self._receive)

    async def _change(self, transport: PublisherTransport | None) -> None:
        await super()._change(transport)
        if transport is not None:
            self.start(self._claim(transport))

    async def _claim(self, transport: PublisherTransport) -> None:
        """Say which runs this worker has and how many it takes; end those that the site has given up.

        On one transport alone: to say it later would be about runs that the worker had.
        """
        async with self._claiming:
            while transport is self._transport:
                held = self._held()
                who = {"id": secrets.token_urlsafe(16), **self._who}
                about = {
                    "agents": self._agents, "while_busy": self._while_busy, "most": self._most, "runs": held,
                    "signals": self._heard(),
                }  # fmt: skip
                try:
                    answer = await transport.claim({"type": "claim", **about, **who})
                except TransportLost:
                    return
                if answer["type"] == "answer":
                    self._beat_s = min(self._beat_s, answer["result"]["lease_ms"] / 3000)
                    for run in set(held) - set(answer["result"]["runs"]):
                        self._ended(run)
                    if not transport.polls:
                        return
                    await asyncio.sleep(POLL_PAUSE_S)
                    continue
                if not answer["retryable"]:
                    self._problem = problem_of(answer)
                    await super()._change(None)
                    return
                await asyncio.sleep(RETRY_FIRST_S)
