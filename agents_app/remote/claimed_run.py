"""One run at a worker elsewhere: its agent answers, and its response ends whatever happens."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from agents_app import registry, sync_turn
from agents_app.remote import trace_context
from agents_app.remote.backend import RemoteBackend
from agents_app.remote.link import Link
from agents_app.remote.transports import Frame
from agents_app.turn import AgentFailed, Mode, Turn
from sessions_app.core.errors import HoldfastError
from sessions_app.core.fold import MessageState
from sessions_app.core.message import from_wire
from sessions_app.core.signals import AgentSignal
from sessions_app.core.wire_types import Chunk
from sessions_app.runs.agent_inbox import AgentInbox
from sessions_app.telemetry import log_context

logger = logging.getLogger(__name__)

HISTORY = 50  # messages that an agent receives
GRACE_S = 1.0  # for a stopped agent to tidy up; then its response ends without it
END_S = 5.0  # for the end of a run to reach the site when its worker stops
GONE = "The agent's process was stopped before it finished."
FAILED = "The agent failed. What it had written is kept; ask again, or see the log of its process."
STOPPED = "Stopped."
STOPPED_BUSY = "Stopped. The agent was still busy and was cut off: what it still does is not shown."


class ClaimedRun:
    """One run that this worker holds; `perform` answers it."""

    def __init__(self, link: Link, frame: Frame) -> None:
        self.id: str = frame["run"]
        self._link = link
        self._frame = frame
        self._response = link.response_of(frame)
        self._inbox = AgentInbox()
        self._keys: dict[str, int] = {}  # of the signals that have come, by their ids
        self._is_over = False  # the site has ended it
        self.is_left_open = False  # its end could not be written

    @property
    def heard(self) -> list[str]:
        """The ids of the signals that have come."""
        return list(self._keys)

    # What comes from the site

    def put(self, signal: Frame) -> None:
        """Take a signal; each is told again after a reconnect."""
        key = self._keys.setdefault(signal["id"], len(self._keys))
        told = AgentSignal(
            key,
            signal["id"],
            signal["kind"],
            signal["actor"],
            signal["target"],
            signal["payload"],
            signal.get("issued_by", ""),
        )
        self._inbox.put(told)

    def expire(self, approval: str) -> None:
        """Resolve an approval as expired."""
        self._inbox.expire(approval)

    def stop(self, *, is_over: bool) -> None:
        """Stop the agent. `is_over`: the run has ended, and nothing can be written."""
        self._is_over = self._is_over or is_over
        self._inbox.stop.set()

    # The agent

    async def perform(self) -> None:
        """Run the agent, within the site's trace, and end its response."""
        log_context.work_on(session=self._frame["session"], run=self.id)
        with trace_context.of(self._frame.get("traceparent", "")):
            agent = asyncio.create_task(self._answer())
        stop = asyncio.create_task(self._inbox.stop.wait())
        try:
            await asyncio.wait({agent, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not agent.done():
                stopped = await _cancel(agent)
                await self._end({"type": "abort", "reason": STOPPED if stopped else STOPPED_BUSY})
            elif agent.cancelled():
                logger.error("agent %s cancelled itself in run %s", self._frame["agent"], self.id)
                await self._end({"type": "error", "errorText": FAILED})
        except asyncio.CancelledError:
            await _cancel(agent)
            await self._give_up()
            raise
        finally:
            stop.cancel()

    async def hand_back(self) -> bool:
        """Return the run to the queue. False if it has begun."""
        return bool(await self._ask({"type": "hand-back"}))

    async def _give_up(self) -> None:
        """Hand the run back, or end it: this worker stops."""
        try:
            async with asyncio.timeout(END_S):
                if self._response.begun or not await self.hand_back():
                    await self._end({"type": "interrupt", "reason": GONE})
        except (HoldfastError, TimeoutError) as problem:
            logger.warning("run %s ends with this worker's lease: %s", self.id, problem)

    async def _answer(self) -> None:
        name = self._frame["agent"]
        try:
            await self._speak()
        except AgentFailed as problem:
            await self._end({"type": "error", "errorText": str(problem)})
        except HoldfastError as problem:  # a chunk was refused, the run is fenced, or the site can't be reached
            logger.warning("run %s: %s", self.id, problem.message)
            await self._end({"type": "error", "errorText": problem.message})
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException:  # SystemExit too: it would end the whole process
            logger.exception("agent %s failed in run %s", name, self.id)
            await self._end({"type": "error", "errorText": FAILED})

    async def _speak(self) -> None:
        history = await self._history()
        turn = Turn(
            RemoteBackend(self._response, self._inbox, self._ask), history, mode=cast(Mode, self._frame["mode"])
        )
        await turn.begin()
        agent = registry.find(self._frame["agent"])
        if agent is None:
            raise LookupError(f"no agent is named {self._frame['agent']!r}")
        await sync_turn.perform(agent, turn)
        await turn.finish()

    async def _history(self) -> list[MessageState]:
        """Return the newest messages: those that came with the run, and what didn't fit into its frame."""
        messages, older = self._frame["messages"], self._frame["older"]
        while older and messages and len(messages) < HISTORY:
            asked = {"type": "history", "before": messages[0]["id"], "limit": HISTORY - len(messages)}
            page = cast(Frame, await self._ask(asked))
            messages, older = page["messages"] + messages, page["older"] and bool(page["messages"])
        return list(map(from_wire, messages))

    async def _end(self, chunk: Chunk) -> None:
        if self._is_over:
            return
        try:
            await self._response.close(chunk)
        except HoldfastError as problem:
            logger.warning("run %s could not be ended: %s", self.id, problem.message)
            self.is_left_open = problem.code != "fenced"

    async def _ask(self, frame: Frame) -> object:
        return await self._link.ask({**frame, "session": self._frame["session"], "run": self.id})


async def _cancel(agent: asyncio.Task[None]) -> bool:
    """Stop an agent. False if it has not stopped within GRACE_S."""
    agent.cancel()
    await asyncio.wait({agent}, timeout=GRACE_S)
    return agent.done()
