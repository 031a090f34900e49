"""A provider over real HTTP: its answers, and its failures, which end the answer with advice."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models import infer_model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents_app.adapters.failures import FILTERED, TOO_LONG
from sessions_app.core.fold import MessageState
from tests.support.model_server import (
    Answer,
    Exchange,
    ModelServer,
    call_item,
    chat,
    message_item,
    reasoning_item,
    responses,
)
from tests.support.person import text_of

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "sk-proj-a-key-of-this-site-that-nobody-may-see"


@pytest.fixture
def agent_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make an agent, `agent_of(url)`, whose model is at this address, configured as a site does it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def make(url: str, model: str = "openai-chat:stub", **settings: Any) -> Agent[None, str]:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        return Agent(infer_model(model), model_settings={"max_retries": 0, **settings})  # type: ignore[typeddict-item]

    return make


def refusal(status: int, message: str = "No.", code: str | None = None, **headers: str) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.refuse(status, {"message": message, "code": code, "type": "error"}, **headers)

    return answer


async def test_it_answers_with_reasoning_tools_and_text(talk: Any, agent_of: Any) -> None:
    steps = (
        responses(reasoning_item("They want to know where it is."), call_item("look", '{"where": "here"}')),
        responses(message_item("It is here.")),
    )
    async with ModelServer(*steps) as server:
        agent = agent_of(server.url, "openai:stub")

        @agent.tool_plain  # type: ignore[untyped-decorator]
        def look(where: str) -> str:
            return where.upper()

        answer = await (await talk(agent)).ask("Where?")
    assert (answer.status, text_of(answer)) == ("complete", "It is here.")
    assert [part["type"] for part in answer.parts] == ["step-start", "reasoning", "tool-look", "step-start", "text"]
    assert answer.parts[1]["text"] == "They want to know where it is."
    assert (answer.parts[2]["input"], answer.parts[2]["output"]) == ({"where": "here"}, "HERE")


async def test_it_answers_through_the_older_interface(talk: Any, agent_of: Any) -> None:
    async with ModelServer(chat("Good ", "day.")) as server:
        answer = await (await talk(agent_of(server.url))).ask("Hello")
        assert server.requests[0].body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (answer.status, text_of(answer)) == ("complete", "Good day.")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(429), "Ask again in a minute."),
        (refusal(429, **{"retry-after": "20"}), "Ask again in 20 s."),
        (refusal(429, **{"retry-after": "600"}), "Ask again in 10 minutes."),
        (refusal(429, code="insufficient_quota"), "used up"),
        (refusal(401), "refused this site's key"),
        (refusal(403), "refused this site's key"),
        (refusal(404, code="model_not_found"), "doesn't have the model"),
        (refusal(400, code="context_length_exceeded"), "too long for the model"),
        (refusal(400), "refused the request"),
        (refusal(418), "refused the request"),
        (refusal(500), "an error of its own"),
        (refusal(503), "overloaded or unavailable"),
        (refusal(529), "overloaded or unavailable"),
        (chat(finish="content_filter"), FILTERED),
        (chat("So far", finish="content_filter"), FILTERED),
        (chat("So far", finish="length"), TOO_LONG),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
async def test_each_failure_gives_its_advice(talk: Any, agent_of: Any, answer: Answer, words: str) -> None:
    async with ModelServer(answer) as server:
        message = await (await talk(agent_of(server.url))).ask("Hello")
    assert message.status == "failed"
    assert words in (message.reason or "")


async def test_the_last_of_several_models_determines_the_advice(talk: Any, agent_of: Any) -> None:
    async with ModelServer(refusal(500), refusal(401)) as server:
        models = [agent_of(server.url).model, agent_of(server.url).model]
        agent = Agent(FallbackModel(*models), model_settings={"max_retries": 0})
        message = await (await talk(agent)).ask("Hello")
        assert len(server.requests) == 2
    assert "refused this site's key" in (message.reason or "")


async def test_an_endless_agent_is_stopped(talk: Any) -> None:
    agent = Agent(FunctionModel(stream_function=looks_again))
    agent.tool_plain(lambda: "nothing", name="look")
    message = await (await talk(agent)).ask("Look")
    assert message.status == "failed"
    assert "limit of requests" in (message.reason or "")


async def looks_again(messages: list[Any], info: object) -> AsyncIterator[Any]:
    yield {0: DeltaToolCall("look", "{}")}


async def test_an_unreachable_provider_is_reported(talk: Any, agent_of: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = await (await talk(agent_of(f"http://127.0.0.1:{port}/v1"))).ask("Hello")
    assert message.status == "failed"
    assert "connection to the model's provider failed" in (message.reason or "")


async def begins(exchange: Exchange) -> None:
    await chat("So ", "far", end=False)(exchange)


async def cuts(exchange: Exchange) -> None:
    await begins(exchange)
    exchange.cut()


async def ends_too_early(exchange: Exchange) -> None:
    await responses(message_item("So far"), end=False)(exchange)


async def says_an_error(exchange: Exchange) -> None:
    await begins(exchange)
    await exchange.send({"error": {"message": "overloaded", "code": "server_is_overloaded"}})
    await exchange.end()


async def talks_nonsense(exchange: Exchange) -> None:
    await begins(exchange)
    await exchange.send("{not json")
    await exchange.end()


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        (cuts, "openai-chat:stub"),
        (ends_too_early, "openai:stub"),
        (says_an_error, "openai-chat:stub"),
        (talks_nonsense, "openai-chat:stub"),
    ],
)
async def test_an_answer_that_breaks_off_keeps_its_text(talk: Any, agent_of: Any, answer: Answer, model: str) -> None:
    async with ModelServer(answer) as server:
        message = await (await talk(agent_of(server.url, model))).ask("Hello")
    assert (message.status, text_of(message)) == ("failed", "So far")
    assert message.reason and "Ask again" in message.reason


async def test_a_silent_model_times_out(talk: Any, agent_of: Any) -> None:
    async def falls_silent(exchange: Exchange) -> None:
        await begins(exchange)
        await exchange.closed()

    async with ModelServer(falls_silent) as server:
        message = await (await talk(agent_of(server.url, timeout=0.5))).ask("Hello")
    assert (message.status, text_of(message)) == ("failed", "So far")
    assert "silent for too long" in (message.reason or "")


async def test_a_stopped_agent_closes_its_connection_and_keeps_its_text(talk: Any, agent_of: Any, process: Any) -> None:
    closed = asyncio.Event()

    async def goes_on(exchange: Exchange) -> None:
        await begins(exchange)
        await exchange.closed()
        closed.set()

    async with ModelServer(goes_on) as server:
        conversation = await talk(agent_of(server.url))
        await conversation.begin("Hello")
        await conversation.wait_until(lambda: conversation.answer and text_of(conversation.answer) == "So far")
        await process.stop()
        await asyncio.wait_for(closed.wait(), 10)
        message: MessageState = await conversation.ended()
    assert (message.status, text_of(message)) == ("interrupted", "So far")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_neither_the_key_nor_the_providers_words_are_shown_or_logged(
    talk: Any, agent_of: Any, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO)
    provider_text = f"Incorrect API key provided: {KEY}. See <script>alert(1)</script>\nERROR forged line"
    async with ModelServer(refusal(status, provider_text)) as server:
        message = await (await talk(agent_of(server.url))).ask("Hello")
    assert message.status == "failed" and message.reason
    assert KEY not in message.reason and "script" not in message.reason
    assert KEY not in caplog.text and KEY[8:30] not in caplog.text
    assert "\nERROR forged line" not in caplog.text
    assert f"status_code='{status}'" in caplog.text


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\u201d", f"{KEY} \r\nX-More: 1"])
async def test_a_key_that_is_no_header_value_is_not_shown_or_logged(
    talk: Any, agent_of: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    async with ModelServer(chat("Hello.")) as server:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        message = await (await talk(agent_of(server.url))).ask("Hello")
        assert server.requests == []
    assert message.status == "failed" and message.reason
    assert KEY not in message.reason and KEY not in caplog.text
