"""For tests of agents: a turn in which people do what a script says, with no server and no database.

    answer = await rehearse(librarian, "Lend me a book", steers={1: "a short one"}, decisions=[approve()])
    assert (answer.status, answer.tool("lend")["output"]) == ("complete", "The Old Man and the Sea")

The agent has the `Turn` that it has in a session: what is refused there is refused here. Nothing takes time by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from agents_app import tool_call
from agents_app.answer import Arguments
from agents_app.registry import Agent
from agents_app.tool_call import Decision, ToolCall, ToolFailed
from agents_app.turn import AgentFailed, Turn
from sessions_app import conf, models
from sessions_app.core import fold, vocabulary
from sessions_app.models import new_id
from sessions_app.runs.inbox import Signal

SOMEBODY = "user:1"


@dataclass(frozen=True)
class Decided:
    """What somebody decides about an approval; `approve`, `deny` and `expire` make it."""

    kind: Literal["approve", "deny", "expire"]
    payload: dict[str, Any] = field(default_factory=dict)
    actor: str = SOMEBODY


def approve(input: Arguments | None = None, *, reason: str = "", actor: str = SOMEBODY) -> Decided:
    """Somebody approves, and edits the arguments if `input` is given."""
    edited = {} if input is None else {"input": input}
    return Decided("approve", {"reason": reason, **edited}, actor)


def deny(reason: str = "", *, actor: str = SOMEBODY) -> Decided:
    """Somebody denies."""
    return Decided("deny", {"reason": reason}, actor)


def expire() -> Decided:
    """Nobody decides in time."""
    return Decided("expire")


def person(text: str) -> fold.MessageState:
    """A person's message, for a history."""
    return _message("user", "complete", text)


def response(text: str, *, status: str = "complete") -> fold.MessageState:
    """An agent's message, for a history or to be continued."""
    return _message("assistant", status, text)


def _message(role: str, status: str, text: str) -> fold.MessageState:
    return fold.MessageState(f"m_{new_id()}", role, status, 1, 1, 0, parts=[{"type": "text", "text": text}])


@dataclass
class Rehearsal:
    """What came of it: the response's message as its readers have it, and the chunks that made it."""

    message: fold.MessageState
    chunks: list[dict[str, Any]]
    unread: list[str]  # steers of the script that came too late: in a session, each is the next question
    input_tokens: int
    output_tokens: int

    @property
    def status(self) -> str:
        return self.message.status

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(part["text"] for part in self.message.parts if part["type"] == "text")

    @property
    def reasoning(self) -> str:
        return "".join(part["text"] for part in self.message.parts if part["type"] == "reasoning")

    def tool(self, name: str) -> dict[str, Any]:
        """The part of the last call of a tool."""
        calls = [part for part in self.message.parts if part["type"] == f"tool-{name}"]
        assert calls, f"{name} was not called"
        return calls[-1]


async def rehearse(
    agent: Agent,
    prompt: str,
    *,
    history: Iterable[fold.MessageState] = (),
    mode: Literal["answer", "continue", "regenerate"] = "answer",
    earlier: fold.MessageState | None = None,
    steers: Mapping[int, str | Sequence[str]] | None = None,
    decisions: Iterable[Decided] = (),
    results: Iterable[Any] = (),
) -> Rehearsal:
    """Have an agent answer a prompt.

    `history`: what came before it. `earlier`: the answer to go on with, in mode "continue". `steers`: by the number of
    the `turn.step()` that is to find them, from 1. `decisions`: about its approvals, in order. `results`: of its tools
    that run at the client, in order; a ToolFailed is an error, and None means that none comes in time.

    AgentFailed ends the response as in a session; another exception is raised here.
    """
    asked = [*history, person(prompt), *([] if earlier is None else [earlier])]
    stage = _Stage(mode, steers or {}, list(decisions), list(results))
    turn = _RehearsedTurn(stage, asked)
    await turn.begin()
    try:
        await agent(turn)
        await turn.finish()
    except AgentFailed as problem:
        await stage.write({"type": "error", "errorText": str(problem)})
    assert not stage.decisions, f"the agent did not ask for {len(stage.decisions)} of the decisions"
    assert not stage.results, f"the agent did not wait for {len(stage.results)} of the results"
    return Rehearsal(stage.message, stage.chunks, stage.unread, *turn.tokens)


class _Stage:
    """Stands for the response, which it folds, and for the inbox, which it fills by the script."""

    def __init__(
        self,
        mode: str,
        steers: Mapping[int, str | Sequence[str]],
        decisions: list[Decided],
        results: list[Any],
    ) -> None:
        self.run = models.Run(session_id=new_id(), mode=mode)
        self.session, self.uid = self.run.session_id, self.run.uid
        self.chunks: list[dict[str, Any]] = []
        self.decisions = decisions
        self.results = results
        self._steers = {step: [texts] if isinstance(texts, str) else list(texts) for step, texts in steers.items()}
        self._steps = 0
        self._messages: dict[str, fold.MessageState] = {}

    @property
    def message(self) -> fold.MessageState:
        return self._messages[self.uid]

    @property
    def unread(self) -> list[str]:
        return [text for step in sorted(self._steers) for text in self._steers[step]]

    # As a Response

    async def write(self, chunk: dict[str, Any], *, also: Callable[..., None] | None = None) -> None:
        vocabulary.check(chunk, max_bytes=conf.settings.chunk_bytes)
        self.chunks.append(chunk)
        fold.fold(self._messages, {"serial": len(self.chunks), "message": self.uid, "at": 0, "chunk": deepcopy(chunk)})

    async def flush(self) -> None:
        """All of it is there."""

    # As an RunInbox

    def take_steers(self) -> list[Signal]:
        self._steps += 1
        texts = self._steers.pop(self._steps, [])
        return [_signal("steer", "", {"parts": [{"type": "text", "text": text}]}) for text in texts]

    async def about(self, target: str, timeout_s: float | None) -> Signal | None:
        requests = [chunk for chunk in self.chunks if chunk.get("approvalId") == target]
        return self._decision(target, requests[0]) if requests else self._result(target)

    def _decision(self, target: str, request: dict[str, Any]) -> Signal | None:
        assert self.decisions, (
            f"the agent asks for approval of {request['toolCallId']}: the script has no decision left"
        )
        decided = self.decisions.pop(0)
        editable = request["approvalDescriptor"]["editable"]
        assert editable or "input" not in decided.payload, "the agent lets nobody edit these arguments"
        return None if decided.kind == "expire" else _signal(decided.kind, target, decided.payload, decided.actor)

    def _result(self, target: str) -> Signal | None:
        assert self.results, f"the agent waits for the result of {target}: the script has none left"
        result = self.results.pop(0)
        if isinstance(result, ToolFailed):
            return _signal("tool-result", target, {"error": str(result)})
        return None if result is None else _signal("tool-result", target, {"output": result})


def _signal(kind: str, target: str, payload: dict[str, Any], actor: str = SOMEBODY) -> Signal:
    return Signal(0, new_id(), kind, actor, target, payload)


class _RehearsedTurn(Turn):
    def __init__(self, stage: Any, history: list[fold.MessageState]) -> None:
        super().__init__(stage, stage, stage, history)
        self.tokens = (0, 0)

    def call(self, id: str, name: str, arguments: Arguments) -> ToolCall:
        return _RehearsedCall(self._process, self._response, self._inbox, id, name, arguments)

    def usage(self, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        self.tokens = (self.tokens[0] + input_tokens, self.tokens[1] + output_tokens)


class _RehearsedCall(ToolCall):
    """Knows by itself what the database knows of a call: whether it was approved, and not begun yet."""

    _may_begin = False

    async def approval(self, *args: Any, **options: Any) -> Decision:
        decision = await super().approval(*args, **options)
        self._may_begin = decision.approved
        return decision

    async def _change(self, work: Callable[..., Any], *args: str) -> Any:
        if work is not tool_call._begin:
            return True  # it expires, since nobody has decided
        may, self._may_begin = self._may_begin, False
        return may
