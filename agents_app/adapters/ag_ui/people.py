"""Interrupts of AG-UI runs: each becomes an approval, and each decision what the agent is resumed with."""

from __future__ import annotations

from collections.abc import Mapping

from ag_ui.core import Interrupt, ResumeEntry

from agents_app.adapters.ag_ui.stream import EventWriter
from agents_app.adapters.approved import ApprovedCalls, together
from agents_app.adapters.history import DENIED
from agents_app.adapters.reviews import Interrupt as Question
from agents_app.adapters.reviews import Reviews
from agents_app.adapters.values import UNSHOWABLE
from agents_app.tool_call import ToolCall, ToolFailed
from agents_app.turn import Turn

Payload = dict[str, object]


class People:
    """Asks people about the interrupts of a run.

    One about a tool call is answered as AG-UI proposes, with `approved`, `editedArgs` and `reason`. LangGraph's are
    answered in LangChain's form; others with True, False, or the value as the approver has edited it.
    """

    def __init__(self, turn: Turn, writer: EventWriter, approved: ApprovedCalls) -> None:
        self._writer = writer
        self._approved = approved
        self._reviews = Reviews(turn, writer, approved)

    async def answers(self, interrupts: list[Interrupt]) -> list[ResumeEntry]:
        """Ask about all of them at once; return what the agent is resumed with. Approved calls have begun."""
        of_calls = [each for each in interrupts if each.tool_call_id and _of_graph(each) is None]
        others = [
            Question(each.id, _of_graph(each) or {"message": each.message}, each.response_schema)
            for each in interrupts
            if each not in of_calls
        ]
        answers = await together([self._about_calls(of_calls), self._reviews.answers(others)])
        return [
            ResumeEntry(interrupt_id=id, status="resolved", payload=payload)
            for about in answers
            for id, payload in about.items()
        ]

    async def _about_calls(self, interrupts: list[Interrupt]) -> dict[str, object]:
        payloads = await together(map(self._about, interrupts))
        return {interrupt.id: payload for interrupt, payload in zip(interrupts, payloads, strict=True)}

    async def _about(self, interrupt: Interrupt) -> Payload:
        key = str(interrupt.tool_call_id)
        call = self._writer.askable(key)
        if call is None:
            await self._writer.failed(key, UNSHOWABLE)
            return {"approved": False, "reason": UNSHOWABLE}
        before = call.input_text
        fields = (interrupt.response_schema or {}).get("properties", {})
        decision = await call.approval(interrupt.message or "", editable="editedArgs" in fields)
        if not decision.approved:
            self._writer.end(key)
            return {"approved": False, "reason": decision.reason or DENIED}
        edited: Payload = {} if decision.input_text == before else {"editedArgs": decision.input}
        return await self._begun(key, call, {"approved": True, **edited})

    async def _begun(self, key: str, call: ToolCall, payload: Payload) -> Payload:
        try:
            await self._approved.begin(key, call)
        except ToolFailed as failure:
            await self._writer.failed(key, str(failure))
            return {"approved": False, "reason": str(failure)}
        return payload


def _of_graph(interrupt: Interrupt) -> object:
    """Return the value of a LangGraph interrupt, which its adapter carries along; None for any other."""
    match interrupt.metadata:
        case {"langgraph": Mapping() as graph}:
            return graph.get("raw")
    return None
