"""The built-in agent `model`: a site names its model, and a system check reports what the model lacks."""

import subprocess
import sys
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from agents_app.builtin import model_agent
from agents_app.builtin.model_agent import NOT_SET_UP
from sessions_app.database import threads
from tests.support.harness import ROOT, environment_of, migrated, start_server
from tests.support.model_server import ModelServer, message_item, responses
from tests.support.person import Person, text_of

__all__ = ["migrated", "start_server"]


MODEL = {"HOLDFAST_AGENT_MODEL": "test"}
NO_DEMO = {"HOLDFAST_DEMO_AGENT": "false"}


def checked(settings: Any, model: str) -> list[CheckMessage]:
    settings.HOLDFAST = settings.HOLDFAST | {"AGENT_MODEL": model}
    return run_checks(tags=["holdfast"])


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    model_agent._agent.cache_clear()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gpt-5", "Unknown model: gpt-5"),
        ("nobody:gpt-5", "Unknown model: nobody:gpt-5"),
        ("openai:gpt-5", "Set the `OPENAI_API_KEY`"),
        ("groq:llama", 'pip install "pydantic-ai-slim[groq]"'),
    ],
)
def test_the_check_names_what_a_model_lacks(settings: Any, model: str, words: str) -> None:
    [message] = checked(settings, model)
    assert message.id == "holdfast.E020" and message.hint
    assert model in message.msg and words in message.msg


def test_the_check_reports_an_empty_key(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    [message] = checked(settings, "openai:gpt-5")
    assert "refuses its settings" in message.msg and "OPENAI_API_KEY" in (message.hint or "")


def test_the_check_accepts_a_model_that_is_set_up(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(settings, "test") == []
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    assert checked(settings, "openai:gpt-5") == []


@pytest.mark.parametrize(
    ("variables", "offered", "default", "registered"),
    [
        ({}, ["demo"], "demo", ["demo"]),
        (MODEL, ["model", "demo"], "model", ["demo", "model"]),
        (MODEL | {"HOLDFAST_DEFAULT_AGENT": "demo"}, ["model", "demo"], "demo", ["demo", "model"]),
        (MODEL | {"HOLDFAST_AGENTS": "model"}, ["model"], "model", ["demo", "model"]),
        (MODEL | NO_DEMO, ["model"], "model", ["model"]),
        (NO_DEMO, [], "", []),
    ],
)
def test_the_settings_decide_which_built_in_agents_a_site_offers(
    variables: dict[str, str], offered: list[str], default: str, registered: list[str]
) -> None:
    says = "import django; django.setup(); from agents_app import registry; from sessions_app import conf; import sys;"
    says += (
        "print([*conf.settings.agents], conf.settings.default_agent, registry.names(), 'pydantic_ai' in sys.modules)"
    )
    environment = environment_of("sqlite:///:memory:", variables)
    run = subprocess.run([sys.executable, "-c", says], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == f"{offered} {default} {registered} False", run.stderr


async def test_a_site_with_a_model_answers(start_server: Any) -> None:
    async with ModelServer(responses(message_item("Good day to you."))) as provider:
        server = await threads.run(
            lambda: start_server(
                HOLDFAST_AGENT_MODEL="openai:gpt-5",
                HOLDFAST_AGENT_INSTRUCTIONS="Be brief.",
                OPENAI_API_KEY="a key",
                OPENAI_BASE_URL=provider.url,
            )
        )
        async with Person(server.url) as person:
            answer = await asks(person, "Hello")
        request = provider.requests[0].body
    assert (answer.status, text_of(answer)) == ("complete", "Good day to you.")
    assert (request["model"], request["instructions"]) == ("gpt-5", "Be brief.")


async def test_a_site_whose_model_lacks_its_key_says_so(start_server: Any) -> None:
    server = await threads.run(lambda: start_server("daphne", HOLDFAST_AGENT_MODEL="openai:gpt-5"))
    async with Person(server.url) as person:
        answer = await asks(person, "Hello")
    assert (answer.status, answer.reason) == ("failed", NOT_SET_UP)
    assert "OPENAI_API_KEY" in server.log


async def asks(person: Person, text: str) -> Any:
    await person.connect()
    session = await person.create_session()
    await person.attach(session)
    await person.say(session, text)
    return await person.wait_for_end(session)
