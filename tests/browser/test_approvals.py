"""Approvals in the page: the exact call is shown, one decision counts, and every tab shows it."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser import scripted
from tests.browser.conftest import Visit
from tests.browser.scripted.agent import EXACT
from tests.browser.test_unread import hide
from tests.browser.visitor import Tab, Visitor

pytestmark = pytest.mark.browser

SERVER = scripted.ENVIRONMENT


def asked(visitor: Visitor, options: str = "") -> Tab:
    """In an answer that waits for a decision about a call."""
    tab = visitor.open_with("scripted", f"say So far; ask send_mail {options}; say The end")
    expect(approval(tab)).to_be_visible()
    return tab


def approval(tab: Tab) -> Locator:
    return tab.page.get_by_role("group", name="Allow “Send mail”? send_mail")


def approve(tab: Tab) -> Locator:
    return tab.page.get_by_test_id("approve")


def deny(tab: Tab) -> Locator:
    return tab.page.get_by_test_id("deny")


def decision(tab: Tab) -> Locator:
    return tab.page.get_by_test_id("decision")


def call(visitor: Visitor, tab: Tab) -> dict[str, Any]:
    """The call as it is stored."""
    return next(part for part in visitor.stored(tab.session)[-1]["parts"] if part["type"] == "tool-send_mail")


def test_an_approval_request_shows_the_exact_call(visitor: Visitor) -> None:
    tab = asked(visitor)
    card = approval(tab)
    expect(card).to_contain_text("It leaves the house.")
    shown = json.loads(card.locator("pre").inner_text())
    assert shown == call(visitor, tab)["input"]
    # What could deceive is seen for what it is.
    assert "<b>bold</b> \\u202egnp.exe" in card.locator("pre").inner_text()
    expect(card.get_by_role("timer")).to_have_text(re.compile(r"Expires in [0-5]:\d\d"))
    expect(tab.answers).to_contain_text("Waiting for a decision…")
    expect(tab.page.get_by_test_id("announcer")).to_contain_text("Send mail is waiting for your decision.")
    expect(tab.page.get_by_test_id("edit-arguments")).to_be_hidden()
    tab.reload()
    expect(approval(tab)).to_be_visible()


def test_an_approved_call_runs_and_every_tab_names_the_approver(visitor: Visitor) -> None:
    tab = asked(visitor)
    second = tab.second()
    expect(approval(second)).to_be_visible()
    approve(tab).click()
    for each in (tab, second):
        each.wait_ended()
        expect(decision(each)).to_have_text(re.compile(r"^Approved by you at \d.*\.$"))
        expect(approve(each)).to_be_hidden()
        expect(each.answers).to_contain_text(re.compile("Done.*The end", re.DOTALL))
    assert call(visitor, tab)["output"] == {"sent to": "ann@example.com"}
    tab.check_against(second)
    tab.reload()
    expect(decision(tab)).to_contain_text("Approved by you")
    tab.check_against_store()


def test_a_denied_call_does_not_run(visitor: Visitor) -> None:
    tab = asked(visitor)
    deny(tab).click()
    tab.wait_ended()
    expect(decision(tab)).to_contain_text("Denied by you at")
    expect(tab.page.get_by_test_id("tool")).to_contain_text("denied")
    expect(tab.answers).to_contain_text("Left alone.")
    assert call(visitor, tab)["state"] == "output-denied"
    tab.check_against_fresh()


def test_one_of_two_devices_decides_and_the_other_is_notified(visit: Visit) -> None:
    visitor, other = visit(), visit()
    tab = asked(visitor)
    other.context.add_cookies(visitor.context.cookies())
    second = other.open(tab.path)
    expect(approval(second)).to_be_visible()
    visitor.network.drop("down")  # neither hears of the other
    deny(tab).click()
    approve(second).click()
    for each in (tab, second):
        expect(decision(each)).to_contain_text("Sending…")
    visitor.network.cut()
    for each in (tab, second):
        each.wait_ended()
    approved = "output" in call(visitor, tab)
    winner, loser = (second, tab) if approved else (tab, second)
    word = "approved" if approved else "denied"
    for each in (tab, second):
        expect(decision(each)).to_have_text(re.compile(f"{word.capitalize()} by you at"))
    refused = f"Your decision was not accepted: This was already decided: you {word} it."
    expect(loser.page.get_by_test_id("decision-refused")).to_have_text(refused)
    expect(winner.page.get_by_test_id("decision-refused")).to_be_hidden()


def test_a_decision_pending_in_one_tab_is_shown_in_the_other(visitor: Visitor) -> None:
    tab = asked(visitor)
    second = tab.second()
    expect(approval(second)).to_be_visible()
    visitor.go_offline()
    deny(tab).click()
    expect(decision(second)).to_have_text("Denied. Will be sent when you are back online.")
    expect(approve(second)).to_be_hidden()


def test_an_edited_call_runs_with_its_edited_arguments(visitor: Visitor) -> None:
    tab = asked(visitor, "editable")
    tab.page.get_by_test_id("edit-arguments").click()
    editor = tab.page.get_by_label("Arguments of send_mail, as JSON")
    expect(editor).to_be_focused()
    for wrong, why in (('{"to": }', "Invalid JSON"), ("[]", "Arguments must be an object")):
        editor.fill(wrong)
        expect(approval(tab)).to_contain_text(why)
        expect(editor).to_have_attribute("aria-invalid", "true")
        expect(approve(tab)).to_be_disabled()
    editor.fill('{"to": "bob@example.com"}')
    expect(approve(tab)).to_have_text("Approve as edited")
    approve(tab).click()
    tab.wait_ended()
    expect(decision(tab)).to_contain_text("Approved with edited arguments by you at")
    stored = call(visitor, tab)
    assert (stored["input"], stored["output"]) == ({"to": "bob@example.com"}, {"sent to": "bob@example.com"})
    tab.check_against_store()
    tab.check_against_fresh()


def test_numbers_are_shown_edited_and_run_exactly(visitor: Visitor) -> None:
    tab = asked(visitor, "editable exact")
    shown = approval(tab).locator("pre").inner_text()
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", EXACT)
    tab.page.get_by_test_id("edit-arguments").click()
    editor = tab.page.get_by_test_id("arguments")
    text = editor.input_value()
    editor.fill(text.replace("9007199254740993", "18446744073709551616"))
    expect(approval(tab)).to_contain_text("too large to be kept exactly: 18446744073709551616")
    expect(approve(tab)).to_be_disabled()
    editor.fill(text.replace('"bob"', '"bobby"'))
    approve(tab).click()
    tab.wait_ended()
    stored = call(visitor, tab)
    assert stored["output"] == {"sent to": "bobby", "amount": 9007199254740993}
    assert stored["callProviderMetadata"]["holdfast"]["input_text"] == text.replace('"bob"', '"bobby"')
    tab.reload()
    expect(decision(tab)).to_contain_text("Approved with edited arguments by you at")
    tab.open_folds()
    tool = tab.page.get_by_test_id("tool")
    for exact in ('"to": "bobby"', '"amount": 9007199254740993', '"rate": 1.10', '"amount": "9007199254740993"'):
        expect(tool).to_contain_text(exact)  # the last one is the output's


def test_unchanged_arguments_are_approved_as_shown(visitor: Visitor) -> None:
    tab = asked(visitor, "editable")
    edit = tab.page.get_by_test_id("edit-arguments")
    edit.click()
    tab.page.get_by_test_id("arguments").fill("{")
    tab.page.keyboard.press("Escape")
    expect(edit).to_be_focused()
    expect(approve(tab)).to_have_text("Approve")
    edit.click()
    approve(tab).click()
    tab.wait_ended()
    expect(decision(tab)).to_have_text(re.compile("Approved by you at"))


def test_an_undecided_approval_expires(visitor: Visitor) -> None:
    tab = asked(visitor, "2")
    tab.wait_ended()
    expect(decision(tab)).to_have_text("Expired without a decision. The tool did not run.")
    expect(tab.page.get_by_test_id("tool")).to_contain_text("expired")
    expect(approve(tab)).to_be_hidden()
    assert call(visitor, tab)["state"] == "output-denied"
    tab.check_against_fresh()


def test_a_late_decision_is_reported_as_too_late(visitor: Visitor) -> None:
    tab = asked(visitor, "2")
    visitor.network.drop("down")
    visitor.wait_stored(tab.session, "The end")
    approve(tab).click()
    visitor.network.cut()
    expect(tab.page.get_by_test_id("decision-refused")).to_contain_text("The approval has expired")
    expect(decision(tab)).to_contain_text("Expired")
    assert call(visitor, tab)["state"] == "output-denied"


def test_a_decision_made_offline_counts_after_a_reload(visitor: Visitor) -> None:
    tab = asked(visitor)
    path = tab.path
    visitor.go_offline()
    approve(tab).click()
    expect(decision(tab)).to_have_text("Approved. Will be sent when you are back online.")
    tab.page.goto("about:blank")
    visitor.come_back()
    tab.page.goto(path)
    tab.wait_ended()
    expect(decision(tab)).to_contain_text("Approved by you")
    tab.check_against_store()


def test_approvals_requested_on_a_hidden_page_are_counted(visitor: Visitor) -> None:
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}; ask send_mail")
    expect(tab.answers).to_contain_text("So far")
    hide(tab)
    visitor.open_gate()
    expect(tab.page).to_have_title(re.compile(r"^\(1\) "))
    hide(tab, False)
    expect(tab.page).not_to_have_title(re.compile(r"^\("))


def test_a_stop_ends_pending_approvals(visitor: Visitor) -> None:
    tab = asked(visitor)
    tab.page.get_by_test_id("stop").click()
    tab.wait_ended("cancelled")
    expect(decision(tab)).to_have_text("Not decided: the answer ended first.")
    expect(approve(tab)).to_be_hidden()
    tab.check_against_fresh()


def test_an_approval_can_be_decided_by_keyboard(visitor: Visitor) -> None:
    tab = asked(visitor, "editable")
    approve(tab).focus()
    tab.page.keyboard.press("Tab")
    expect(deny(tab)).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(decision(tab)).to_contain_text("Denied by you")
    expect(tab.page.get_by_test_id("approval")).to_be_focused()
