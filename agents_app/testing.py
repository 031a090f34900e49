"""Rehearsals: tests of agents against a script of what people do, without a server, a database or Django.

    answer = await rehearse(librarian, "Lend me a book", steers={1: "a short one"}, decisions=[approve()])
    assert (answer.status, answer.tool("lend")["output"]) == ("complete", "The Old Man and the Sea")

The agent has the same `Turn` as in a session: what is refused there is refused here. Nothing takes time by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from agents_app.backend import ApprovalRequest, Arguments
from agents_app.sync_turn import Agent, perform
from agents_app.tool_call import ToolFailed
from agents_app.turn import AgentFailed, Mode, Turn
from sessions_app.core import fold, json_text, vocabulary
from sessions_app.core.chunk_intake import ChunkIntake
from sessions_app.core.signals import AgentSignal
from sessions_app.core.wire_types import Chunk, Part, Payload

USER = "user:1"
CHUNK_BYTES = 65_536  # a site's default


@dataclass(frozen=True)
class Decided:
    """A scripted decision about an approval; `approve`, `deny` and `expire` make it."""

    kind: Literal["approve", "deny", "expire"]
    payload: Payload = field(default_factory=Payload)
    actor: str = USER


def approve(input: Arguments | None = None, *, reason: str = "", actor: str = USER) -> Decided:
    """A person approves, and edits the arguments if `input` is given."""
    payload: Payload = {"reason": reason}
    if input is not None:
        payload["input"], payload["input_text"] = input, json_text.of(input)
    return Decided("approve", payload, actor)


def deny(reason: str = "", *, actor: str = USER) -> Decided:
    """A person denies."""
    return Decided("deny", {"reason": reason}, actor)


def expire() -> Decided:
    """The time to decide runs out."""
    return Decided("expire")


def person(text: str) -> fold.MessageState:
    """A person's message, for a history."""
    return _message("user", "complete", text)


def response(text: str, *, status: str = "complete") -> fold.MessageState:
    """An agent's message, for a history or to be continued."""
    return _message("assistant", status, text)


def _message(role: str, status: str, text: str) -> fold.MessageState:
    return fold.MessageState(_uid(), role, status, 1, 1, 0, parts=[{"type": "text", "text": text}])


def _uid() -> str:
    return f"m_{secrets.token_urlsafe(16)}"


@dataclass
class Rehearsal:
    """The outcome: the response's message as its readers have it, and the chunks that made it."""

    message: fold.MessageState
    chunks: list[Chunk]
    unread: list[str]  # steers of the script that came too late: in a session, each is the next question
    input_tokens: int
    output_tokens: int

    @property
    def status(self) -> str:
        return self.message.status

    @property
    def text(self) -> str:
        """All of its text."""
        return self._joined("text")

    @property
    def reasoning(self) -> str:
        """All of its reasoning."""
        return self._joined("reasoning")

    def _joined(self, kind: str) -> str:
        return "".join(part["text"] for part in self.message.parts if part["type"] == kind)

    def tool(self, name: str) -> Part:
        """The part of the last call of a tool."""
        calls = [part for part in self.message.parts if part["type"] == f"tool-{name}"]
        assert calls, f"{name} was not called"
        return calls[-1]


async def rehearse(
    agent: Agent,
    prompt: str,
    *,
    history: Iterable[fold.MessageState] = (),
    mode: Mode = "answer",
    earlier: fold.MessageState | None = None,
    steers: Mapping[int, str | Sequence[str]] | None = None,
    decisions: Iterable[Decided] = (),
    results: Iterable[object] = (),
    chunk_bytes: int = CHUNK_BYTES,
) -> Rehearsal:
    """Have an agent answer a prompt.

    `history`: the messages before it. `earlier`: the answer to go on with, in mode "continue". `steers`: by the number
    of the `turn.step()` that is to find them, from 1. `decisions`: about its approvals, in order. `results`: of its
    tools that run at the client, in order; a ToolFailed is an error, and None means that none arrives in time.
    `chunk_bytes`: the site's HOLDFAST_CHUNK_BYTES.

    AgentFailed ends the response as in a session; another exception is raised here.
    """
    asked = [*history, person(prompt), *([] if earlier is None else [earlier])]
    stage = _Stage(_Script(steers or {}, list(decisions), list(results)), chunk_bytes)
    turn = Turn(stage, asked, mode=mode)
    await turn.begin()
    try:
        await perform(agent, turn)
        await turn.finish()
    except AgentFailed as problem:
        await stage.write({"type": "error", "errorText": str(problem)})
    script = stage.script
    assert not script.decisions, f"the agent did not ask for {len(script.decisions)} of the decisions"
    assert not script.results, f"the agent did not wait for {len(script.results)} of the results"
    return Rehearsal(stage.message, stage.chunks, script.unread, stage.input_tokens, stage.output_tokens)


class _Script:
    """The people of a rehearsal: what they say and decide, in order, and what their clients return."""

    def __init__(
        self, steers: Mapping[int, str | Sequence[str]], decisions: list[Decided], results: list[object]
    ) -> None:
        self.decisions = decisions
        self.results = results
        self._steers = {step: [texts] if isinstance(texts, str) else list(texts) for step, texts in steers.items()}
        self._steps = 0

    @property
    def unread(self) -> list[str]:
        return [text for step in sorted(self._steers) for text in self._steers[step]]

    def next_steers(self) -> list[AgentSignal]:
        self._steps += 1
        texts = self._steers.pop(self._steps, [])
        return [_signal("steer", "", {"parts": [{"type": "text", "text": text}]}) for text in texts]

    def next_decision(self, approval: str, request: ApprovalRequest) -> AgentSignal | None:
        assert self.decisions, f"the agent asks for approval of {request.call}: the script has no decision left"
        decided = self.decisions.pop(0)
        assert request.editable or "input" not in decided.payload, "the agent lets nobody edit these arguments"
        if decided.kind == "expire":
            return None
        return _signal(decided.kind, approval, decided.payload, decided.actor)

    def next_result(self, call: str) -> AgentSignal | None:
        assert self.results, f"the agent waits for the result of {call}: the script has none left"
        result = self.results.pop(0)
        if isinstance(result, ToolFailed):
            return _signal("tool-result", call, {"error": str(result)})
        return None if result is None else _signal("tool-result", call, {"output": result})


def _signal(kind: str, target: str, payload: Payload, actor: str = USER) -> AgentSignal:
    return AgentSignal(0, secrets.token_urlsafe(16), kind, actor, target, payload)


class _Stage:
    """The backend of a rehearsal (`agents_app.backend.Backend`): folds what is written, and answers by the script."""

    def __init__(self, script: _Script, chunk_bytes: int) -> None:
        self.session, self.uid = secrets.token_urlsafe(16), _uid()
        self.chunk_bytes = chunk_bytes
        self._intake = ChunkIntake(partial(vocabulary.check, max_bytes=chunk_bytes), chunk_bytes)
        self.script = script
        self.chunks: list[Chunk] = []
        self.input_tokens = self.output_tokens = 0
        self._messages: dict[str, fold.MessageState] = {}
        self._requests: dict[str, ApprovalRequest] = {}
        self._approved: set[str] = set()  # and not called yet

    @property
    def message(self) -> fold.MessageState:
        return self._messages[self.uid]

    async def write(self, chunk: Chunk, *, settles: AgentSignal | None = None) -> None:
        for piece in self._intake.take(chunk):
            number = len(self.chunks) + 1
            fold.fold(self._messages, {"serial": number, "message": self.uid, "at": 0, "chunk": deepcopy(piece)})
            self.chunks.append(piece)

    def append(self, kind: str, part: str, text: str) -> bool:
        return False  # `write` takes it

    async def flush(self) -> None:
        """All of it is stored already."""

    def take_steers(self) -> list[AgentSignal]:
        return self.script.next_steers()

    async def request_approval(self, request: ApprovalRequest) -> str:
        approval = f"approval_{len(self._requests) + 1}"
        self._requests[approval] = request
        await self.write(request.chunk(approval, expires_at=None))
        return approval

    async def wait_for(self, target: str, timeout_s: float | None) -> AgentSignal | None:
        if target not in self._requests:
            return self.script.next_result(target)
        decision = self.script.next_decision(target, self._requests[target])
        if decision is not None and decision.kind == "approve":
            self._approved.add(target)
        return decision

    async def expire_approval(self, approval: str) -> bool:
        return True  # the script has no decision about it

    async def begin_call(self, approval: str) -> bool:
        may, self._approved = approval in self._approved, self._approved - {approval}
        return may

    async def end_call(self, approval: str, chunk: Chunk, *, failed: bool) -> None:
        await self.write(chunk)

    def count_usage(self, *, input_tokens: int, output_tokens: int) -> None:
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
