"""The AG-UI adapter: any stream of AG-UI events becomes an answer.

Most frameworks have an adapter of their own that gives such a stream, in this process or over HTTP. What people say
while the agent works can't be given to it: it becomes the next question.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    Event,
    EventType,
    FunctionCall,
    Message,
    ResumeEntry,
    RunAgentInput,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from agents_app import registry
from agents_app.adapters import history
from agents_app.adapters.ag_ui.people import People
from agents_app.adapters.ag_ui.stream import EventWriter
from agents_app.adapters.approved import ApprovedCalls
from agents_app.turn import AgentFailed, Turn
from sessions_app.core.busy import WhileBusy

logger = logging.getLogger(__name__)

# An event, its JSON object, or text of a stream of server-sent events, cut anywhere between two of them.
Item = BaseEvent | Mapping[str, object] | str | bytes
Run = Callable[[RunAgentInput], AsyncIterator[Item]]

MALFORMED = "The agent's events are not AG-UI. The site's operator finds the reason in the server's log."
NO_END = "The agent's stream ended before its answer did. What had been written is kept. Ask again."

_EVENT: TypeAdapter[BaseEvent] = TypeAdapter(Event)
_NAMES = {  # before AG-UI 1.0
    "THINKING_TEXT_MESSAGE_START": "REASONING_MESSAGE_START",
    "THINKING_TEXT_MESSAGE_CONTENT": "REASONING_MESSAGE_CONTENT",
    "THINKING_TEXT_MESSAGE_END": "REASONING_MESSAGE_END",
}
_KNOWN = {kind.value for kind in EventType}


def register(name: str, run: Run, *, while_busy: WhileBusy = "queue") -> None:
    """Register an agent that answers with AG-UI events under this name. `run` begins one run, as an AG-UI server does.

    register("librarian", lambda run_input: AGUIAdapter(agent, run_input).run_stream())
    """

    @registry.agent(name, while_busy=while_busy)
    async def answer_a_turn(turn: Turn) -> None:
        await answer(turn, run)


async def answer(turn: Turn, run: Run) -> None:
    """Answer the turn with the events of a run, and of the runs that go on with it after people's decisions.

    Each turn is a thread of its own, and gets the session's history. Raises AgentFailed if the run fails.
    """
    told = [each for message in history.conversation(turn.history) for each in _messages(message)]
    if history.goes_on(turn):
        told.append(UserMessage(id=_id(), content=history.GO_ON))
    thread = _id()
    resume: list[ResumeEntry] | None = None
    async with ApprovedCalls() as approved:
        writer = EventWriter(turn, approved)
        people = People(turn, writer, approved)
        while True:
            writer.finished, writer.interrupts = False, []
            given = RunAgentInput(
                thread_id=thread, run_id=_id(), messages=[*told, *writer.said], state={}, tools=[], context=[],
                forwarded_props={}, resume=resume,
            )  # fmt: skip
            await _write(run(given), writer)
            if not writer.interrupts:
                return
            resume = await people.answers(writer.interrupts)


async def _write(items: AsyncIterator[Item], writer: EventWriter) -> None:
    try:
        async for item in items:
            for event in _events(item):
                await writer.write(event)
    except (ValidationError, ValueError) as problem:
        logger.warning("no AG-UI event: %s", problem)
        raise AgentFailed(MALFORMED) from None
    finally:
        if close := getattr(items, "aclose", None):
            await close()
    if not writer.finished:
        raise AgentFailed(NO_END)


def _events(item: Item) -> Iterator[BaseEvent]:
    if isinstance(item, BaseEvent):
        yield item
    elif isinstance(item, str | bytes):
        text = item.decode() if isinstance(item, bytes) else item
        lines = (line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:"))
        for line in lines:
            yield from _typed(from_json(line))
    else:
        yield from _typed(item)


def _typed(event: object) -> Iterator[BaseEvent]:
    if not isinstance(event, Mapping):
        raise ValueError(f"an event is an object, not {type(event).__name__}")
    fields = dict(event)
    kind = str(fields.get("type"))
    if kind in _NAMES:
        fields |= {"type": _NAMES[kind], "messageId": "thinking"}
    elif kind not in _KNOWN:
        logger.info("an AG-UI event of an unknown type was left out: %s", kind[:80])
        return
    yield _EVENT.validate_python(fields)


def _messages(message: history.Message) -> Iterator[Message]:
    if message.role == "assistant":
        calls = [item for item in message.items if isinstance(item, history.Call)]
        named = [ToolCall(id=call.id, function=FunctionCall(name=call.name, arguments=call.text)) for call in calls]
        yield AssistantMessage(id=_id(), content=message.text or None, tool_calls=named or None)
        return
    for item in message.items:
        if isinstance(item, history.Result):
            yield ToolMessage(id=_id(), tool_call_id=item.id, content=item.text)
        elif isinstance(item, str):
            kind = UserMessage if message.role == "user" else SystemMessage
            yield kind(id=_id(), content=item)


def _id() -> str:
    return secrets.token_urlsafe(12)
