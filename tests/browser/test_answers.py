"""Answers: streamed, rendered, and stored as they were shown."""

from functools import partial

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import Visitor, demo_answer, text_of
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "150"}
QUESTION = "What is a durable session?"


def test_a_question_gets_a_streamed_answer(visitor: Visitor) -> None:
    tab = visitor.ask(QUESTION)
    tab.wait_more()
    tab.wait_more()
    tab.wait_ended()
    check_rendered(tab.answers.last)
    question, answer = visitor.stored(tab.session)
    assert (question["role"], text_of(question)) == ("user", QUESTION)
    assert (answer["role"], answer["status"], text_of(answer)) == ("assistant", "complete", demo_answer(QUESTION))
    tab.check_against_store()
    tab.check_against_fresh()


def check_rendered(answer: Locator) -> None:
    expect(answer.get_by_role("heading", level=3)).to_have_count(3)
    expect(answer.get_by_role("listitem")).to_have_count(4)
    expect(answer.get_by_role("table").get_by_role("row")).to_have_count(5)
    expect(answer.get_by_role("blockquote")).to_contain_text("The session doesn't.")
    code = answer.get_by_test_id("code-block").last
    expect(code.locator("figcaption")).to_contain_text("json")
    expect(code.locator("code")).to_contain_text('{"type": "attach"')
    reasoning, tool = answer.get_by_test_id("reasoning"), answer.get_by_test_id("tool")
    expect(reasoning.locator("summary")).to_have_text("Reasoningdone")
    expect(tool.locator("summary")).to_have_text("Inspect sessiondone")
    reasoning.locator("summary").click()
    expect(reasoning).to_contain_text("I can't look anything up")
    tool.locator("summary").click()
    expect(tool).to_contain_text('"durable": true')


def test_an_answer_survives_a_reload_a_second_tab_and_a_cut(visitor: Visitor, network: TcpProxy) -> None:
    tab = visitor.ask(QUESTION)
    second = tab.second()
    tab.reload()
    network.cut()
    tab.wait_ended()
    second.wait_ended()
    assert text_of(visitor.stored(tab.session)[-1]) == demo_answer(QUESTION)
    tab.check_against_store()
    tab.check_against(second)
    tab.check_against_fresh()


def test_each_part_is_shown_as_it_arrives(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    say = partial(agent.say, tab.session)
    reasoning, tool = tab.page.get_by_test_id("reasoning"), tab.page.get_by_test_id("tool")
    call = {"toolCallId": "c1", "toolName": "get_weather"}
    say(START)
    expect(tab.answers.get_by_text("Working…")).to_be_visible()
    say(begin("reasoning"), delta("Perhaps", "reasoning"))
    expect(reasoning).to_contain_text("thinking…")
    reasoning.locator("summary").click()
    expect(reasoning).to_contain_text("Perhaps")
    say(delta(" rain.", "reasoning"), end("reasoning"))
    expect(reasoning).to_contain_text("Perhaps rain.")
    expect(reasoning).to_contain_text("done")
    say({"type": "tool-input-start", **call})
    say({"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": '{"city": "Par'})
    expect(tool).to_contain_text("preparing…")
    tool.locator("summary").click()
    expect(tool).to_contain_text('{"city": "Par')
    say({"type": "tool-input-available", **call, "input": {"city": "Paris"}})
    expect(tool).to_contain_text("running…")
    expect(tool).to_contain_text('"city": "Paris"')
    say({"type": "tool-output-error", "toolCallId": "c1", "errorText": "no such city"})
    expect(tool).to_contain_text("failed")
    expect(tool).to_contain_text("no such city")
    say(begin(), delta("It is **sun"))
    expect(tab.answers.locator("strong")).to_have_text("sun")
    say(delta("ny**."), end(), FINISH)
    expect(tab.answers.locator("strong")).to_have_text("sunny")
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_prompt_starts_a_conversation(visitor: Visitor) -> None:
    tab = visitor.open()
    prompt = tab.page.get_by_test_id("prompt").first
    words = prompt.inner_text()
    prompt.click()
    expect(tab.questions).to_contain_text(words)
    expect(tab.page.get_by_test_id("conversation-heading")).to_have_text(words)
    expect(tab.page.get_by_role("link", name=words)).to_have_attribute("aria-current", "page")
    expect(tab.page).to_have_title(f"{words} · Holdfast")
    tab.wait_ended()


def test_earlier_messages_are_shown_on_demand(visitor: Visitor, agent: DictatedAgent) -> None:
    session = visitor.new_session()
    for number in range(70):
        agent.say(session, START, *text(f"Answer {number}"), FINISH)
    tab = visitor.open(f"/s/{session}/")
    expect(tab.answers).to_have_count(30)
    earlier = tab.page.get_by_test_id("earlier")
    earlier.click()
    expect(tab.answers).to_have_count(60)
    earlier.click()
    expect(tab.answers).to_have_count(70)
    expect(earlier).to_be_hidden()
    assert [message["text"].strip() for message in tab.shown()] == [f"Answer {number}" for number in range(70)]
