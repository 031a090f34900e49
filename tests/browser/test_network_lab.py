"""The network lab: it breaks the network of one tab and logs how the connection recovers; nothing is lost."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import QUICK
from tests.browser.visitor import Tab, Visitor, demo_answer, text_of
from tests.support.harness import StartServer

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "200", "HOLDFAST_HEARTBEAT_MS": "1000"}
QUESTION = "What is a durable session?"


class Lab:
    """The drawer of a tab."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.drawer = tab.page.get_by_test_id("lab")
        self.now = tab.page.get_by_test_id("lab-now")
        self.log = tab.page.get_by_test_id("lab-log").get_by_role("listitem")
        tab.page.get_by_role("button", name="Network lab").click()

    def press(self, name: str) -> None:
        self.drawer.get_by_role("button", name=name).click()

    def switch(self, name: str, on: bool = True) -> None:
        self.drawer.get_by_role("switch", name=name).set_checked(on)

    def titles(self) -> list[str]:
        """Return the events, the oldest first, without their numbers."""
        titles = self.log.locator(".lab-title").all_inner_texts()
        return [re.sub(r"\d.*", "…", title) for title in reversed(titles)]

    def wait_over(self, transport: str) -> None:
        expect(self.now).to_have_text(f"Connected over {transport}")

    def entry(self, text: str | re.Pattern[str]) -> Locator:
        return self.log.filter(has_text=text).first


@pytest.fixture
def lab(visitor: Visitor) -> Iterator[Lab]:
    """In the middle of an answer, which in the end must be exact."""
    tab = visitor.ask(QUESTION)
    yield Lab(tab)
    tab.wait_ended()
    assert text_of(visitor.stored(tab.session)[-1]) == demo_answer(QUESTION)
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_dropped_connection_is_replaced_at_once(lab: Lab) -> None:
    lab.press("Drop the connection")
    expect(lab.entry("Caught up in")).to_be_visible()
    assert lab.titles()[:6] == [
        "Connecting", "Connected over WebSocket",
        "Connection dropped", "Connecting", "Connected over WebSocket", "Caught up in …",
    ]  # fmt: skip


@pytest.mark.long
def test_a_frozen_connection_is_detected(lab: Lab) -> None:
    lab.press("Freeze the connection")
    expect(lab.entry("Connecting")).to_contain_text("has not been heard from")
    expect(lab.entry("Caught up in")).to_be_visible()


def test_without_a_websocket_the_page_falls_back_to_streaming_and_says_why(lab: Lab) -> None:
    lab.switch("Block WebSocket")
    lab.wait_over("HTTP streaming")
    expect(lab.entry("Connected over HTTP streaming")).to_contain_text("blocks WebSockets")
    lab.tab.indicator.click()
    details = lab.tab.page.get_by_role("group", name="Connection details")
    expect(details).to_contain_text("HTTP streaming since")
    expect(details).to_contain_text("A proxy or firewall blocks WebSockets.")
    lab.tab.page.keyboard.press("Escape")


def test_with_buffered_streams_the_page_falls_back_to_polling(lab: Lab) -> None:
    lab.switch("Buffer streaming")
    lab.switch("Block WebSocket")
    lab.wait_over("long polling")
    expect(lab.entry("Connected over long polling")).to_contain_text("buffers streams")


@pytest.mark.long
def test_the_page_returns_to_a_better_transport_once_available(lab: Lab) -> None:
    lab.switch("Buffer streaming")
    lab.switch("Block WebSocket")
    lab.wait_over("long polling")
    lab.switch("Buffer streaming", False)
    lab.wait_over("HTTP streaming")
    lab.switch("Block WebSocket", False)
    lab.wait_over("WebSocket")
    assert "Disconnected" not in lab.titles()


def test_an_answer_survives_offline_and_the_page_says_so(lab: Lab) -> None:
    lab.switch("Go offline")
    expect(lab.tab.strip).to_contain_text("Reconnecting… Your conversation is safe.")
    lab.switch("Go offline", False)
    lab.wait_over("WebSocket")
    expect(lab.tab.strip).to_contain_text(re.compile(r"Caught up: \d+ events in \d+ ms"))
    expect(lab.entry("Back online")).to_be_visible()


@pytest.mark.long
def test_a_slow_network_only_delays_an_answer(lab: Lab) -> None:
    lab.switch("Slow 3G")
    lab.press("Drop the connection")
    expect(lab.entry("Caught up in")).to_contain_text(re.compile(r"Caught up in \d{3,} ms"))
    lab.switch("Slow 3G", False)


def test_the_lab_works_by_keyboard_and_affects_one_tab_only(visitor: Visitor) -> None:
    tab, other = visitor.open(), visitor.open()
    tab.page.bring_to_front()
    opener = tab.page.get_by_role("button", name="Network lab")
    opener.press("Enter")
    expect(tab.page.get_by_role("heading", name="Network lab")).to_be_focused()
    for _ in range(5):
        tab.page.keyboard.press("Tab")
    expect(tab.page.get_by_role("switch", name="Go offline")).to_be_focused()
    tab.page.keyboard.press("Space")
    expect(tab.indicator).to_have_text("Connection: Reconnecting…")
    expect(other.indicator).to_have_text("Connection: Connected")
    assert {said["state"] for said in other.recorded()[1:]} == {"connected"}
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_test_id("lab")).to_be_hidden()
    expect(opener).to_be_focused()


@pytest.mark.long
def test_every_client_reconnects_after_a_server_restart(visitor: Visitor) -> None:
    tab = visitor.ask(QUESTION)
    lab = Lab(tab)
    lab.press("Restart the server")
    expect(lab.entry("Server restart requested")).to_be_visible()
    expect(lab.entry("Connecting")).to_be_visible()
    tab.wait_ended("interrupted")
    lab.wait_over("WebSocket")
    tab.check_against_store()


def test_a_site_without_the_lab_serves_none_of_its_files(visitor: Visitor, start_server: StartServer) -> None:
    server = start_server(**QUICK, HOLDFAST_LAB="false")
    page = visitor.context.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(server.url)
    expect(page.locator("body[data-connection=connected]")).to_be_attached()
    expect(page.get_by_role("button", name="Network lab")).to_have_count(0)
    assert not [url for url in requested if "network-lab" in url]
