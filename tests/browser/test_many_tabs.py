"""Many tabs without WebSockets: they share one stream, since HTTP/1.1 has six connections to a server."""

import time

import pytest
from playwright.sync_api import Request, expect

from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end
from tests.browser.visitor import Tab, Visitor

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_CONNECTIONS_PER_OWNER": "1000"}
HTTP_ONLY = "delete window.WebSocket;"
TABS = 7  # more than a browser's six connections
OPENED_S = 25  # on a busy machine, and before a blocked tab gets through (30 to 222 s)
LIVE_S = 13  # likewise, and before a tab that waits for frames asks by itself (15 s)


class Streams:
    """Open streams, by page."""

    def __init__(self, visitor: Visitor) -> None:
        self.open: list[Request] = []
        visitor.context.on("request", lambda request: "/api/stream/" in request.url and self.open.append(request))
        for event in ("requestfailed", "requestfinished"):
            visitor.context.on(event, self._closed)

    def _closed(self, request: Request) -> None:
        if request in self.open:
            self.open.remove(request)

    def leader(self, tabs: list[Tab]) -> Tab:
        (stream,) = self.open
        return next(tab for tab in tabs if tab.page == stream.frame.page)


@pytest.fixture
def streams(visitor: Visitor) -> Streams:
    visitor.context.add_init_script(HTTP_ONLY)
    return Streams(visitor)


def expect_live(tab: Tab, agent: DictatedAgent, *words: str) -> None:
    """The agent's next words are shown soon in a tab that may be behind others."""
    began = time.monotonic()
    agent.say(tab.session, *(delta(word) for word in words))
    expect(tab.answers.last).to_contain_text("".join(words))
    assert time.monotonic() - began < LIVE_S


def test_seven_tabs_follow_their_own_sessions_by_one_stream(
    visitor: Visitor, streams: Streams, agent: DictatedAgent
) -> None:
    tabs: list[Tab] = []
    for _ in range(TABS):
        began = time.monotonic()
        tabs.append(visitor.open_unanswered())
        assert time.monotonic() - began < OPENED_S
    for tab in tabs:
        agent.say(tab.session, START, begin())
        expect_live(tab, agent, "Hello", " you")
    streams.leader(tabs)  # there is one
    tabs[-1].say("Sent from the last tab")
    tabs[-1].wait_until(lambda: tabs[-1].shown()[-1]["status"] == "complete", "it isn't sent")


def test_another_tab_takes_over_when_the_leader_is_closed(
    visitor: Visitor, streams: Streams, agent: DictatedAgent
) -> None:
    tabs = [visitor.open_unanswered() for _ in range(3)]
    for tab in tabs:
        agent.say(tab.session, START, begin())
        expect_live(tab, agent, "First")
    leader = streams.leader(tabs)
    leader.page.close()
    for tab in tabs:
        if tab is not leader:
            expect_live(tab, agent, ", second")
            agent.say(tab.session, end(), FINISH)
            tab.wait_ended()
            tab.check_against_store()


@pytest.mark.long
def test_two_tabs_of_one_session_show_the_same(visitor: Visitor, streams: Streams, agent: DictatedAgent) -> None:
    first = visitor.open_unanswered()
    second = first.second()
    agent.say(first.session, START, begin())
    for word in ("One", ", two", ", three"):
        agent.say(first.session, delta(word))
    agent.say(first.session, end(), FINISH)
    for tab in (first, second):
        expect(tab.answers.last).to_contain_text("One, two, three")
        tab.wait_ended()
    first.check_against(second)
    second.check_against_store()
