"""A browser that closes, clears, blocks or never opens its storage: nothing typed is lost in silence, nothing waits."""

import time

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.test_outbox import FORBID, wait_texts
from tests.browser.visitor import Tab, Visitor
from tests.support.harness import Server

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "1000"}
KEEPS_NOTHING = "This browser keeps nothing: a message that isn't sent yet is lost when you leave or reload."
BLOCKED = "This browser blocks cookies"
CLOCK = "const wall = Date.now.bind(Date); window.ahead = 0; Date.now = () => wall() + window.ahead;"
PATIENCE_S = 0.3  # of the page with its database
BUSY_S = 2.5  # for all else, on a busy machine; the faults took 3.9 s and more


def clear_database(tab: Tab, server: Server) -> None:
    """Remove the page's databases while it is open, as a browser does that needs space."""
    origin = tab.page.evaluate(
        """() => new Promise((resolve) => {
          indexedDB.open("holdfast").onsuccess = ({ target }) => {
            window.cleared = new Promise((closed) => { target.result.onclose = closed; });
            resolve(location.origin);
          };
        })"""
    )
    browser = tab.page.context.new_cdp_session(tab.page)
    browser.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "indexeddb"})
    tab.page.evaluate("window.cleared.then(() => null)")


def test_text_typed_offline_outlives_a_reload_after_the_database_was_cleared(visitor: Visitor, server: Server) -> None:
    tab = visitor.open_unanswered()
    path = tab.path
    visitor.go_offline()
    tab.say("Before")
    wait_texts(tab, ["Before"], "waiting")
    clear_database(tab, server)
    tab.say("After")
    wait_texts(tab, ["Before", "After"], "waiting")
    tab.page.goto("about:blank")
    visitor.come_back()
    tab.page.goto(path)
    wait_texts(tab, ["Before", "After"])
    tab.check_against_store()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("IDBFactory.prototype.open = () => ({})", id="silent"),
        pytest.param(f"IDBFactory.prototype.open = {FORBID}", id="private", marks=pytest.mark.long),
    ],
)
def test_a_browser_that_keeps_nothing_says_so_before_anything_is_typed(visitor: Visitor, fault: str) -> None:
    visitor.context.add_init_script(fault)
    tab = visitor.open()
    expect(tab.page.locator("#composer-hint")).to_have_text(KEEPS_NOTHING)


def test_a_browser_that_keeps_messages_says_nothing(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    expect(tab.page.locator("#composer-hint")).to_contain_text("Enter to send")


def test_a_database_that_never_answers_delays_no_message(visitor: Visitor) -> None:
    hang = "IDBFactory.prototype.open = () => ({}); "
    visitor.context.add_init_script(hang)
    tab = visitor.open_unanswered()
    said = ["One", "Two", "Three"]
    for count, text in enumerate(said, 1):
        began = time.monotonic()
        tab.say(text)
        wait_texts(tab, said[:count])
        assert time.monotonic() - began < PATIENCE_S + BUSY_S


def test_a_transaction_that_never_ends_delays_no_message(visitor: Visitor) -> None:
    visitor.context.add_init_script(
        "const transaction = IDBDatabase.prototype.transaction;"
        "IDBDatabase.prototype.transaction = function (...how) {"
        "  const real = transaction.apply(this, how);"
        "  if (window.hung) Object.defineProperty(real, 'oncomplete', { set() {} });"
        "  return real;"
        "};"
    )
    tab = visitor.open_unanswered()
    tab.page.evaluate("window.hung = true")
    began = time.monotonic()
    tab.say("One")
    wait_texts(tab, ["One"])
    assert time.monotonic() - began < 2 * PATIENCE_S + BUSY_S


def test_a_clock_that_is_set_back_delays_no_message(visitor: Visitor) -> None:
    visitor.context.add_init_script(CLOCK)
    tab = visitor.open_unanswered()
    for hours in (1, 2):
        tab.page.evaluate(f"window.ahead = -3600e3 * {hours}")
        began = time.monotonic()
        tab.say(f"{hours} hours")
        wait_texts(tab, [f"{hour} hours" for hour in range(1, hours + 1)])
        assert time.monotonic() - began < BUSY_S


def test_a_network_that_asks_for_a_sign_in_is_named_and_nothing_typed_is_lost(visitor: Visitor) -> None:
    tab = visitor.open()

    def portal(route: Route) -> None:
        route.fulfill(status=200, content_type="text/html", body="<html><h1>Welcome to the hotel</h1></html>")

    visitor.context.route("**/api/**", portal)
    tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(tab.page.locator("#conversation-note")).to_have_text(
        "Conversations can't be loaded: another server answered: this network may ask you to sign in to it."
    )
    tab.say("Typed in the lobby")
    expect(tab.page.locator("#messages")).to_contain_text("Typed in the lobby")
    visitor.context.unroute("**/api/**")
    tab.wait_ended()
    assert tab.shown()[0]["text"] == "Typed in the lobby"


def test_blocked_cookies_are_named_instead_of_a_sign_in(chromium: Browser, server: Server) -> None:
    # A headless shell has no preferences: scripts neither read nor set cookies here, and the site's are dropped.
    context = chromium.new_context()

    def drop_cookies(route: Route) -> None:
        response = route.fetch()
        context.clear_cookies()
        route.fulfill(response=response, headers=response.headers | {"set-cookie": ""})

    try:
        page = context.new_page()
        context.new_cdp_session(page).send("Emulation.setDocumentCookieDisabled", {"disabled": True})
        page.route("**/*", drop_cookies)
        page.goto(server.url)
        expect(page.locator("holdfast-status")).to_contain_text(BLOCKED)
        expect(page.locator("#conversation-note")).to_contain_text(BLOCKED)
        expect(page.get_by_text("You are signed out")).to_have_count(0)
        assert context.cookies() == []
    finally:
        page.unroute_all(behavior="wait")
        context.close()
