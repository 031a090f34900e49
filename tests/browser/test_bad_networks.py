"""Bad networks: connections lost mid-answer in every way; nothing is lost, repeated or reordered."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end
from tests.browser.visitor import Tab, Visitor, text_of
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_HEARTBEAT_MS": "500"}


class StreamedAnswer:
    """An answer that the test has an agent write, word by word, and the tab that shows it."""

    def __init__(self, visitor: Visitor, agent: DictatedAgent) -> None:
        self.agent = agent
        self.tab = visitor.open_unanswered()
        self.words: list[str] = []
        self.agent.say(self.tab.session, START, begin())

    def write(self, words: int = 1) -> None:
        """Write so many more words; return when they are stored."""
        for _ in range(words):
            self.words.append(f"word{len(self.words)}")
            self.agent.say(self.tab.session, delta(f"{self.words[-1]} "))

    def is_shown(self, tab: Tab | None = None) -> None:
        """Wait until all of the answer is on show."""
        expect((tab or self.tab).answers.locator(".message-body")).to_have_text(" ".join(self.words))

    def end(self) -> None:
        """Check that the answer is stored as written, once, and that every page shows it so."""
        self.write()
        self.agent.say(self.tab.session, end(), FINISH)
        self.tab.wait_ended()
        (answer,) = self.tab.visitor.stored(self.tab.session)
        assert text_of(answer).split() == self.words
        self.tab.check_against_store()
        self.tab.check_against_fresh()


@pytest.fixture
def streamed(visitor: Visitor, agent: DictatedAgent) -> StreamedAnswer:
    """An answer in its middle."""
    streamed = StreamedAnswer(visitor, agent)
    streamed.write(3)
    streamed.is_shown()
    return streamed


def losses(tab: Tab) -> int:
    """Return how often the page has lost its connection."""
    states = [said["state"] for said in tab.recorded()]
    return sum(before == "connected" != after for before, after in zip(states, states[1:], strict=False))


def wait_lost(tab: Tab, times: int = 1) -> None:
    tab.wait_until(lambda: losses(tab) >= times, "the loss goes unnoticed")


def test_an_answer_survives_reloads(streamed: StreamedAnswer) -> None:
    for _ in range(3):
        streamed.tab.reload()
        streamed.is_shown()
        streamed.write()
        streamed.is_shown()
    streamed.end()


def test_a_second_tab_joins_mid_answer(streamed: StreamedAnswer) -> None:
    second = streamed.tab.second()
    streamed.is_shown(second)
    streamed.write()
    streamed.is_shown(second)
    streamed.end()
    streamed.tab.check_against(second)


def test_another_device_of_the_same_user_joins_mid_answer(streamed: StreamedAnswer, visit: Visit) -> None:
    phone = visit(storage_state=streamed.tab.visitor.context.storage_state()).open(streamed.tab.path)
    streamed.is_shown(phone)
    streamed.end()
    streamed.tab.check_against(phone)


def test_an_answer_survives_reset_connections(streamed: StreamedAnswer, network: TcpProxy) -> None:
    for times in range(1, 5):
        network.cut()
        streamed.write()
        wait_lost(streamed.tab, times)
        streamed.tab.try_now()
        streamed.tab.wait_connected()
        streamed.is_shown()
    streamed.end()


def test_an_answer_survives_cuts_at_any_moment(streamed: StreamedAnswer, network: TcpProxy) -> None:
    for _ in range(10):
        streamed.write(5)
        network.cut()
    streamed.tab.try_now()
    streamed.end()


def test_text_written_during_an_absence_is_there_on_return(streamed: StreamedAnswer, network: TcpProxy) -> None:
    network.refuse()
    network.cut()
    wait_lost(streamed.tab)
    before = streamed.tab.shown()
    streamed.write(20)
    assert streamed.tab.shown() == before
    network.refuse(False)
    streamed.tab.try_now()
    streamed.is_shown()
    streamed.end()


def test_a_silent_connection_is_noticed_and_replaced(streamed: StreamedAnswer, network: TcpProxy) -> None:
    network.freeze()
    streamed.write()
    wait_lost(streamed.tab)  # by the heartbeats that it misses: no event of the browser's tells it
    network.thaw()  # the replaced socket, too, gets what was held back
    streamed.is_shown()
    streamed.end()


def test_a_connection_that_drops_one_direction_is_replaced(streamed: StreamedAnswer, network: TcpProxy) -> None:
    network.drop("down")
    streamed.write()
    wait_lost(streamed.tab)
    network.cut()
    streamed.is_shown()
    streamed.end()


def test_a_slow_link_delivers_everything(streamed: StreamedAnswer, network: TcpProxy) -> None:
    network.delay(0.2)
    streamed.write(5)
    network.cut()
    streamed.write(5)
    streamed.tab.reload()
    streamed.end()
