"""A browser user: tabs of the page as a person uses and reads them, and the messages stored by the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal
from uuid import uuid4

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Locator, Page, Request, expect

from agents_app.builtin.demo import ANSWER
from sessions_app.core import branches, fold
from tests.support.harness import DEADLINE_S, Server, wait_for
from tests.support.tcp_proxy import TcpProxy

ANSWER_S = 90  # for an answer to end
MIDDLE = "Try it while I am writing"  # a heading early in the demo agent's answer

# Keeps what a page says about the connection, however briefly, and what its policy had to stop.
RECORDER = """
  window.recorded = { connection: [], violations: [] };
  document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    window.recorded.violations.push(`${violatedDirective}: ${blockedURI}`));
  const whole = { subtree: true, childList: true, characterData: true, attributes: true };
  const observer = new MutationObserver(() => {
    const status = document.querySelector("holdfast-status")?.shadowRoot;
    if (!status) return;
    observer.observe(status, whole); // again changes nothing
    const text = (part) => status.querySelector(`[part~=${part}]`).textContent;
    const now = { state: document.body.dataset.connection, word: text("word"), strip: text("message") };
    const last = window.recorded.connection.at(-1) ?? {};
    if (!now.state || Object.entries(now).every(([name, value]) => last[name] === value)) return;
    window.recorded.connection.push({ ...now, at: performance.now() });
  });
  observer.observe(document, whole);
"""

# What a message shows. The names of its buttons are not its text.
SHOWN = """() => [...document.querySelectorAll("#messages > li")].map((message) => {
  const body = message.querySelector(".message-body").cloneNode(true);
  body.querySelectorAll("button").forEach((button) => button.remove());
  const { id, role, status } = message.dataset;
  return { id, role, status, text: body.textContent };
})"""


class Visitor:
    """A guest, until they sign in. `problems` is what a page should not have done."""

    def __init__(self, context: BrowserContext, server: Server, network: TcpProxy) -> None:
        self.context = context
        self.server = server
        self.network = network
        self.tabs: list[Tab] = []
        self.problems: list[str] = []
        self.gate = f"gate-{uuid4().hex}"  # for `until` of the scripted agent; nobody else's
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.add_init_script(RECORDER)
        context.on("request", self._requested)
        context.on("dialog", self._asked)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))

    def open(self, path: str = "/", *, connected: bool = True) -> Tab:
        """Open a tab, and wait until its page is connected."""
        tab = Tab(self, self.context.new_page())
        self.tabs.append(tab)
        tab.page.goto(path)
        if connected:
            tab.wait_connected()
        return tab

    def ask(self, text: str = "What is a durable session?") -> Tab:
        """Begin a conversation in a new tab; return in the middle of its answer."""
        tab = self.begin(text)
        tab.wait_middle()
        return tab

    def begin(self, text: str) -> Tab:
        """Begin a conversation in a new tab; return when its first message is stored."""
        tab = self.open()
        tab.say(text)
        expect(tab.questions).to_have_attribute("data-status", "complete")
        return tab

    def open_unanswered(self) -> Tab:
        """Open a new conversation in which no agent answers by itself, and wait until it is there."""
        tab = self.open(f"/s/{self.new_session()}/")
        tab.wait_ready()
        return tab

    def open_with(self, agent: str, question: str) -> Tab:
        """Open a new conversation with this agent, and say something."""
        tab = self.open(f"/s/{self.new_session(agent)}/")
        tab.wait_ready()
        tab.say(question)
        return tab

    def new_session(self, agent: str = "") -> str:
        """The id of a new conversation with this agent; by default none answers by itself."""
        self.context.request.get(self.server.url)  # the first visit makes somebody a guest
        token = next(cookie["value"] for cookie in self.context.cookies() if cookie["name"] == "csrftoken")
        answer = self.context.request.post(
            f"{self.server.url}/api/sessions/", data={"agent": agent}, headers={"X-CSRFToken": token}
        )
        assert answer.ok, answer.text()
        session: str = answer.json()["id"]
        return session

    def stored(self, session: str) -> list[dict[str, Any]]:
        """A conversation's messages as the API gives them, the oldest first; past the bad network."""
        address = f"{self.server.url}/api/sessions/{session}/messages/?order=oldest&limit=200"
        answer = self.context.request.get(address)
        assert answer.ok, answer.text()
        messages: list[dict[str, Any]] = answer.json()["results"]
        return messages

    def open_gate(self) -> None:
        """Let the scripted agent go on."""
        (self.server.place / self.gate).touch()

    def wait_stored(self, session: str, text: str) -> None:
        """Wait until the newest message says this."""
        wait_for(lambda: text in text_of(self.stored(session)[-1]), DEADLINE_S, lambda: f"{text!r} isn't stored")

    def go_offline(self) -> None:
        """Take the network away: the browser is told, and nothing more gets through, now or later."""
        self.network.freeze()  # first: the browser asks the server at once when it is told
        self.context.set_offline(True)

    def come_back(self) -> None:
        self.network.cut()
        self.network.thaw()
        self.context.set_offline(False)

    def check(self) -> None:
        """Fail if a page did something it must not."""
        for tab in self.tabs:
            if not tab.page.is_closed():
                self.problems += tab.page.evaluate("window.recorded?.violations ?? []")
        assert not self.problems

    def _requested(self, request: Request) -> None:
        if not re.match(r"(http://127\.0\.0\.1:|data:|blob:|about:)", request.url):
            self.problems.append(f"asked for {request.url}")

    def _asked(self, dialog: Dialog) -> None:
        self.problems.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, message: ConsoleMessage) -> None:
        # That it couldn't connect is for the browser to say, or for a proxy.
        if message.type == "error" and not re.search(
            r"net::ERR|WebSocket connection to|status of (4|502)", message.text
        ):
            self.problems.append(f"console: {message.text}")


class Tab:
    """A page of Holdfast, by what a person does and sees."""

    def __init__(self, visitor: Visitor, page: Page) -> None:
        self.visitor = visitor
        self.page = page
        self.composer = page.get_by_test_id("composer-text")
        self.indicator = page.locator("holdfast-status [part~=indicator]")
        self.strip = page.locator("holdfast-status [part~=notice]")
        self.messages = page.get_by_test_id("message")
        self.answers = page.locator("[data-testid=message][data-role=assistant]")
        self.questions = page.locator("[data-testid=message][data-role=user]")

    @property
    def session(self) -> str:
        """The id of the conversation on show, from the address."""
        found = re.search(r"/s/([A-Za-z0-9_-]+)/$", self.page.url)
        assert found, f"no conversation on show: {self.page.url}"
        return found[1]

    @property
    def path(self) -> str:
        return f"/s/{self.session}/"

    def second(self) -> Tab:
        """Another tab with the same conversation."""
        return self.visitor.open(self.path)

    def say(self, text: str) -> None:
        self.page.bring_to_front()  # behind another tab it is drawn once a second
        self.composer.fill(text)
        self.composer.press("Enter")

    def say_next(self, text: str) -> None:
        """Send it as a message, even while an agent is at work."""
        self.page.bring_to_front()
        self.composer.fill(text)
        self.composer.press("Control+Enter")

    def reload(self) -> None:
        self.page.reload()
        self.wait_connected()

    def try_now(self) -> None:
        """Tell the page, as its browser would, that there is a network: by itself it may wait for half a minute."""
        self.page.evaluate("window.dispatchEvent(new Event('online'))")

    # Waiting

    def wait_connected(self) -> None:
        expect(self.page.locator("body[data-connection=connected]")).to_be_attached()

    def wait_ready(self) -> None:
        """Wait until the conversation on show has loaded: a connected page may still be waiting for it."""
        expect(self.page.get_by_test_id("transcript")).to_have_attribute("aria-busy", "false")

    def wait_state(self, state: str) -> None:
        expect(self.page.locator("body")).to_have_attribute("data-connection", state)

    def wait_middle(self) -> None:
        """Wait until the newest answer has begun to stream and has not ended."""
        expect(self.answers.last).to_contain_text(MIDDLE)
        expect(self.answers.last).to_have_attribute("data-status", "streaming")

    def wait_more(self) -> None:
        """Wait until the newest answer has grown."""
        length = len(self.shown()[-1]["text"])
        self.wait_until(lambda: len(self.shown()[-1]["text"]) > length, "the answer doesn't grow")

    def wait_ended(self, status: str = "complete", *, answers: int = 1) -> None:
        """Wait until there are this many answers and the last has ended with this status."""
        expect(self.answers).to_have_count(answers, timeout=ANSWER_S * 1000)
        expect(self.answers.last).to_have_attribute("data-status", status, timeout=ANSWER_S * 1000)

    def wait_until(self, condition: Callable[[], bool], complaint: str) -> None:
        wait_for(condition, DEADLINE_S, lambda: f"{complaint}; it shows {self.shown()}")

    # Reading

    def shown(self) -> list[dict[str, str]]:
        """Return each message's id, role, status and text, from the document."""
        shown: list[dict[str, str]] = self.page.evaluate(SHOWN)
        return shown

    def recorded(self) -> list[dict[str, Any]]:
        """Return the page's states since it was loaded: state, word, strip, at (ms)."""
        recorded: list[dict[str, Any]] = self.page.evaluate("window.recorded.connection")
        return recorded

    def open_folds(self) -> None:
        """Open reasoning and tool calls, which are rendered when they are open only."""
        self.page.evaluate("document.querySelectorAll('#messages details').forEach((fold) => (fold.open = true))")

    def markdown(self, message: Locator) -> str:
        """A message's text as the page holds it, which is what its button copies."""
        message.get_by_role("button", name="Copy message").click()
        expect(message.get_by_role("button", name="Copied")).to_be_visible()
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    # Comparing

    def check_against_store(self) -> None:
        """Check that the page holds exactly the stored messages, each once, in order."""
        self.page.bring_to_front()
        stored = joined(self.visitor.stored(self.session))
        self.wait_until(lambda: outline(self.shown()) == outline(stored), f"stored is {outline(stored)}")
        for index, message in enumerate(stored):
            assert self.markdown(self.messages.nth(index)) == text_of(message)

    def check_against(self, other: Tab) -> None:
        """Check that both tabs show the same, to the letter."""

        def same() -> bool:
            self.open_folds()
            other.open_folds()
            return self.shown() == other.shown()

        wait_for(same, DEADLINE_S, lambda: f"one tab shows {self.shown()}, the other {other.shown()}")

    def check_against_fresh(self) -> None:
        """Check that a page built up from frames looks like a freshly loaded one."""
        self.check_against(self.second())


def joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return stored messages with continued answers as one, as the page shows them."""
    stored: Any = messages
    return [dict(fold.to_wire(message)) for message in branches.joined(map(fold.from_wire, stored))]


def outline(messages: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(message["id"], message["role"], message["status"]) for message in messages]


def text_of(message: dict[str, Any], kind: Literal["text", "reasoning"] = "text") -> str:
    """A stored message's text, as Markdown."""
    return "\n\n".join(part["text"] for part in message["parts"] if part["type"] == kind)


def demo_answer(prompt: str, *, history: int = 1) -> str:
    """Return the demo agent's answer; `history` counts the conversation's messages up to the prompt."""
    return ANSWER.format(prompt=prompt, serial=history)
