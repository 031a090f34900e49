"""The React examples over a real answer of more than a minute: each fault for both, the offline minute whole."""

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.example_site import ExampleSite, Reader, example_site
from tests.support.harness import StartServer

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.compat]

SPEED = "6"  # tokens a second: the demo agent's answer then takes some 90 s
ANSWER_S = 240
MINUTE_S = 60
PAGES = ["usechat", "react"]
LAST_WORDS = "Ask me anything else and I will give it again."


@pytest.fixture(scope="module")
def site(start_shared_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    place = tmp_path_factory.mktemp("examples")
    with example_site(start_shared_server, place, HOLDFAST_DEMO_TOKENS_PER_S=SPEED) as site:
        yield site


@pytest.fixture
def reader(request: pytest.FixtureRequest, chromium: Browser, site: ExampleSite) -> Iterator[Reader]:
    reader = Reader(chromium, site, request.param)
    yield reader
    reader.context.close()
    site.network.refuse(False)
    site.network.thaw()


def reload_often(reader: Reader) -> None:
    for _ in range(5):
        wait_more(reader)
        reader.first.page.reload()
        wait_more(reader)


def lose_the_network_for_a_minute(reader: Reader) -> None:
    """As the browser is told."""
    reader.go_offline()
    time.sleep(MINUTE_S)  # the fault itself
    reader.come_back()


def lose_the_network_unnoticed(reader: Reader) -> None:
    """Behind a dead link: nothing comes, nothing breaks, until it does."""
    reader.site.network.freeze()
    time.sleep(MINUTE_S)
    reader.site.network.cut()
    reader.site.network.thaw()


def cut_often(reader: Reader) -> None:
    for _ in range(8):
        wait_more(reader)
        reader.site.network.cut()


def open_a_second_tab(reader: Reader) -> None:
    reader.second()
    lose_the_network_for_a_minute(reader)


def wait_more(reader: Reader) -> None:
    """Wait until the newest answer has grown on the page."""
    length = len(reader.first.answer.inner_text())
    reader.first.wait_until(lambda: len(reader.first.answer.inner_text()) > length)


FAULTS: list[Callable[[Reader], None]] = [
    reload_often, cut_often, lose_the_network_for_a_minute, lose_the_network_unnoticed, open_a_second_tab,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("reader", PAGES, indirect=True)
def test_an_answer_comes_to_the_letter(reader: Reader, fault: Callable[[Reader], None]) -> None:
    begin(reader)
    fault(reader)
    expect(reader.first.answer).to_contain_text(LAST_WORDS, timeout=ANSWER_S * 1000)
    reader.wait_ended()
    reader.check()


@pytest.mark.parametrize("reader", PAGES, indirect=True)
def test_a_killed_server_leaves_what_was_said(reader: Reader) -> None:
    begin(reader)
    reader.site.server.kill9()
    time.sleep(3)  # it is gone for a while
    reader.site.server.start()
    reader.wait_ended("interrupted")
    reader.check()
    reader.first.button("Ask again").click()
    wait_more(reader)
    reader.first.button("Stop").click()
    reader.wait_ended("cancelled")
    reader.check()


def begin(reader: Reader) -> None:
    """Ask, and return in the middle of the answer's text."""
    reader.first.say("What is a durable session?")
    reader.first.wait_says("Try it")
