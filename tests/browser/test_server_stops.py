"""Server stops mid-answer: content that was shown stays, and an answer that died says so."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import QUICK
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, text
from tests.browser.visitor import ANSWER_S, Tab, Visitor, demo_answer, text_of
from tests.support.harness import ROOT, Server, StartServer

pytestmark = pytest.mark.browser

QUESTION = "What is a durable session?"
SLOWLY = {"HOLDFAST_DEMO_TOKENS_PER_S": "60", "HOLDFAST_LEASE_MS": "4000"}
FAST = {"HOLDFAST_DEMO_TOKENS_PER_S": "1000"}


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(**QUICK | SLOWLY)


def letters(tab: Tab) -> str:
    """Return the newest answer's text on show, without the marks that Markdown removes once closed."""
    return re.sub(r"\W", "", tab.shown()[-1]["text"])


def check_next(tab: Tab) -> None:
    """The conversation goes on: the next question is answered."""
    tab.say("And now?")
    tab.wait_ended(answers=2)
    expect(tab.answers.last).to_contain_text("You asked: And now?")
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_killed_server_loses_nothing_already_shown(visitor: Visitor, server: Server) -> None:
    tab = visitor.ask(QUESTION)
    tab.wait_more()
    server.kill9()
    tab.wait_until(lambda: tab.recorded()[-1]["state"] != "connected", "the page doesn't notice")
    shown = letters(tab)
    server.environment |= FAST
    server.start()
    tab.try_now()
    tab.wait_connected()
    tab.wait_ended("interrupted")
    assert letters(tab).startswith(shown)
    expect(tab.answers.last).to_contain_text(
        "Interrupted: the agent stopped before it finished. The text so far is kept."
    )
    tab.check_against_store()
    check_next(tab)


@pytest.mark.long
def test_an_answer_written_by_another_process_outlives_the_server(visitor: Visitor, server: Server) -> None:
    tab = visitor.open_unanswered()
    tab.say(QUESTION)
    expect(tab.questions).to_contain_text("Sent")
    with demo_process(server, tab.session) as agent:
        tab.wait_middle()
        server.kill9()
        tab.wait_until(lambda: tab.recorded()[-1]["state"] != "connected", "the page doesn't notice")
        server.start()
        tab.try_now()
        tab.wait_connected()
        tab.wait_ended()
        assert agent.wait(ANSWER_S) == 0
    assert text_of(visitor.stored(tab.session)[-1]) == demo_answer(QUESTION)
    tab.check_against_store()
    tab.check_against_fresh()


@contextmanager
def demo_process(server: Server, session: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "manage.py", "demo_answer", session], cwd=ROOT, env=server.environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_a_killed_agent_interrupts_only_its_own_answer(visitor: Visitor, server: Server) -> None:
    tab = visitor.open_unanswered()
    with DictatedAgent(server) as dying, DictatedAgent(server) as living:
        dying.say(tab.session, START, begin(), delta("Half of"))
        living.say(tab.session, START)
        expect(tab.answers).to_have_count(2)
        dying.kill9()
        expect(tab.answers.first).to_have_attribute("data-status", "interrupted")
        living.say(tab.session, *text("Whole."), FINISH)
    tab.wait_ended(answers=2)
    expect(tab.answers.first).to_contain_text("Half of")
    tab.wait_connected()
    tab.check_against_store()


def test_a_restart_is_announced_and_survived(visitor: Visitor, server: Server) -> None:
    tab = visitor.ask(QUESTION)
    assert server.terminate() == 0
    expect(tab.answers.last).to_contain_text("Interrupted: the agent stopped before it finished.")
    expect(tab.strip).to_contain_text("Reconnecting… Your conversation is safe.")
    server.environment |= FAST
    server.start()
    tab.try_now()
    tab.wait_connected()
    expect(tab.indicator).to_have_text("Connection: Connected")
    assert {said["word"] for said in tab.recorded()} == {"Connecting…", "Connected", "Reconnecting…"}
    check_next(tab)
