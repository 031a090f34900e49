"""The outbox: kept over reloads, shared by a browser's tabs, sent by one of them, in the order of typing."""

import json
import time
from random import Random
from typing import Any

import pytest
from playwright.sync_api import WebSocket, expect

from tests.browser.visitor import Tab, Visitor

pytestmark = pytest.mark.browser

WAITING = "Waiting. Will be sent when you are back online."
DAY_MS = 86_400_000
TOO_LONG = "x" * 40_000
LONG = "word" + " word" * 120_000
TOO_LARGE = "Not sent: The message is too large: a person's message has at most 32768 bytes."

# What a browser may lack or forbid.
NO_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });"
NO_CHANNEL = "BroadcastChannel = class { constructor() { throw new DOMException('no', 'SecurityError'); } };"
NO_TABS = [
    pytest.param(NO_LOCKS + NO_CHANNEL, id="neither"),
    pytest.param(NO_LOCKS, id="no-locks", marks=pytest.mark.long),
    pytest.param(NO_CHANNEL, id="no-channel", marks=pytest.mark.long),
]
FORBID = "() => { throw new DOMException('no', 'InvalidStateError'); }"
NO_DATABASE = [
    pytest.param(f"IDBFactory.prototype.open = {FORBID}", id="private"),
    pytest.param(f"Object.defineProperty(window, 'indexedDB', {{ get: {FORBID} }})", id="none", marks=pytest.mark.long),
    pytest.param(f"IDBObjectStore.prototype.put = {FORBID}", id="full", marks=pytest.mark.long),
    pytest.param("IDBFactory.prototype.open = () => ({})", id="silent", marks=pytest.mark.long),
]


def texts(tab: Tab) -> list[str]:
    return [message["text"] for message in tab.shown()]


def stored(visitor: Visitor, session: str) -> list[str]:
    return [message["parts"][0]["text"] for message in visitor.stored(session)]


def wait_texts(tab: Tab, expected: list[str], status: str = "complete") -> None:
    """Wait until the tab shows these messages, all with this status."""
    tab.page.bring_to_front()  # behind another tab it is drawn once a second
    wanted = [(text, status) for text in expected]
    tab.wait_until(lambda: [(m["text"], m["status"]) for m in tab.shown()] == wanted, f"it doesn't show {wanted}")


class Sent(list[str]):
    """The text of each signal that any tab has sent, in order.

    What is sent twice is there twice, unless the second time was over a connection opened after the first: on a busy
    machine a page may doubt and replace its connection, and then it has to send again what it has no receipt of.
    """

    def __init__(self, visitor: Visitor) -> None:
        self._opened = 0  # connections so far
        self._opened_before: dict[str, int] = {}  # the latest sending of a signal, by its id
        visitor.context.on("page", lambda page: page.on("websocket", self._watch))

    def clear(self) -> None:
        super().clear()
        self._opened_before.clear()

    def _watch(self, socket: WebSocket) -> None:
        self._opened += 1
        number = self._opened
        socket.on("framesent", lambda frame: self._note(json.loads(frame), number))

    def _note(self, frame: dict[str, Any], number: int) -> None:
        if frame["type"] != "signal":
            return
        if number <= self._opened_before.get(frame["id"], self._opened):
            self.append(frame["payload"]["parts"][0]["text"])
        self._opened_before[frame["id"]] = self._opened


def come_back(visitor: Visitor, sent: Sent) -> None:
    """Reconnect; signals sent before the connection was known to be lost do not count."""
    sent.clear()
    visitor.come_back()


@pytest.fixture
def sent(visitor: Visitor) -> Sent:
    return Sent(visitor)


def test_messages_typed_offline_are_sent_once_in_order_after_a_reload(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    path = tab.path
    visitor.go_offline()
    for text in ("One", "Two", "Three"):
        tab.say(text)
    wait_texts(tab, ["One", "Two", "Three"], "waiting")
    tab.page.goto("about:blank")
    come_back(visitor, sent)
    tab.page.goto(path)
    wait_texts(tab, ["One", "Two", "Three"])
    assert sent == ["One", "Two", "Three"]
    tab.check_against_store()


def test_messages_typed_before_the_outbox_loads_are_sent_after_its_contents(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    session, path = tab.session, tab.path
    visitor.go_offline()
    tab.say("Before the reload")
    wait_texts(tab, ["Before the reload"], "waiting")
    tab.page.goto("about:blank")
    come_back(visitor, sent)
    tab.page.goto("/")
    script = """async (session) => {
      const { Holdfast } = await import("/static/holdfast/index.js");
      const holdfast = new Holdfast();
      holdfast.connect();
      await holdfast.session(session).send("Typed at once");
    }"""
    tab.page.evaluate(script, session)
    assert sent == ["Before the reload", "Typed at once"]
    tab.page.goto(path)
    tab.check_against_store()


def test_two_tabs_show_their_shared_outbox_and_one_sends_it(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    second = tab.second()
    visitor.go_offline()
    typed = [f"{name} {number}" for number in range(3) for name in ("First", "Second")]
    for text in typed:
        (tab if text.startswith("First") else second).say(text)
    for each in (tab, second):
        wait_texts(each, typed, "waiting")
        expect(each.questions.first).to_contain_text(WAITING)
    come_back(visitor, sent)
    for each in (tab, second):
        wait_texts(each, typed)
    assert sent == typed
    tab.check_against_store()


def test_an_open_tab_sends_the_outbox_of_a_closed_one(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    second = tab.second()
    visitor.go_offline()
    tab.say("Left behind")
    tab.page.close()
    wait_texts(second, ["Left behind"], "waiting")
    second.say("And mine")
    come_back(visitor, sent)
    wait_texts(second, ["Left behind", "And mine"])
    assert sent == ["Left behind", "And mine"]
    second.check_against_store()


def test_the_next_tab_sends_the_outbox_of_a_closed_one(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    path = tab.path
    visitor.go_offline()
    tab.say("Left behind")
    wait_texts(tab, ["Left behind"], "waiting")
    tab.page.close()
    come_back(visitor, sent)
    after = visitor.open(path)
    wait_texts(after, ["Left behind"])
    assert sent == ["Left behind"]


def test_a_tab_that_dies_while_sending_releases_its_lock(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    second = tab.second()
    visitor.network.drop("up")  # what is sent doesn't arrive, so its tab keeps its turn
    tab.say("Only once")
    wait_texts(second, ["Only once"], "waiting")
    tab.page.close()
    visitor.come_back()
    wait_texts(second, ["Only once"])
    assert stored(visitor, second.session) == ["Only once"]


def test_a_refused_message_stays_with_its_reason_until_removed(visitor: Visitor, sent: Sent) -> None:
    tab = visitor.open_unanswered()
    second = tab.second()
    tab.say(TOO_LONG)
    for each in (tab, second):
        wait_texts(each, [TOO_LONG], "failed")
        expect(each.questions.get_by_test_id("delivery")).to_have_text(TOO_LARGE)
    tab.reload()
    wait_texts(tab, [TOO_LONG], "failed")
    tab.say("After")
    tab.wait_until(lambda: texts(tab) == ["After", TOO_LONG], "the next one isn't sent")
    tab.questions.last.get_by_role("button", name="Remove").click()
    for each in (tab, second):
        wait_texts(each, ["After"])
    tab.reload()
    wait_texts(tab, ["After"])
    assert sent == [TOO_LONG, "After"]


@pytest.mark.long
def test_a_message_beyond_the_outbox_limit_is_refused_and_stays_in_the_composer(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    visitor.go_offline()
    tab.say(LONG)
    expect(tab.questions).to_have_count(1)
    tab.say(LONG)
    expect(tab.page.locator("#composer-hint")).to_contain_text(
        "Not sent: Too many unsent messages (limit: 100 or 1 MB)"
    )
    expect(tab.composer).to_have_value(LONG)
    expect(tab.questions).to_have_count(1)


@pytest.mark.parametrize("lack", NO_TABS)
def test_without_locks_or_channels_messages_are_stored_once_in_each_tabs_order(visitor: Visitor, lack: str) -> None:
    visitor.context.add_init_script(lack)
    tab = visitor.open_unanswered()
    second = tab.second()
    visitor.go_offline()
    for number in range(3):
        tab.say(f"First {number}")
        second.say(f"Second {number}")
    visitor.come_back()
    for each in (tab, second):
        expect(each.questions).to_have_count(6)
        expect(each.page.locator("[data-testid=message][data-status=complete]")).to_have_count(6)
    for name in ("First", "Second"):
        assert [text for text in texts(tab) if name in text] == [f"{name} {number}" for number in range(3)]
    tab.check_against_store()
    tab.check_against(second)


@pytest.mark.parametrize("lack", NO_DATABASE)
def test_without_indexeddb_the_outbox_lasts_as_long_as_the_page(visitor: Visitor, lack: str) -> None:
    visitor.context.add_init_script(lack)
    tab = visitor.open_unanswered()
    visitor.go_offline()
    for text in ("One", "Two"):
        tab.say(text)
    wait_texts(tab, ["One", "Two"], "waiting")
    visitor.come_back()
    wait_texts(tab, ["One", "Two"])
    tab.check_against_store()


def keep(tab: Tab, session: str, at: int) -> list[Any]:
    """Put a signal of that time into the database of the tab's browser; return what the next page finds."""
    script = """async ([session, at]) => {
      const { SignalDatabase } = await import("/static/holdfast/signal-database.js");
      const { systemClock } = await import("/static/holdfast/timers.js");
      const signal = { id: `at-${at}`, kind: "message", payload: {}, at, error: null };
      await new SignalDatabase(indexedDB, systemClock).save(session, signal);
      return (await new SignalDatabase(indexedDB, systemClock).load(session)).map(({ at }) => at);
    }"""
    found: list[Any] = tab.page.evaluate(script, [session, at])
    return found


def test_messages_unsent_for_a_month_are_removed(visitor: Visitor) -> None:
    tab = visitor.open()
    now = int(time.time() * 1000)
    assert keep(tab, "some-session", now - 29 * DAY_MS) == [now - 29 * DAY_MS]
    assert keep(tab, "some-session", now - 31 * DAY_MS) == [now - 29 * DAY_MS]


def test_the_page_continues_after_its_site_data_is_cleared(visitor: Visitor) -> None:
    tab = visitor.open_unanswered()
    visitor.go_offline()
    tab.say("One")
    devtools = visitor.context.new_cdp_session(tab.page)
    origin = tab.page.evaluate("origin")
    devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "indexeddb"})
    tab.say("Two")
    visitor.come_back()
    wait_texts(tab, ["One", "Two"])
    tab.check_against_store()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_messages_are_stored_once_in_order_despite_tab_and_network_faults(visitor: Visitor, seed: int) -> None:
    chance = Random(seed)
    tabs = [visitor.open_unanswered()]
    path, session = tabs[0].path, tabs[0].session
    said: list[str] = []
    online = True
    for step in range(40):
        tab = chance.choice(tabs)
        action = chance.choice(["say", "say", "say", "say", "network", "open", "close", "reload"])
        if action == "say":
            said.append(f"Step {step}")
            tab.say(said[-1])
        elif action == "network":
            visitor.go_offline() if online else visitor.come_back()
            online = not online
        elif action == "open" and online and len(tabs) < 4:
            tabs.append(visitor.open(path, connected=False))
        elif action == "close" and len(tabs) > 1:
            tabs.remove(tab)
            tab.page.close()
        elif action == "reload" and online:
            tab.page.reload()
    if not online:
        visitor.come_back()
    for tab in tabs:
        tab.page.bring_to_front()
        expect(tab.page.locator("[data-testid=message][data-status=complete]")).to_have_count(len(said))
        assert texts(tab) == said
    assert stored(visitor, session) == said
    tabs[0].check_against_store()
