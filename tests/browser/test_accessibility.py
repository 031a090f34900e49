"""Accessibility: axe finds nothing wrong with the page in any state, in both colour schemes and on a phone."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser import scripted
from tests.browser.dictated_agent import START, DictatedAgent, begin, delta
from tests.browser.test_appearance import WHOLE
from tests.browser.test_unread import hide, line
from tests.browser.visitor import Tab, Visitor
from tests.services import require_package
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = scripted.ENVIRONMENT | {"HOLDFAST_RECOVERY_WINDOW_MS": "3000"}
DESKTOP: ViewportSize = {"width": 1200, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# WCAG 2.2 AA and axe's best practices. What it can't decide is no violation.
RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ html, failureSummary, target }) =>
    `${target}: ${html.slice(0, 200)} ${failureSummary}`) }));
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    return (require_package("axe-core") / "axe.min.js").read_text()


Check = Callable[..., None]


@pytest.fixture
def check(axe: str) -> Check:
    """Fail if axe finds something, on a desktop or a phone, in either scheme; `state` is for the message."""

    def check(page: Page, state: str, sizes: Sequence[ViewportSize] = (DESKTOP, PHONE)) -> None:
        page.evaluate(axe)
        for size, scheme in product(sizes, SCHEMES):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found: list[dict[str, Any]] = page.evaluate(RUN)
            assert found == [], f"{state}, {scheme}, {size['width']} wide"

    return check


def test_an_empty_page(visitor: Visitor, check: Check) -> None:
    tab = visitor.open()
    check(tab.page, "empty")
    tab.indicator.click()
    expect(tab.page.get_by_role("group", name="Connection details")).to_be_visible()
    check(tab.page, "connection details")


def test_a_conversation(visitor: Visitor, agent: DictatedAgent, check: Check) -> None:
    tab = visitor.open_unanswered()
    tab.say("A question")
    agent.say(tab.session, START, begin(), delta("Seen"))
    expect(tab.answers).to_contain_text("Seen")
    check(tab.page, "streaming")
    hide(tab)
    agent.say(tab.session, START, *WHOLE[1:])
    tab.wait_ended(answers=2)
    hide(tab, False)
    expect(line(tab)).to_have_count(1)
    tab.open_folds()
    visitor.go_offline()
    tab.say("x" * 33_000)  # too long: refused when it is sent
    visitor.come_back()
    expect(tab.questions.last).to_contain_text("Not sent")
    check(tab.page, "answered")


def test_an_agent_at_work(visitor: Visitor, check: Check) -> None:
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}; step; until never")
    expect(tab.answers).to_contain_text("So far")
    tab.say("Heard at the next step")
    expect(tab.questions.last).to_contain_text("Will be read at the next step")
    check(tab.page, "a steer waits")
    visitor.open_gate()
    expect(tab.answers.get_by_test_id("steer")).to_be_visible()
    check(tab.page, "steered")
    tab.say("Never read")
    expect(tab.questions.last).to_contain_text("Will be read at the next step")
    tab.page.get_by_test_id("stop").click()
    tab.wait_ended("cancelled")
    check(tab.page, "stopped")


def test_an_approval(visitor: Visitor, check: Check) -> None:
    tab = visitor.open_with("scripted", "ask send_mail editable; fail At the end")
    edit = tab.page.get_by_test_id("edit-arguments")
    expect(edit).to_be_visible()
    check(tab.page, "asked")
    edit.click()
    tab.page.get_by_test_id("arguments").fill("{")
    expect(tab.page.get_by_text("Invalid JSON")).to_be_visible()
    check(tab.page, "edited")
    tab.page.get_by_test_id("deny").click()
    tab.wait_ended("failed")
    expect(tab.page.get_by_role("button", name="Regenerate")).to_be_visible()
    check(tab.page, "denied")
    tab.page.get_by_role("button", name="Regenerate").click()
    tab.wait_ended()
    tab.page.get_by_role("button", name="Earlier answer").click()
    expect(tab.page.get_by_role("group", name="Answer 1 of 2")).to_be_visible()
    check(tab.page, "earlier answer")


def test_a_lost_connection(visitor: Visitor, network: TcpProxy, check: Check) -> None:
    tab = visitor.open_unanswered()
    network.refuse()
    network.cut()
    tab.say("Written while away")
    expect(tab.strip).to_contain_text("Reconnecting…")
    expect(tab.questions).to_contain_text("Waiting")
    check(tab.page, "disconnected")
    expect(tab.strip).to_contain_text("Still offline.")
    check(tab.page, "suspended")


def test_a_connection_that_was_given_up(visitor: Visitor, check: Check) -> None:
    tab = visitor.open()
    visitor.context.clear_cookies()
    visitor.network.cut()
    expect(tab.strip).to_contain_text("You are signed out.")
    check(tab.page, "failed")


def test_the_network_lab(visitor: Visitor, check: Check) -> None:
    tab = visitor.open_unanswered()
    open_lab(tab)
    tab.page.get_by_role("button", name="Drop the connection").click()
    expect(tab.page.get_by_test_id("lab-log")).to_contain_text("Caught up")
    check(tab.page, "lab")


def open_lab(tab: Tab) -> None:
    tab.page.get_by_role("button", name="Network lab").click()
    expect(tab.page.get_by_test_id("lab")).to_be_visible()


def test_the_dialog(visitor: Visitor, check: Check) -> None:
    tab = visitor.open_unanswered()
    tab.page.get_by_role("button", name="Delete").click()
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    check(tab.page, "dialog")


def test_the_drawer(visitor: Visitor, check: Check) -> None:
    tab = visitor.open_unanswered()
    tab.page.set_viewport_size(PHONE)
    tab.page.get_by_role("button", name="Conversations", exact=True).click()
    expect(tab.page.get_by_test_id("sidebar")).to_be_visible()
    check(tab.page, "drawer", [PHONE])


def test_the_surrounding_pages(visitor: Visitor, check: Check) -> None:
    page = visitor.open().page
    page.goto("/login/")
    check(page, "login")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check(page, "login refused")
