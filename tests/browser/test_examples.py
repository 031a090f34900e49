"""docs/examples: what a newcomer copies works as it stands, and keeps an answer over whatever happens to its page."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests import services
from tests.browser import scripted
from tests.browser.example_site import EXAMPLES, ExampleSite, Reader, example_site
from tests.support.harness import DEADLINE_S, StartServer

pytestmark = pytest.mark.browser

PAGES = ["usechat", "react", "assistant-ui"]


@pytest.fixture(scope="module")
def site(start_shared_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleSite]:
    environment = scripted.ENVIRONMENT | {"HOLDFAST_DEFAULT_AGENT": "scripted", "HOLDFAST_HEARTBEAT_MS": "1000"}
    with example_site(start_shared_server, tmp_path_factory.mktemp("examples"), **environment) as site:
        yield site


@pytest.fixture
def reader(request: pytest.FixtureRequest, chromium: Browser, site: ExampleSite) -> Iterator[Reader]:
    reader = Reader(chromium, site, request.param)
    yield reader
    reader.context.close()
    site.network.refuse(False)
    site.network.thaw()


@pytest.mark.parametrize("reader", PAGES, indirect=True)
def test_an_answer_survives_a_reload_two_tabs_and_a_lost_network(reader: Reader) -> None:
    tab = reader.first
    tab.say(f"say One; until {reader.gate}-1; say Two; until {reader.gate}-2; ask pay; say Three")
    tab.wait_says("One")
    tab.page.reload()
    tab.wait_says("One")
    second = reader.second()
    second.wait_says("One")
    reader.go_offline()
    for each in reader.tabs:
        expect(each.state).to_contain_text(re.compile("Offline|No connection"))
    reader.open_gate(1)
    reader.wait_stored("Two")
    reader.come_back()
    for each in reader.tabs:
        each.wait_says("Two")
    reader.open_gate(2)
    tab.button("Approve").click()
    reader.wait_ended()
    if "usechat" in tab.page.url:
        second.page.reload()  # it isn't told of what another tab has decided
    reader.check()
    assert reader.stored()[-1]["parts"][-1]["text"].endswith("Three\n\n")


@pytest.mark.parametrize("reader", PAGES, indirect=True)
def test_a_stopped_answer_is_asked_for_again(reader: Reader) -> None:
    tab = reader.first
    tab.say(f"say One; until {reader.gate}-1; say Two")
    tab.wait_says("One")
    tab.button("Stop").click()
    reader.wait_ended("cancelled")
    reader.check()
    tab.button("Ask again").click()
    tab.wait_says("Again: regenerate.")
    reader.wait_ended()
    reader.check()


@pytest.mark.parametrize("reader", PAGES, indirect=True)
def test_an_answer_that_waits_for_a_decision_is_stopped(reader: Reader) -> None:
    tab = reader.first
    tab.say("say One; ask pay")
    expect(tab.button("Deny")).to_be_visible()
    tab.button("Stop").click()
    reader.wait_ended("cancelled")
    expect(tab.button("Ask again")).to_be_visible()
    expect(tab.button("Deny")).to_have_count(0)
    reader.check()


@pytest.mark.parametrize("reader", ["usechat", "react"], indirect=True)
def test_a_message_that_could_not_be_sent_is_sent_once(reader: Reader) -> None:
    tab = reader.first
    tab.say("say One")
    tab.wait_says("One")
    reader.wait_ended()
    reader.site.network.refuse()
    reader.site.network.cut()
    tab.say("say Two")
    expect(tab.state).to_contain_text(re.compile("Offline|No connection"))
    if "react" in tab.page.url:  # it keeps it over a reload too
        tab.page.reload()
        expect(tab.page.get_by_text("Not sent yet")).to_be_visible()
    reader.site.network.refuse(False)
    tab.wait_says("Two")
    reader.wait_ended()
    reader.check()
    assert [role for role, *_ in tab.shown()] == ["user", "assistant"] * 2


@pytest.mark.parametrize("reader", ["eventsource"], indirect=True)
def test_a_page_with_event_source_resumes_by_itself(reader: Reader) -> None:
    tab = reader.first
    tab.say(f"say One; until {reader.gate}-1; say Two; until {reader.gate}-2; say Three")
    tab.wait_says("One")
    reader.site.network.cut()
    reader.open_gate(1)
    tab.wait_says("Two")
    tab.page.reload()
    tab.wait_says("Two")
    reader.second()
    reader.open_gate(2)
    reader.wait_ended()
    reader.check("text")


def test_the_shell_script_creates_sends_follows_resumes_and_stops(site: ExampleSite) -> None:
    services.require("curl")
    script = [str(EXAMPLES / "curl" / "chat.sh"), "say One; until the-end"]
    environment = os.environ | {"HOLDFAST": site.server.url}
    run = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (run.returncode, run.stderr) == (0, "")
    created, sent, followed, resumed, stopped, stored = re.split(r"^# .*\n", run.stdout, flags=re.MULTILINE)[1:]
    assert sent.count('"status":"accepted"') == 2 and "One" in followed
    assert '"resumed":true' in resumed and '"messages":[]' in resumed
    assert '"status":"accepted"' in stopped
    assert stored.count('"role"') == 2 and "One" in stored
    assert len(created.strip()) == 22
