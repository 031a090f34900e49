"""The agent backend: everything that a turn needs from the process it runs in, as one protocol.

`Turn` and `ToolCall` stand over it and import neither Django nor the site's code, so an agent function runs wherever a
backend exists: `agents_app.local.backend` for agents in the site's own processes, `agents_app.testing` for rehearsals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from sessions_app.core.signals import AgentSignal, input_hash
from sessions_app.core.wire_types import Chunk

Arguments = dict[str, Any]


class ChunkWriter(Protocol):
    """A response that chunks can be written to, here or at a site elsewhere."""

    session: str
    uid: str
    """The message id of the response."""

    async def write(self, chunk: Chunk) -> None:
        """Add one chunk, without waiting until it is stored; wait only while too much is not.

        Raises HoldfastError if the chunk is refused, or if the response can't go on.
        """

    def append(self, kind: str, part: str, text: str) -> bool:
        """Append to a part of text or reasoning, as `write` with the same chunk: a `text-delta` or `reasoning-delta`.

        Return False, with nothing changed, where only `write` can: it may have to wait, to divide the text or to raise.
        """

    async def flush(self) -> None:
        """Wait until everything written is stored. Raises HoldfastError."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A question to people about one tool call, with its exact arguments."""

    call: str
    tool: str
    input_text: str
    """The JSON text of the arguments: people decide about it, and the call gets what it says."""
    reason: str
    expires_s: float | None
    """For how long people may decide; None: as long as the session lives."""
    editable: bool
    """Return whether the person who approves may change the arguments."""

    @property
    def input_hash(self) -> str:
        return input_hash(self.input_text)

    def chunk(self, approval: str, *, expires_at: int | None) -> Chunk:
        """Return the chunk that asks. `expires_at`: milliseconds since 1970, by the clock that will judge it."""
        descriptor = {
            "input_hash": self.input_hash,
            "input_text": self.input_text,
            "expires_at": expires_at,
            "editable": self.editable,
        }
        chunk: Chunk = {
            "type": "tool-approval-request",
            "toolCallId": self.call,
            "approvalId": approval,
            "approvalDescriptor": descriptor,
        }
        return chunk | {"reason": self.reason} if self.reason else chunk


class Backend(ChunkWriter, Protocol):
    """One run's connection to its session: its response, its signals, its approvals.

    When the run is to stop, the backend's owner cancels the agent's task: no verb reports it.
    """

    chunk_bytes: int
    """The largest chunk that is taken, in bytes of its JSON."""

    async def write(self, chunk: Chunk, *, settles: AgentSignal | None = None) -> None:
        """Add one chunk; see `ChunkWriter.write`. The signal becomes `applied` in the transaction that stores it."""

    def take_steers(self) -> list[AgentSignal]:
        """Return the steers that have arrived since the last call, in order. Each stays open until it is settled."""

    async def request_approval(self, request: ApprovalRequest) -> str:
        """Store an approval and the chunk that asks for it in one transaction; return the approval's id once stored."""

    async def wait_for(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        """Wait for the decision about an approval, or for the result of a tool call that runs at the client.

        Return None if none has arrived within `timeout_s` seconds, or if the approval can't be decided any more.
        """

    async def expire_approval(self, approval: str) -> bool:
        """End the time to decide. False if somebody has decided; `wait_for` then returns the decision."""

    async def begin_call(self, approval: str) -> bool:
        """Record that an approved call begins, before it does. False if it is not approved, or has begun before.

        If the run is to stop, it doesn't return: the agent's task is about to be cancelled. Raises HoldfastError if the
        run has ended.
        """

    async def end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        """Write the chunk with a call's outcome, and record in the same transaction that the call has ended."""

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        """Add to the tokens that the run's model has read and written."""
