"""The page's words for long absences: the session is safe, and a button retries."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_RECOVERY_WINDOW_MS": "1000"}


def test_a_long_absence_keeps_the_session_and_offers_to_retry(visitor: Visitor, network: TcpProxy) -> None:
    tab = visitor.open_unanswered()
    network.refuse()
    network.cut()
    expect(tab.strip).to_contain_text("Still offline. Your session is safe.")
    expect(tab.strip).to_contain_text("Retrying in ")
    expect(tab.indicator).to_have_text("Connection: Offline")
    expect(tab.page.get_by_role("alert")).to_have_count(0)
    tab.say("Typed while suspended")
    network.refuse(False)
    # By itself it would wait for half a minute.
    tab.page.get_by_role("button", name="Retry now").click()
    tab.wait_connected()
    expect(tab.strip.get_by_role("button")).to_have_count(0)
    expect(tab.questions.last).to_contain_text("Sent")
    expect(tab.questions).to_have_count(1)


def test_a_failed_retry_shows_no_error_box(visitor: Visitor, network: TcpProxy) -> None:
    tab = visitor.open()
    network.refuse()
    network.cut()
    retry = tab.page.get_by_role("button", name="Retry now")
    retry.click()
    expect(tab.strip).to_contain_text("Still offline. Your session is safe.")
    expect(retry).to_be_visible()
    network.refuse(False)  # it tries again by itself soon after it was asked to: the button may be gone any moment
    tab.try_now()
    tab.wait_connected()
