"""Workers over HTTP (PROTOCOL.md §16): a claim is a long poll, and each request has its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

from django.http import HttpRequest, HttpResponse

from sessions_app import process
from sessions_app.auth.identity import Identity
from sessions_app.core import frames
from sessions_app.core.errors import HoldfastError
from sessions_app.http.guards import guard, json_body, json_response
from sessions_app.transports.long_poll import wait_s_of
from sessions_app.workers.remote_workers import ASKED


@guard("POST", kind="publish")
async def ask(request: HttpRequest, identity: Identity) -> HttpResponse:
    """`POST /api/work/`: a request about a run that the worker holds."""
    body = json_body(request)
    if body.get("type") not in ASKED:
        raise HoldfastError("unknown_type", f"the server takes {', '.join(sorted(ASKED))}")
    answer = await (await process.current()).workers.ask(identity, frames.read(body))
    return json_response(answer.encode())


@guard("POST", kind="publish")
async def claim(request: HttpRequest, identity: Identity) -> HttpResponse:
    """`POST /api/work/claim/`: claim until there is news for the worker."""
    body = json_body(request)
    wait_s = wait_s_of(body.pop("wait_ms", None))
    frame = frames.read({**body, "type": "claim"})
    poll = ClaimPoll(identity)
    try:
        await (await process.current()).workers.claim(poll, frame)
        await poll.wait(wait_s)
    finally:
        poll.close()
    return json_response(f'{{"frames":[{",".join(poll.texts)}]}}'.encode())


class ClaimPoll:
    """The connection of a worker for the time of one poll. The first frame, which answers the claim, isn't news."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.texts: list[str] = []
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def queue(self, text: str) -> None:
        self.texts.append(text)
        if len(self.texts) > 1:
            self._news.set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(lambda task: self._news.set())  # the process stops, or another connection claims

    async def wait(self, wait_s: float) -> None:
        """Wait for news."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news.wait()

    def close(self) -> None:
        """Claim no more."""
        for task in self._tasks:
            task.cancel()
