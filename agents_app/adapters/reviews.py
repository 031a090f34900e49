"""Interrupts in LangChain's form: each becomes an approval, and each decision what the graph is resumed with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from agents_app.adapters.approved import ApprovedCalls, together
from agents_app.adapters.history import DENIED
from agents_app.adapters.stream import StreamWriter
from agents_app.adapters.values import UNSHOWABLE
from agents_app.backend import Arguments
from agents_app.tool_call import ToolCall, ToolFailed
from agents_app.turn import AgentFailed, Turn

Answer = dict[str, object]  # one of LangChain's decisions

QUESTION = "question"  # name of the call that stands for an interrupt of a graph's own


@dataclass(frozen=True)
class Interrupt:
    """A question of a graph. `schema`: of its answer, if the graph tells one."""

    id: str
    value: object
    schema: object = None


class Reviews:
    """Asks people about the interrupts of one run."""

    def __init__(self, turn: Turn, writer: StreamWriter, approved: ApprovedCalls) -> None:
        self._turn = turn
        self._writer = writer
        self._approved = approved
        self._taken: set[str] = set()  # calls that a request is about
        self._to_begin: list[tuple[str, ToolCall, Answer]] = []

    async def answers(self, interrupts: list[Interrupt]) -> dict[str, object]:
        """Ask about all of them at once; return what each is resumed with, by its id. Approved calls have begun."""
        self._taken.clear()
        self._to_begin.clear()
        answers = await together(map(self._answer, interrupts))
        for key, call, answer in self._to_begin:
            try:
                await self._approved.begin(key, call)
            except ToolFailed as failure:
                await self._writer.failed(key, str(failure))
                answer.clear()
                answer |= {"type": "reject", "message": str(failure)}
        return {interrupt.id: answer for interrupt, answer in zip(interrupts, answers, strict=True)}

    async def _answer(self, interrupt: Interrupt) -> object:
        match interrupt.value:
            case {"action_requests": list(requests), "review_configs": list(configs)}:
                keys = [self._key_of(request["name"], request["args"]) for request in requests]
                allowed = [config["allowed_decisions"] for config in configs]
                return {"decisions": await together(map(self._about, keys, requests, allowed))}
            case {"type": "tool_approval", "tool_call_id": str(key)} as request:
                schema = json.dumps(interrupt.schema)
                return await self._about(
                    key,
                    cast("Mapping[str, Any]", request),
                    [kind for kind in ("edit", "reject") if f'"{kind}"' in schema],
                )
            case value:
                return await self._question(value)

    def _key_of(self, name: str, arguments: Arguments) -> str:
        """Return the call that a request is about: it names none, so the first that waits with these arguments."""
        for key, call in self._writer.waiting().items():
            if call == (name, arguments) and key not in self._taken:
                self._taken.add(key)
                return key
        return ""

    async def _about(self, key: str, request: Mapping[str, Any], allowed: list[str]) -> Answer:
        call = self._writer.askable(key)
        if call is None:
            await self._writer.failed(key, UNSHOWABLE)
            return _rejection(UNSHOWABLE, allowed)
        before = call.input_text
        decision = await call.approval(str(request.get("description") or ""), editable="edit" in allowed)
        if not decision.approved:
            self._writer.end(key)
            return _rejection(decision.reason or DENIED, allowed)
        answer: Answer = {"type": "approve"}
        if decision.input_text != before:
            answer = {"type": "edit", "edited_action": {"name": request["name"], "args": decision.input}}
        self._to_begin.append((key, call, answer))
        return answer

    async def _question(self, value: object) -> object:
        """Ask about an interrupt of the graph's own: True, False, or the value as the approver has edited it."""
        shown = self._writer.storable(value)
        call = await self._turn.tool(QUESTION, {"value": shown})
        decision = await call.approval(editable=True)
        if not decision.approved:
            return False
        edited = decision.input.get("value", shown)
        answer = True if edited == shown else edited

        async def resume(_: Arguments) -> object:
            return answer

        return await call.execute(resume)


def _rejection(reason: str, allowed: list[str]) -> Answer:
    if "reject" not in allowed:
        raise AgentFailed("The agent can't go on without this tool call.")
    return {"type": "reject", "message": reason}
