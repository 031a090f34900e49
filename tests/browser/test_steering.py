"""Stops and steers of an agent at work, in time or too late."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import scripted
from tests.browser.visitor import Tab, Visitor, text_of
from tests.support.harness import Server

pytestmark = pytest.mark.browser

SERVER = scripted.ENVIRONMENT
SOON = "Will be read at the next step"


@pytest.fixture
def tab(visitor: Visitor) -> Tab:
    """In the middle of an answer that goes on when the test opens a gate, with a step, or is stopped."""
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}; step; say The end")
    expect(tab.answers).to_contain_text("So far")
    return tab


def stop_button(tab: Tab) -> Locator:
    return tab.page.get_by_test_id("stop")


def steers(tab: Tab) -> Locator:
    """The steers read in the middle of an answer."""
    return tab.answers.get_by_test_id("steer")


def both(tab: Tab) -> tuple[Tab, Tab]:
    second = tab.second()
    expect(second.answers).to_contain_text("So far")
    return tab, second


# Stopping


def test_a_stop_is_confirmed_when_the_agent_has_stopped(tab: Tab) -> None:
    tabs = both(tab)
    for each in tabs:
        expect(stop_button(each)).to_have_text("Stop")
    stop_button(tab).click()
    tab.wait_ended("cancelled")
    for each in tabs:
        expect(each.answers).to_contain_text("So far")
        expect(each.answers).to_contain_text("Stopped by you before it finished. The text so far is kept.")
        expect(each.page.get_by_test_id("composer-hint")).to_have_text("Stopped.")
        expect(stop_button(each)).to_be_hidden()
    tab.check_against(tabs[1])
    tab.reload()
    expect(tab.answers).to_contain_text("Stopped by you")
    tab.check_against_store()


def test_a_pending_stop_is_shown_as_pending(tab: Tab, visitor: Visitor) -> None:
    visitor.network.drop("down")  # it arrives, but nothing comes back
    stop_button(tab).click()
    expect(stop_button(tab)).to_have_text("Stopping…")
    expect(stop_button(tab)).to_have_attribute("aria-disabled", "true")
    stop_button(tab).click(force=True)  # a second time is nothing
    expect(tab.answers).to_have_attribute("data-status", "streaming")
    visitor.network.cut()
    tab.wait_ended("cancelled")
    expect(stop_button(tab)).to_be_hidden()
    expect(tab.composer).to_be_focused()


def test_a_stop_pressed_offline_counts_after_a_reload(tab: Tab, visitor: Visitor) -> None:
    path = tab.path
    visitor.go_offline()
    stop_button(tab).click()
    expect(tab.page.get_by_test_id("composer-hint")).to_have_text("The agent will be stopped when you are back online.")
    tab.page.goto("about:blank")
    visitor.come_back()
    tab.page.goto(path)
    tab.wait_ended("cancelled")
    tab.check_against_store()


def test_a_waiting_question_is_stopped_too(tab: Tab) -> None:
    tab.say_next("say Never said")
    expect(tab.questions).to_have_count(2)
    expect(tab.questions.last).to_contain_text("Sent")
    stop_button(tab).click()
    tab.wait_ended("cancelled", answers=2)
    expect(tab.questions.last).to_contain_text("Not answered: It was stopped before an agent began to answer.")
    for answer in (tab.answers.first, tab.answers.last):
        expect(answer).to_contain_text("Stopped by you")
    tab.check_against_store()
    tab.check_against_fresh()


# Steering


def test_a_steer_waits_for_the_next_step_and_then_joins_the_answer(tab: Tab, visitor: Visitor) -> None:
    tabs = both(tab)
    tab.say("Shorter, <b>please</b>")
    for each in tabs:
        expect(each.questions.last).to_contain_text("Shorter, <b>please</b>")
        expect(each.questions.last).to_contain_text(SOON)
    tab.reload()
    expect(tab.questions.last).to_contain_text(SOON)
    visitor.open_gate()
    tab.wait_ended()
    for each in tabs:
        expect(steers(each)).to_contain_text("Added by you while the agent was working")
        expect(each.answers).to_contain_text(
            re.compile("So far.*Shorter, <b>please</b>.*Heard: Shorter, .*The end", re.DOTALL)
        )
        expect(each.questions).to_have_count(1)
    tab.check_against(tabs[1])
    tab.check_against_store()


def test_the_composer_explains_the_enter_key(tab: Tab, visitor: Visitor) -> None:
    hint, following = tab.page.get_by_test_id("composer-hint"), tab.page.get_by_test_id("send-next")
    expect(hint).to_have_text("Enter to steer the agent")
    expect(tab.page.get_by_role("button", name="Steer")).to_be_visible()
    tab.composer.fill("say Next")
    following.click()
    expect(tab.questions.last).to_contain_text("Sent")
    visitor.open_gate()
    tab.wait_ended(answers=2)
    expect(tab.answers.last).to_contain_text("Next")
    expect(hint).to_have_text("Enter to send, Shift+Enter for a new line")
    expect(following).to_be_hidden()
    expect(tab.page.get_by_role("button", name="Send")).to_be_visible()


def test_a_late_steer_becomes_the_next_question(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}")
    expect(tab.answers).to_contain_text("So far")
    tab.say("say Late")
    expect(tab.questions.last).to_contain_text(SOON)
    visitor.open_gate()
    tab.wait_ended(answers=2)
    expect(tab.answers.last).to_contain_text("Late")
    expect(tab.questions.last).to_contain_text(
        "Read: It came too late for that answer, and is the next question instead."
    )
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_steer_sent_after_the_answer_becomes_the_next_question(tab: Tab, visitor: Visitor) -> None:
    visitor.go_offline()
    tab.say("say Late")
    expect(tab.questions.last).to_contain_text("Waiting. Will be sent when you are back online.")
    visitor.open_gate()
    visitor.wait_stored(tab.session, "The end")
    visitor.come_back()
    tab.wait_ended(answers=2)
    expect(tab.questions.last).to_contain_text("Read: No agent was at work on an answer")
    assert [text_of(message) for message in visitor.stored(tab.session)][2:] == ["say Late", "Late\n\n"]
    tab.check_against_fresh()


def test_an_unread_steer_is_kept(tab: Tab) -> None:
    tab.say("Shorter")
    expect(tab.questions.last).to_contain_text(SOON)
    stop_button(tab).click()
    expect(tab.questions.last).to_contain_text("Not read: The agent was stopped before it read this.")
    expect(tab.questions.last).to_contain_text("Shorter")
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_refused_steer_keeps_its_text(tab: Tab) -> None:
    tab.say("x" * 40_000)
    expect(tab.questions.last).to_contain_text("Not sent: The message is too large")
    tab.questions.last.get_by_role("button", name="Remove").click()
    expect(tab.questions).to_have_count(1)
    expect(tab.answers).to_have_attribute("data-status", "streaming")


# Receipts


def test_a_message_is_sent_then_delivered_then_read(visitor: Visitor, server: Server) -> None:
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}")
    expect(tab.questions).to_contain_text("Read")
    tab.say_next("say Next")
    expect(tab.questions.last).to_contain_text("Sent")
    visitor.open_gate()
    expect(tab.questions.last).to_contain_text("Read")
    tab.check_against_fresh()


def test_without_an_agent_a_message_is_only_sent(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    tab.say("Hello")
    expect(tab.questions).to_contain_text("Sent")
    tab.reload()
    expect(tab.questions).to_contain_text("Sent")
