"""The inbox of an agent at work, inside or elsewhere. No Django: `agents_app.remote` has it too."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sessions_app.core.signals import AgentSignal


class AgentInbox:
    """Inbox of one agent. Keeps signals until the agent asks for them; `stop` is set when the agent has to stop."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._seen: set[int] = set()
        self._steers: list[AgentSignal] = []
        self._awaited: dict[str, asyncio.Future[AgentSignal | None]] = {}

    @property
    def stopping(self) -> bool:
        return self.stop.is_set()

    def halt(self, *, cancelled: bool) -> None:
        self.stop.set()

    @property
    def awaits(self) -> bool:
        """True while the agent waits for a decision or a result."""
        return not all(future.done() for future in self._awaited.values())

    def has(self, key: int) -> bool:
        """Return True if the signal with this key was already added."""
        return key in self._seen

    def put(self, signal: AgentSignal) -> bool:
        """Add a signal. Return False if it was already added."""
        if self.has(signal.key):
            return False
        self._seen.add(signal.key)
        if signal.kind == "steer":
            self._steers.append(signal)
        elif not self._future(signal.target).done():
            self._future(signal.target).set_result(signal)
        return True

    def expire(self, approval: str) -> None:
        """Resolve an approval as expired."""
        if not self._future(approval).done():
            self._future(approval).set_result(None)

    def take_steers(self) -> list[AgentSignal]:
        """Return the steers received since the last call."""
        steers, self._steers = self._steers, []
        return steers

    async def wait_for(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        """Wait for an approval's decision or a tool call's result. Return None if it expires or times out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._future(target))
        return None

    def _future(self, target: str) -> asyncio.Future[AgentSignal | None]:
        return self._awaited.setdefault(target, asyncio.get_running_loop().create_future())
