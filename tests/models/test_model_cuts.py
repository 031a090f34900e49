"""Streams that end well-formed in the middle of an answer, per provider format: the answer fails, and no tool runs."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models import Model, infer_model

from agents_app.adapters.failures import BROKEN_OFF
from agents_app.adapters.pydantic_ai.agent import answer
from agents_app.testing import Rehearsal, rehearse
from tests.support.model_server import Answer, Event, Exchange, ModelServer, call_item, chat, message_item, responses

ARGUMENTS = '{"where": "account 4711"}'


def send(*events: Event | str) -> Answer:
    """An answer of these events alone, whose body ends as it should."""

    async def answer_(exchange: Exchange) -> None:
        await exchange.begin()
        for event in events:
            await exchange.send(event)
        await exchange.end()

    return answer_


# OpenAI, Chat Completions


def delta(finish: str | None = None, **fields: Any) -> Event:
    choice = {"index": 0, "delta": {"role": "assistant", **fields}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": [choice]}


def chat_call(arguments: str) -> Event:
    function = {"name": "look", "arguments": arguments}
    return delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": function}])


CHAT = {
    "text": [delta(content="So far")],
    "text and [DONE]": [delta(content="So far"), "[DONE]"],
    "half the arguments": [delta(content="So far"), chat_call(ARGUMENTS[:15])],
    "the whole call": [delta(content="So far"), chat_call(ARGUMENTS)],
    "the whole call and [DONE]": [delta(content="So far"), chat_call(ARGUMENTS), "[DONE]"],
}

# OpenAI, Responses


def of_responses(*items: Event, arguments: str = ARGUMENTS, done: bool = True) -> list[Event | str]:
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "stub", "output": []}
    events: list[Event | str] = [{"type": "response.created", "response": response | {"status": "in_progress"}}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            events += [
                {"type": "response.output_item.added", "item": item | {"content": []}, **place},
                {"type": "response.output_text.delta", "delta": "So far", "content_index": 0, **place},
            ]
        else:
            events += [
                {"type": "response.output_item.added", "item": item | {"arguments": ""}, **place},
                {"type": "response.function_call_arguments.delta", "delta": arguments, **place},
            ]
            events += [{"type": "response.output_item.done", "item": item, **place}] if done else []
    return events


RESPONSES = {
    "text": of_responses(message_item("So far")),
    "half the arguments": of_responses(
        message_item("So far"), call_item("look", ARGUMENTS), arguments=ARGUMENTS[:15], done=False
    ),
    "the whole call": of_responses(message_item("So far"), call_item("look", ARGUMENTS)),
}

# Anthropic, Messages


def anthropic(*events: Event, finish: str | None = None) -> list[Event | str]:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "stub", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    stop = {"stop_reason": finish, "stop_sequence": None}
    end = [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
    return [{"type": "message_start", "message": message}, *events, *(end if finish else [])]


def block(index: int, content: Event, delta: Event, *, stop: bool = True) -> list[Event]:
    events: list[Event] = [
        {"type": "content_block_start", "index": index, "content_block": content},
        {"type": "content_block_delta", "index": index, "delta": delta},
    ]
    return events + ([{"type": "content_block_stop", "index": index}] if stop else [])


def use(arguments: str, *, stop: bool = True) -> list[Event]:
    content = {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}
    return block(1, content, {"type": "input_json_delta", "partial_json": arguments}, stop=stop)


SAID = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "So far"})
ANTHROPIC = {
    "text": anthropic(*SAID[:2]),
    "the whole text": anthropic(*SAID),
    "half the arguments": anthropic(*SAID, *use(ARGUMENTS[:15], stop=False)),
    "the whole call": anthropic(*SAID, *use(ARGUMENTS)),
}

# Google, GenerateContent


def google(*parts: Event, finish: str | None = None) -> Event:
    candidate: Event = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    candidate |= {"finishReason": finish} if finish else {}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return {"candidates": [candidate], "modelVersion": "stub", "usageMetadata": usage}


CALL = {"functionCall": {"name": "look", "args": {"where": "account 4711"}}}
GOOGLE = {
    "text": [google({"text": "So far"})],
    "the whole call": [google({"text": "So far"}), google(CALL)],
}

# Models at a local server


def openai_chat(url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    return infer_model("openai-chat:stub")


def openai_responses(url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    openai_chat(url, monkeypatch)
    return infer_model("openai-responses:stub")


def anthropic_messages(url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    client = pytest.importorskip("anthropic")
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    at_home = client.AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key="key", max_retries=0)
    return AnthropicModel("stub", provider=AnthropicProvider(anthropic_client=at_home))


def google_generate(url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    pytest.importorskip("google.genai")
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    return GoogleModel("stub", provider=GoogleProvider(api_key="key", base_url=url.removesuffix("/v1")))


Make = Callable[[str, pytest.MonkeyPatch], Model]
FORMATS: list[tuple[Make, dict[str, Any]]] = [
    (openai_chat, CHAT), (openai_responses, RESPONSES), (anthropic_messages, ANTHROPIC), (google_generate, GOOGLE),
]  # fmt: skip
CUTS = [pytest.param(make, cut, id=f"{make.__name__}: {name}") for make, cuts in FORMATS for name, cut in cuts.items()]

WHOLE = [
    pytest.param(openai_chat, [chat(chat_call(ARGUMENTS)["choices"][0]["delta"], finish="tool_calls"), chat("Done.")]),
    pytest.param(openai_responses, [responses(call_item("look", ARGUMENTS)), responses(message_item("Done."))]),
    pytest.param(
        anthropic_messages,
        [send(*anthropic(*SAID, *use(ARGUMENTS), finish="tool_use")), send(*anthropic(*SAID, finish="end_turn"))],
    ),
    pytest.param(
        google_generate,
        [send(google(CALL, finish="STOP")), send(google({"text": "Do"}), google({"text": "ne."}, finish="STOP"))],
    ),
]


async def ask(make: Make, monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> tuple[Rehearsal, list[str]]:
    """Ask an agent whose model is at a server that gives these answers; return what it said, and the tool's calls."""
    called: list[str] = []

    def look(where: str = "") -> str:
        called.append(where)
        return "There."

    async with ModelServer(*answers) as server:
        agent = Agent(make(server.url, monkeypatch), model_settings={"max_retries": 0})  # type: ignore[typeddict-item]
        agent.tool_plain(look)
        told = await rehearse(lambda turn: answer(turn, agent), "Go")
        assert len(server.requests) == len(answers)
    return told, called


@pytest.mark.parametrize(("make", "cut"), CUTS)
async def test_a_response_without_its_end_is_no_answer(
    make: Make, cut: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, called = await ask(make, monkeypatch, send(*cut))
    assert (told.status, told.message.reason, told.text) == ("failed", BROKEN_OFF, "So far")
    assert called == []


@pytest.mark.parametrize(("make", "answers"), WHOLE)
async def test_a_response_with_its_end_is_one(
    make: Make, answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, called = await ask(make, monkeypatch, *answers)
    assert (told.status, called) == ("complete", ["account 4711"])
