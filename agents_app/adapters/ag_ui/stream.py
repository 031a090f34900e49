"""The event writer: AG-UI events, as chunks of a turn, and as the messages that the agent is given when it goes on."""

from __future__ import annotations

import logging

from ag_ui.core import (
    ActivitySnapshotEvent,
    AssistantMessage,
    BaseEvent,
    CustomEvent,
    FunctionCall,
    Interrupt,
    Message,
    ReasoningMessageChunkEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    TextMessageChunkEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCall,
    ToolCallArgsEvent,
    ToolCallChunkEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    ToolMessage,
)
from pydantic_core import to_jsonable_python

from agents_app.adapters.approved import ApprovedCalls
from agents_app.adapters.stream import StreamWriter
from agents_app.tool_call import parsed
from agents_app.turn import AgentFailed, Turn

logger = logging.getLogger(__name__)

FAILED = "The agent or its model failed. What had been written is kept. Ask again."
ON_INTERRUPT = "on_interrupt"  # the event by which ag-ui-langgraph asks unless told to ask as the protocol says


class EventWriter(StreamWriter):
    """Writes the events of one answer into a turn. Events of states, steps and snapshots are left out."""

    def __init__(self, turn: Turn, approved: ApprovedCalls) -> None:
        super().__init__(turn)
        self.said: list[Message] = []  # in this answer
        self.interrupts: list[Interrupt] = []
        self.finished = False  # the run
        self._approved = approved
        self._answer = turn
        self._others: set[str] = set()  # messages that aren't the agent's own
        self._open: dict[str, ToolCall] = {}  # calls whose arguments are streaming
        self._newest = {"text": "", "reasoning": "", "call": ""}  # what chunks without an id go on with

    async def write(self, event: BaseEvent) -> None:
        """Write one event. Raises AgentFailed if it says that the agent has failed."""
        match event:
            case TextMessageStartEvent(message_id=id, role=role):
                if role not in (None, "assistant"):
                    self._others.add(id)
            case TextMessageContentEvent(message_id=id, delta=delta):
                await self._say(id, delta)
            case TextMessageChunkEvent():
                self._newest["text"] = event.message_id or self._newest["text"]
                await self._say(self._newest["text"], event.delta or "")
            case TextMessageEndEvent(message_id=id):
                await self.end_text(id)
            case ReasoningMessageContentEvent(message_id=id, delta=delta):
                await self.text(delta, id, "reasoning")
            case ReasoningMessageChunkEvent():
                self._newest["reasoning"] = event.message_id or self._newest["reasoning"]
                await self.text(event.delta or "", self._newest["reasoning"], "reasoning")
            case ReasoningMessageEndEvent(message_id=id):
                await self.end_text(id, "reasoning")
            case ActivitySnapshotEvent(message_id=id, activity_type=kind, content=content):
                value = {"type": kind, "content": self.storable(content)}
                await self._answer.data("activity", value, id=id)
            case CustomEvent(name=name, value=value):
                if name != ON_INTERRUPT:
                    await self.data(name, value)
            case RunFinishedEvent():
                await self._finish(event)
            case RunErrorEvent():
                logger.warning("the agent failed in session %s: code=%r", self._answer.session, event.code)
                raise AgentFailed(FAILED)
            case _:
                await self._tool(event)

    async def _say(self, id: str, delta: str) -> None:
        if id in self._others or not delta:
            return
        await self.text(delta, id)
        message = self._message()
        message.content = (message.content or "") + delta

    # Calls

    async def _tool(self, event: BaseEvent) -> None:
        match event:
            case ToolCallStartEvent(tool_call_id=key, tool_call_name=name):
                await self._begin(key, name)
            case ToolCallArgsEvent(tool_call_id=key, delta=delta):
                await self._argue(key, delta)
            case ToolCallChunkEvent():
                key = self._newest["call"] = event.tool_call_id or self._newest["call"]
                if event.tool_call_name and key not in self._open:
                    await self._begin(key, event.tool_call_name)
                await self._argue(key, event.delta or "")
            case ToolCallEndEvent(tool_call_id=key):
                await self._called(key, is_last=False)
            case ToolCallResultEvent(tool_call_id=key):
                await self._result(key, event)

    async def _begin(self, key: str, name: str) -> None:
        if key in self.waiting():
            return  # the run goes on with it after its approval
        await self.begin(key, name)
        call = self._open[key] = ToolCall(id=key, function=FunctionCall(name=name, arguments=""))
        message = self._message()
        message.tool_calls = [*(message.tool_calls or []), call]

    async def _argue(self, key: str, delta: str) -> None:
        if key in self._open:
            self._open[key].function.arguments += delta
            await self.argue(key, delta)

    async def _called(self, key: str, *, is_last: bool = True) -> None:
        """Complete a call. Some agents end one whose arguments go on, so an end counts once these are an object."""
        call = self._open.get(key)
        if call and (is_last or _is_object(call.function.arguments)):
            del self._open[key]
            await self.called(key, call.function.name, call.function.arguments)

    async def _result(self, key: str, event: ToolCallResultEvent) -> None:
        await self._called(key)
        output = event.content if isinstance(event.content, str) else to_jsonable_python(event.content)
        self.said.append(ToolMessage(id=event.message_id, tool_call_id=key, content=event.content))
        if key in self._approved:
            self.end(key)
            await self._approved.end(key, self.storable(output))
        else:
            await self.returned(key, output)

    def _message(self) -> AssistantMessage:
        """Return the message that the agent is writing: after a result it is another."""
        if not self.said or not isinstance(self.said[-1], AssistantMessage):
            self.said.append(AssistantMessage(id=f"said_{len(self.said) + 1}"))
        message = self.said[-1]
        assert isinstance(message, AssistantMessage)
        return message

    # The end

    async def _finish(self, event: RunFinishedEvent) -> None:
        self.finished = True
        for key in list(self._open):
            await self._called(key)
        await self.end_texts()
        for usage in event.usage or []:
            self.usage(usage.input_tokens, usage.output_tokens)
        if isinstance(event.outcome, RunFinishedInterruptOutcome):
            self.interrupts = event.outcome.interrupts
        elif event.result is not None:
            await self.output(event.result)


def _is_object(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True
