"""Conversations that cannot continue give the reason: trimmed, deleted, expired, signed out, another user's."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import Tab, Visitor
from tests.support.harness import Server
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = {
    "HOLDFAST_DEMO_TOKENS_PER_S": "300",
    "HOLDFAST_RECHECK_MS": "500",
    "HOLDFAST_HEARTBEAT_MS": "1000",
}
AGED = """
from datetime import timedelta
from django.db.models import F
from sessions_app.models import Message, Session
Session.objects.filter(pk="{session}").update(active_at=F("active_at") - timedelta(hours={session_hours}))
Message.objects.filter(session="{session}").update(updated_at=F("updated_at") - timedelta(hours=80))
"""


def age(server: Server, session: str, *, session_hours: int) -> None:
    """Make a conversation's messages 80 hours older than they are; the default policy keeps them for 72."""
    server.manage("shell", "--verbosity", "0", "-c", AGED.format(session=session, session_hours=session_hours))


def expect_gone(tab: Tab, why: str) -> None:
    expect(tab.page.get_by_test_id("gone")).to_be_visible()
    expect(tab.page.get_by_test_id("gone")).to_contain_text(why)
    expect(tab.composer).to_be_hidden()
    expect(tab.page.get_by_test_id("conversation-heading")).to_have_text("Not available")


def test_a_return_to_a_trimmed_conversation_is_explained(
    visitor: Visitor, server: Server, network: TcpProxy, agent: DictatedAgent
) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, begin(), delta("Shown"))
    expect(tab.answers).to_contain_text("Shown")
    network.refuse()
    network.cut()
    agent.say(tab.session, delta(", missed"), end(), FINISH)
    age(server, tab.session, session_hours=0)
    agent.say(tab.session, START, *text("Written since"), FINISH)
    network.refuse(False)
    tab.try_now()
    notice = tab.page.get_by_test_id("transcript-notice")
    expect(notice).to_contain_text("Older messages were removed after 72 hours.")
    expect(tab.answers).to_have_count(1)
    expect(tab.answers).to_contain_text("Written since")
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_be_hidden()
    tab.check_against_store()


def test_a_conversation_deleted_elsewhere_says_so(visitor: Visitor) -> None:
    tab = visitor.ask()
    second = tab.second()
    second.page.get_by_role("button", name=re.compile("^Delete ")).click()
    dialog = second.page.get_by_role("dialog", name="Delete this conversation?")
    expect(dialog).to_contain_text("What is a durable session?")
    dialog.get_by_role("button", name="Delete").click()
    expect(second.page).to_have_url(re.compile("/$"))
    expect(second.page.get_by_test_id("welcome")).to_be_visible()
    expect(second.page.get_by_test_id("conversation")).to_have_count(0)
    expect_gone(tab, "It was deleted")
    tab.page.get_by_role("button", name="Start a new conversation").click()
    tab.say("Is this a new one?")
    tab.wait_ended()
    expect(tab.questions).to_have_count(1)


def test_an_expired_conversation_says_so(visitor: Visitor, server: Server) -> None:
    tab = visitor.begin("What is a durable session?")
    tab.wait_ended()
    age(server, tab.session, session_hours=80)
    expect_gone(tab, "has expired")
    tab.reload()
    expect_gone(tab, "This conversation has expired.")


def test_another_users_conversation_looks_nonexistent(visitor: Visitor, visit: Visit) -> None:
    session = visitor.new_session()
    stranger = visit()
    expect_gone(stranger.open(f"/s/{session}/"), "It was deleted")
    expect_gone(stranger.open("/s/AAAAAAAAAAAAAAAAAAAAAA/"), "It was deleted")


@pytest.fixture(scope="module")
def password(server: Server) -> str:
    """The administrator's."""
    return server.create_administrator()


@pytest.fixture
def signed_in(visitor: Visitor, password: str) -> Iterator[Tab]:
    """A guest who began a conversation, and signed in then."""
    tab = visitor.ask()
    tab.page.get_by_role("link", name="Sign in").click()
    tab.page.get_by_label("Name").fill("admin")
    tab.page.get_by_label("Password").fill(password)
    tab.page.get_by_role("button", name="Sign in").click()
    yield tab


def test_signing_in_keeps_the_conversation(signed_in: Tab) -> None:
    expect(signed_in.page.get_by_test_id("account")).to_contain_text("admin")
    signed_in.wait_ended()
    signed_in.check_against_store()


def test_signing_out_ends_the_other_tabs_within_seconds(signed_in: Tab) -> None:
    signed_in.wait_connected()
    second = signed_in.second()
    second.page.get_by_role("button", name="Sign out").click()
    expect(second.page.get_by_test_id("account")).to_contain_text("Guest")
    expect(signed_in.strip).to_contain_text("You are signed out.")
    signed_in.wait_state("failed")
    signed_in.strip.get_by_role("button", name="Sign in").click()
    expect(signed_in.page).to_have_url(re.compile(r"/login/\?next=%2Fs%2F"))
