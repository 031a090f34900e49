"""The backend of an agent elsewhere: its response in batches, its signals and requests over the worker's connection."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from agents_app.backend import ApprovalRequest
from agents_app.remote.answer import CHUNK_BYTES, RemoteResponse
from agents_app.remote.transports import Frame
from sessions_app.core.signals import AgentSignal
from sessions_app.core.wire_types import Chunk
from sessions_app.publishing.ticker import Ticker
from sessions_app.runs.agent_inbox import AgentInbox

# Sends a request about a run until it is answered; returns its result. Raises HoldfastError.
Ask = Callable[[Frame], Awaitable[object]]


class ClaimedResponse(RemoteResponse):
    """The response of a run that this worker has claimed."""

    def __init__(
        self, run: str, session: str, uid: str, *, ticker: Ticker, submit: Callable[[RemoteResponse], None]
    ) -> None:
        super().__init__(session, uid, ticker=ticker, submit=submit)
        self._run = run
        self._usage = {"input_tokens": 0, "output_tokens": 0}

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        """Have the next batch count this."""
        self._usage["input_tokens"] += input_tokens
        self._usage["output_tokens"] += output_tokens

    def fields(self) -> dict[str, object]:
        usage = {name: count for name, count in self._usage.items() if count}
        self._usage = dict.fromkeys(self._usage, 0)
        return {"run": self._run, "usage": usage} if usage else {"run": self._run}


class RemoteBackend:
    """The backend of one claimed run; implements `agents_app.backend.Backend`.

    What a chunk settles the site knows by the chunk itself.
    """

    chunk_bytes = CHUNK_BYTES

    def __init__(self, response: ClaimedResponse, inbox: AgentInbox, ask: Ask) -> None:
        self.session = response.session
        self.uid = response.uid
        self.append = response.append
        self._response = response
        self._inbox = inbox
        self._ask = ask

    async def write(self, chunk: Chunk, *, settles: AgentSignal | None = None) -> None:
        await self._response.write(chunk)

    async def flush(self) -> None:
        await self._response.flush()

    def take_steers(self) -> list[AgentSignal]:
        return self._inbox.take_steers()

    async def request_approval(self, request: ApprovalRequest) -> str:
        approval = f"approval_{secrets.token_urlsafe(16)}"
        expires_ms = None if request.expires_s is None else round(request.expires_s * 1000)
        chunk: Chunk = {
            "type": "tool-approval-request",
            "toolCallId": request.call,
            "approvalId": approval,
            "approvalDescriptor": {
                "input_text": request.input_text,
                "expires_ms": expires_ms,
                "editable": request.editable,
            },
        }
        if request.reason:
            chunk["reason"] = request.reason
        await self._response.write(chunk)
        await self._response.flush()
        return approval

    async def wait_for(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        return await self._inbox.wait_for(target, timeout_s)

    async def expire_approval(self, approval: str) -> bool:
        return bool(await self._ask({"type": "expire", "approval": approval}))

    async def begin_call(self, approval: str) -> bool:
        result = await self._ask({"type": "begin", "approval": approval})
        if result == "stop":
            await asyncio.Event().wait()  # its task is cancelled in a moment
        return result == "begun"

    async def end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        await self._response.write(chunk)

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        self._response.count_usage(input_tokens=input_tokens, output_tokens=output_tokens)
