"""Retries: an answer that broke off can be continued or regenerated."""

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import scripted
from tests.browser.conftest import QUICK
from tests.browser.visitor import Tab, Visitor
from tests.support.harness import Server, StartServer

pytestmark = pytest.mark.browser


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(**QUICK | scripted.ENVIRONMENT, HOLDFAST_LEASE_MS="2000")


def button(tab: Tab, mode: str) -> Locator:
    """The button of this answer, or of none: it is there for the last one only."""
    return tab.page.get_by_role("button", name=mode)


ONE, OTHER = ("Continue", ["So far", "Again: continue."]), ("Regenerate", ["Again: regenerate."])


@pytest.mark.parametrize(("name", "said"), [ONE, pytest.param(*OTHER, marks=pytest.mark.long)])
def test_an_interrupted_answer_can_be_continued(visitor: Visitor, server: Server, name: str, said: list[str]) -> None:
    tab = visitor.open_with("scripted", "say So far; until never")
    expect(tab.answers).to_contain_text("So far")
    expect(button(tab, name)).to_be_hidden()
    server.kill9()
    server.start()
    tab.try_now()
    tab.wait_ended("interrupted")
    second = tab.second()
    expect(button(second, name)).to_be_visible()
    button(tab, name).click()
    for each in (tab, second):
        each.wait_ended()
        for text in said:
            expect(each.answers).to_contain_text(text)
        expect(button(each, name)).to_be_hidden()
    tab.check_against_store()
    tab.check_against(second)


def test_a_failed_answer_gives_its_reason_and_can_be_regenerated(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", "say So far; fail The model is overloaded")
    tab.wait_ended("failed")
    expect(tab.answers).to_contain_text("Failed: The model is overloaded.")
    tab.reload()
    button(tab, "Regenerate").click()
    tab.wait_ended()
    expect(tab.answers).to_contain_text("Again: regenerate.")
    expect(tab.answers).not_to_contain_text("So far")
    tab.check_against_store()


def test_earlier_alternatives_of_an_answer_can_be_looked_at(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", "say So far; fail The model is overloaded")
    tab.wait_ended("failed")
    alternatives = tab.page.get_by_role("group", name="Answer")
    expect(alternatives).to_have_count(0)
    second = tab.second()
    button(tab, "Regenerate").click()
    tab.wait_ended()
    for each in (tab, second, tab.second()):
        each.page.bring_to_front()
        expect(each.page.get_by_role("group", name="Answer 2 of 2")).to_contain_text("2/2")
    tab.page.bring_to_front()
    earlier, later = (tab.page.get_by_role("button", name=name) for name in ("Earlier answer", "Later answer"))
    earlier.focus()
    for _ in range(2):  # there is none before the first, and the focus stays
        tab.page.keyboard.press("Enter")
        expect(tab.answers).to_contain_text("So far")
        expect(tab.answers).to_contain_text("An earlier answer, not part of the conversation.")
        expect(tab.page.get_by_role("group", name="Answer 1 of 2")).to_contain_text("1/2")
        expect(earlier).to_be_focused()
    expect(button(tab, "Regenerate")).to_be_hidden()
    later.click()
    expect(tab.answers).to_contain_text("Again: regenerate.")
    expect(tab.answers).not_to_contain_text("So far")
    tab.say("say Next")
    tab.wait_ended(answers=2)
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_stopped_answer_can_be_continued_and_one_click_counts_once(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", "say So far; until never")
    expect(tab.answers).to_contain_text("So far")
    tab.page.get_by_test_id("stop").click()
    tab.wait_ended("cancelled")
    visitor.go_offline()
    button(tab, "Continue").click()
    expect(tab.answers).to_contain_text("Continuing when you are back online")
    expect(button(tab, "Continue")).to_be_hidden()
    visitor.come_back()
    tab.wait_ended()
    expect(tab.answers).to_contain_text("So far")
    expect(tab.answers).to_contain_text("Again: continue.")
    tab.check_against_store()
    tab.check_against_fresh()


def test_only_the_last_answer_can_be_continued(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", "fail At once")
    tab.wait_ended("failed")
    expect(button(tab, "Continue")).to_be_visible()
    tab.say("say After it")
    tab.wait_ended(answers=2)
    expect(button(tab, "Continue")).to_be_hidden()
