"""The connection goes in the middle of an answer, in every way: nothing is lost, repeated or out of order."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end
from tests.browser.visitor import Tab, Visitor, text_of
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_HEARTBEAT_MS": "500"}


class Telling:
    """An answer that the test has an agent write, word by word, and the tab that shows it."""

    def __init__(self, visitor: Visitor, agent: DictatedAgent) -> None:
        self.agent = agent
        self.tab = visitor.open_unanswered()
        self.words: list[str] = []
        self.agent.say(self.tab.session, START, begin())

    def tell(self, words: int = 1) -> None:
        """Writes so many more words; returns when they are stored."""
        for _ in range(words):
            self.words.append(f"word{len(self.words)}")
            self.agent.say(self.tab.session, delta(f"{self.words[-1]} "))

    def is_shown(self, tab: Tab | None = None) -> None:
        """Waits until all of it is on show."""
        expect((tab or self.tab).answers.locator(".message-body")).to_have_text(" ".join(self.words))

    def end(self) -> None:
        """It is stored as it was told, once, and every page shows it so."""
        self.tell()
        self.agent.say(self.tab.session, end(), FINISH)
        self.tab.wait_ended()
        (answer,) = self.tab.visitor.stored(self.tab.session)
        assert text_of(answer).split() == self.words
        self.tab.check_against_store()
        self.tab.check_against_fresh()


@pytest.fixture
def telling(visitor: Visitor, agent: DictatedAgent) -> Telling:
    """An answer in its middle."""
    telling = Telling(visitor, agent)
    telling.tell(3)
    telling.is_shown()
    return telling


def losses(tab: Tab) -> int:
    """How often the page has lost its connection."""
    states = [said["state"] for said in tab.recorded()]
    return sum(before == "connected" != after for before, after in zip(states, states[1:], strict=False))


def wait_lost(tab: Tab, times: int = 1) -> None:
    tab.wait_until(lambda: losses(tab) >= times, "the loss goes unnoticed")


def test_an_answer_survives_reloads(telling: Telling) -> None:
    for _ in range(3):
        telling.tab.reload()
        telling.is_shown()
        telling.tell()
        telling.is_shown()
    telling.end()


def test_a_second_tab_joins_mid_answer(telling: Telling) -> None:
    second = telling.tab.second()
    telling.is_shown(second)
    telling.tell()
    telling.is_shown(second)
    telling.end()
    telling.tab.check_against(second)


def test_another_device_of_the_same_user_joins_mid_answer(telling: Telling, visit: Visit) -> None:
    phone = visit(storage_state=telling.tab.visitor.context.storage_state()).open(telling.tab.path)
    telling.is_shown(phone)
    telling.end()
    telling.tab.check_against(phone)


def test_an_answer_survives_reset_connections(telling: Telling, network: TcpProxy) -> None:
    for times in range(1, 5):
        network.cut()
        telling.tell()
        wait_lost(telling.tab, times)
        telling.tab.try_now()
        telling.tab.wait_connected()
        telling.is_shown()
    telling.end()


def test_an_answer_survives_cuts_at_any_moment(telling: Telling, network: TcpProxy) -> None:
    for _ in range(10):
        telling.tell(5)
        network.cut()
    telling.tab.try_now()
    telling.end()


def test_text_written_during_an_absence_is_there_on_return(telling: Telling, network: TcpProxy) -> None:
    network.refuse()
    network.cut()
    wait_lost(telling.tab)
    before = telling.tab.shown()
    telling.tell(20)
    assert telling.tab.shown() == before
    network.refuse(False)
    telling.tab.try_now()
    telling.is_shown()
    telling.end()


def test_a_silent_connection_is_noticed_and_replaced(telling: Telling, network: TcpProxy) -> None:
    network.freeze()
    telling.tell()
    wait_lost(telling.tab)  # by the heartbeats that it misses: no event of the browser's tells it
    network.thaw()  # the replaced socket, too, gets what was held back
    telling.is_shown()
    telling.end()


def test_a_connection_that_drops_one_direction_is_replaced(telling: Telling, network: TcpProxy) -> None:
    network.drop("down")
    telling.tell()
    wait_lost(telling.tab)
    network.cut()
    telling.is_shown()
    telling.end()


def test_a_slow_link_delivers_everything(telling: Telling, network: TcpProxy) -> None:
    network.delay(0.2)
    telling.tell(5)
    network.cut()
    telling.tell(5)
    telling.tab.reload()
    telling.end()
