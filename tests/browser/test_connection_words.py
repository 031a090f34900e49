"""The page's words for short absences: nothing at a blip, words when a person waits, never an error box."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.dictated_agent import FINISH, START, DictatedAgent, text
from tests.browser.visitor import Visitor
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

GRACE_MS = 1000
CLOCKS_MS = 20  # by how much the page's clock of whole milliseconds and the recorder's may differ over that time


def away(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the states recorded since the last good connection was lost."""
    good = max(index for index, said in enumerate(recorded) if said["state"] == "connected")
    return recorded[good + 1 :]


def test_the_indicator_says_connected(visitor: Visitor) -> None:
    tab = visitor.open()
    expect(tab.indicator).to_have_text("Connection: Connected")
    expect(tab.strip).to_have_text("")


def test_the_indicator_shows_details_on_request(visitor: Visitor) -> None:
    tab = visitor.open()
    details = tab.page.get_by_role("group", name="Connection details")
    expect(details).to_be_hidden()
    tab.indicator.click()
    expect(details).to_contain_text(re.compile(r"StateConnected since .*TransportWebSocket.*Last heard\d+ s ago"))
    expect(tab.indicator).to_have_attribute("aria-expanded", "true")
    tab.page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(tab.indicator).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(details).to_be_visible()
    tab.page.get_by_test_id("welcome").click()
    expect(details).to_be_hidden()


def test_any_page_can_embed_the_indicator(visitor: Visitor, network: TcpProxy) -> None:
    tab = visitor.open()
    tab.page.evaluate("""async () => {
      const { Holdfast } = await import("/static/holdfast/index.js");
      const element = document.createElement("holdfast-status");
      const holdfast = new Holdfast({ url: "/ws/" });
      holdfast.connect();
      document.querySelector("main").append(element);
      element.holdfast = holdfast;
    }""")
    added = tab.page.locator("holdfast-status").last
    expect(added).to_contain_text("Connected")
    network.refuse()
    network.cut()
    expect(added.get_by_role("status")).to_have_text("Reconnecting… Your conversation is safe.")
    network.refuse(False)
    expect(added.get_by_role("status")).to_have_text("Reconnected.")


def test_a_blip_shows_nothing(visitor: Visitor, network: TcpProxy) -> None:
    blips: list[dict[str, Any]] = []
    while not blips:  # a busy machine may need longer than a blip is
        tab = visitor.open()  # a new one: one that has been lost before waits a little before it tries
        before = len(tab.recorded())
        network.cut()
        tab.wait_until(lambda: len(tab.recorded()) > before, "the cut goes unnoticed")  # noqa: B023
        tab.try_now()
        tab.wait_connected()
        lost, *_, back = tab.recorded()[before:]
        blips = tab.recorded()[before:] if back["at"] - lost["at"] < GRACE_MS else []
    assert blips[0]["state"] == "connecting"
    assert {(said["word"], said["strip"]) for said in blips} == {("Connected", "")}


def test_after_a_grace_period_the_page_says_reconnecting(visitor: Visitor, network: TcpProxy) -> None:
    tab = visitor.open()
    network.refuse()
    network.cut()
    expect(tab.strip.get_by_role("status")).to_have_text("Reconnecting… Your conversation is safe.")
    expect(tab.indicator).to_have_text("Connection: Reconnecting…")
    expect(tab.strip.get_by_role("button")).to_have_count(0)
    expect(tab.page.get_by_role("alert")).to_have_count(0)
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    expect(tab.composer).to_be_enabled()
    said = away(tab.recorded())
    spoken = next(said["at"] for said in said if said["strip"])
    assert spoken - said[0]["at"] > GRACE_MS - CLOCKS_MS
    network.refuse(False)
    tab.try_now()
    tab.wait_connected()
    expect(tab.strip.get_by_role("status")).to_have_text("Reconnected.")
    expect(tab.strip).to_have_text("")


def test_a_return_reports_the_content_that_arrived(visitor: Visitor, network: TcpProxy, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    network.refuse()
    network.cut()
    agent.say(tab.session, START, *text("Meanwhile"), FINISH)
    expect(tab.strip).to_contain_text("Reconnecting…")
    network.refuse(False)
    tab.try_now()
    caught_up = re.compile(r"Caught up: 5 events in \d+ ms")
    # It is on show for some seconds only, which a busy machine may miss.
    tab.wait_until(lambda: any(caught_up.match(said["strip"]) for said in tab.recorded()), "it says nothing of it")
