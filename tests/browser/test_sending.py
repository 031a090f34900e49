"""Sending: a message counts once, in one order, despite faults of tabs and network."""

import re

import pytest
from playwright.sync_api import Error, expect

from tests.browser.visitor import Tab, Visitor, text_of

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "500"}


def questions(tab: Tab) -> list[str]:
    return [message["text"] for message in tab.shown() if message["role"] == "user"]


def test_a_question_asked_during_an_answer_is_answered_next(visitor: Visitor) -> None:
    tab = visitor.open()
    for question in ("One", "Two", "Three"):
        tab.say_next(question)
    tab.wait_ended(answers=3)
    stored = visitor.stored(tab.session)
    answers = [text_of(message).splitlines()[0] for message in stored if message["role"] == "assistant"]
    assert answers == ["## You asked: One", "## You asked: Two", "## You asked: Three"]
    tab.check_against_store()
    tab.check_against_fresh()


def test_messages_typed_offline_are_sent_once_after_reconnecting(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    visitor.go_offline()
    tab.say("Typed offline")
    expect(tab.strip).to_contain_text("Reconnecting…")
    tab.say("And one more")
    expect(tab.questions.last).to_contain_text("Waiting. Will be sent when you are back online.")
    visitor.come_back()
    expect(tab.questions.last).to_contain_text("Sent")
    assert questions(tab) == ["Typed offline", "And one more"]
    tab.check_against_store()
    tab.check_against_fresh()


def test_messages_typed_offline_survive_a_reload(visitor: Visitor) -> None:
    tab = visitor.begin("Before")
    tab.wait_ended()
    path = tab.path
    visitor.go_offline()
    tab.say("Typed offline")
    with pytest.raises(Error, match="ERR_INTERNET_DISCONNECTED"):
        tab.page.reload()
    expect(tab.page).to_have_url(re.compile("^chrome-error:"))  # the page is gone
    visitor.come_back()
    tab.page.goto(path)
    tab.wait_ended(answers=2)
    assert questions(tab) == ["Before", "Typed offline"]
    tab.check_against_store()


def test_a_conversation_can_be_started_offline(visitor: Visitor) -> None:
    tab = visitor.open()
    visitor.go_offline()
    tab.say("Typed offline")
    expect(tab.questions).to_contain_text("Typed offline")
    visitor.come_back()
    tab.wait_ended()
    assert questions(tab) == ["Typed offline"]
    tab.check_against_store()


def test_a_draft_survives_the_start_of_a_conversation(visitor: Visitor) -> None:
    tab = visitor.open()
    visitor.go_offline()
    tab.say("Sent")
    tab.composer.fill("Not sent yet")
    visitor.come_back()
    expect(tab.page).to_have_url(re.compile("/s/"))
    expect(tab.composer).to_have_value("Not sent yet")
    assert questions(tab) == ["Sent"]


def test_a_conversation_started_offline_survives_a_reload(visitor: Visitor) -> None:
    tab = visitor.open()
    visitor.go_offline()
    tab.say("First")
    tab.say("Second")
    tab.composer.fill("Not sent yet")
    with pytest.raises(Error, match="ERR_INTERNET_DISCONNECTED"):
        tab.page.reload()
    expect(tab.page).to_have_url(re.compile("^chrome-error:"))  # the page is gone
    visitor.come_back()
    tab.page.goto("/")
    expect(tab.composer).to_have_value("First\n\nSecond\n\nNot sent yet")


def test_a_draft_survives_a_reload(visitor: Visitor) -> None:
    tab = visitor.open()
    tab.composer.fill("Not sent yet")
    tab.reload()
    expect(tab.composer).to_have_value("Not sent yet")


def test_two_tabs_send_at_the_same_time(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    second = tab.second()
    visitor.go_offline()
    for number in range(5):
        second.say(f"Second {number}")
    for number in range(5):
        tab.say(f"First {number}")
    visitor.come_back()
    for each in (tab, second):  # both show at once what waits in either
        expect(each.page.locator("[data-testid=message][data-status=complete]")).to_have_count(10)
    for name in ("First", "Second"):
        assert [text for text in questions(tab) if name in text] == [f"{name} {number}" for number in range(5)]
    tab.check_against_store()
    tab.check_against(second)


def test_a_message_sent_by_two_tabs_counts_once(visitor: Visitor) -> None:
    tab = visitor.begin("Before")
    tab.wait_ended()
    visitor.network.drop("down")  # what is sent arrives, but its receipt doesn't
    tab.say("Only once")
    tab.wait_until(lambda: len(visitor.stored(tab.session)) > 2, "it isn't stored")
    visitor.network.cut()
    second = tab.second()  # finds it in the outbox, which both tabs share
    tab.wait_ended(answers=2)
    second.wait_ended(answers=2)
    assert questions(tab) == ["Before", "Only once"]
    tab.check_against_store()
    tab.check_against(second)


def test_a_refused_message_shows_its_reason(visitor: Visitor) -> None:
    tab = visitor.begin("Before")
    tab.say("x" * 40_000)
    expect(tab.questions.last).to_contain_text("Not sent:")
    assert len(visitor.stored(tab.session)) <= 2
    tab.say_next("After")
    tab.wait_ended(answers=2)
    assert [text_of(message) for message in visitor.stored(tab.session)[::2]] == ["Before", "After"]
