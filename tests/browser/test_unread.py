"""Unread content is marked in the conversation, in the list and in the tab's title."""

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import Tab, Visitor
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

LONG = "\n\n".join(f"Paragraph {number}." for number in range(60))


# Headless Chromium calls every tab visible, whichever is in front.
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def hide(tab: Tab, hidden: bool = True) -> None:
    tab.page.evaluate(HIDE, hidden)


def line(tab: Tab) -> Locator:
    return tab.page.get_by_role("separator", name="New")


def following(line: Locator) -> str:
    """The text that the line stands above: of the next element, or, where it begins a message, of its body."""
    found: str = line.evaluate("""(line) =>
      (line.parentElement.matches("li") ? line.parentElement.querySelector(".message-body") : line.nextElementSibling)
        .textContent.trim()""")
    return found


def test_the_unread_line_marks_where_the_reader_left_off(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, begin(), delta("Seen.\n\nSeen in part"))
    expect(tab.answers).to_contain_text("Seen in part")
    hide(tab)
    agent.say(tab.session, delta(", and the rest.\n\nNot seen."), end(), FINISH)
    expect(tab.answers).to_contain_text("Not seen.")
    hide(tab, False)
    expect(line(tab)).to_have_count(1)
    assert following(line(tab)) == "Seen in part, and the rest."
    tab.check_against_fresh()  # the line is no text of the message's
    tab.check_against_store()


def test_the_unread_line_stands_above_a_wholly_unread_message(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, *text("Seen"), FINISH)
    tab.wait_ended()
    hide(tab)
    agent.say(tab.session, START, *text("Not seen"), FINISH)
    tab.wait_ended(answers=2)
    assert following(line(tab)) == "Not seen"


def test_content_missed_while_disconnected_is_below_the_line(
    visitor: Visitor, agent: DictatedAgent, network: TcpProxy
) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, begin(), delta("Seen.\n\n"))
    expect(tab.answers).to_contain_text("Seen.")
    network.refuse()
    network.cut()
    hide(tab)
    agent.say(tab.session, delta("Not seen."), end(), FINISH)
    hide(tab, False)
    expect(line(tab)).to_have_count(0)
    network.refuse(False)
    tab.wait_ended()
    assert following(line(tab)) == "Not seen."


def test_without_news_there_is_no_line_and_typing_removes_it(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, *text("Seen"), FINISH)
    tab.wait_ended()
    hide(tab)
    hide(tab, False)
    tab.say("First")
    expect(tab.questions).to_contain_text("Sent")
    expect(line(tab)).to_have_count(0)
    hide(tab)
    agent.say(tab.session, START, *text("News"), FINISH)
    hide(tab, False)
    expect(line(tab)).to_have_count(1)
    tab.say("Second")
    expect(line(tab)).to_have_count(0)


def test_a_reader_who_scrolled_up_stays_there_and_can_jump_to_new_content(
    visitor: Visitor, agent: DictatedAgent
) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, begin(), delta(LONG))
    expect(tab.answers).to_contain_text("Paragraph 59.")
    pane = tab.page.get_by_test_id("transcript")
    jump = tab.page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_hidden()
    pane.evaluate("(pane) => pane.scrollTo(0, 0)")
    expect(jump).to_have_text("Jump to latest")
    agent.say(tab.session, delta("\n\nWritten below."), end(), FINISH)
    expect(jump).to_have_text("Jump to latestNew")
    assert pane.evaluate("(pane) => pane.scrollTop") == 0
    expect(tab.page).to_have_title("(1) Holdfast")
    jump.click()
    expect(jump).to_be_hidden()
    expect(pane).to_be_focused()  # the keyboard goes on from there
    expect(tab.answers.get_by_text("Written below.")).to_be_in_viewport()
    assert following(line(tab)) == "Written below."
    expect(tab.page).to_have_title("Holdfast")


def test_the_title_counts_answers_that_ended_unread(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, *text("Seen"), FINISH)
    tab.wait_ended()
    hide(tab)
    expect(tab.page).to_have_title("Holdfast")
    for number in (1, 2):
        agent.say(tab.session, START, *text("Unseen"), FINISH)
        expect(tab.page).to_have_title(f"({number}) Holdfast")
    agent.say(tab.session, START, begin(), delta("Not at its end yet"))
    expect(tab.answers).to_have_count(4)
    item = tab.page.get_by_test_id("conversation")
    agent.say(tab.session, end(), FINISH)
    expect(item).to_contain_text("New answer")
    hide(tab, False)
    expect(tab.page).to_have_title("Holdfast")
    expect(item).not_to_contain_text("New answer")


def test_the_list_marks_an_answer_that_ended_after_its_reader_left(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    left = tab.session
    agent.say(left, START, begin(), delta("Begun"))
    item = tab.page.locator(f"[data-testid=conversation][data-id='{left}']")
    expect(item).to_contain_text("Answering…")
    tab.page.get_by_test_id("new-conversation").click()
    agent.say(left, end(), FINISH)
    hide(tab)
    hide(tab, False)
    expect(item).to_contain_text("New answer")


def test_the_list_marks_an_answer_in_another_conversation(visitor: Visitor, agent: DictatedAgent) -> None:
    other = visitor.open_unanswered()
    agent.say(other.session, START, begin(), delta("Begun"))
    expect(other.answers).to_contain_text("Begun")
    tab = visitor.open_unanswered()
    item = tab.page.locator(f"[data-testid=conversation][data-id='{other.session}']")
    expect(item).to_contain_text("Answering…")
    agent.say(other.session, end(), FINISH)
    hide(tab)
    hide(tab, False)  # what is looked at again is asked about again
    expect(item).to_contain_text("New answer")
    item.get_by_role("link").click()
    expect(tab.answers).to_contain_text("Begun")
    expect(item).not_to_contain_text("New answer")
