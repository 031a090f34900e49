"""Text that comes in one frame is revealed evenly until about the next, unless the reader wants no motion."""

from collections.abc import Iterator
from itertools import accumulate, count
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end
from tests.browser.test_unread import hide, line
from tests.browser.visitor import Tab, Visitor

pytestmark = pytest.mark.browser

COMPLETE_MS = 300
# Keeps each text that the answer has had, with its time; `whenInPart` is called when a sentence is there in part.
RECORDER = """() => {
  const list = document.getElementById("messages");
  window.texts = [];
  let last = "";
  const textOf = () => list.querySelector("[data-role=assistant] .message-body").textContent.trim();
  new MutationObserver(() => {
    const text = textOf();
    if (text === last) return;
    window.texts.push({ text: (last = text), at: performance.now() });
    if (!text.endsWith(".")) window.whenInPart?.(textOf);
  }).observe(list, { subtree: true, childList: true, characterData: true });
}"""
HIDE_IN_PART = """() => (window.whenInPart = (textOf) => {
  window.whenInPart = null;
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
  document.dispatchEvent(new Event("visibilitychange"));
  window.leftAt = textOf();
})"""


class Writer:
    """An answer that grows by a sentence, one frame, at a time, in a page that records what it shows."""

    def __init__(self, tab: Tab, agent: DictatedAgent) -> None:
        self.tab = tab
        self.agent = agent
        self.sentences: list[str] = []
        self.next = self.numbered()
        agent.say(tab.session, START, begin(), delta(next(self.next)))
        expect(tab.answers).to_contain_text("Sentence 0")
        tab.page.evaluate(RECORDER)

    def numbered(self) -> Iterator[str]:
        for number in count():
            self.sentences.append(f"Sentence {number} has words enough to be seen growing in more than one step. ")
            yield self.sentences[-1]

    def write(self) -> None:
        """Write another sentence, and wait until the page shows all of it."""
        self.agent.say(self.tab.session, delta(next(self.next)))
        self.tab.wait_until(lambda: self.tab.shown()[-1]["text"].strip() == self.whole, f"{self.whole!r} isn't there")

    @property
    def whole(self) -> str:
        return "".join(self.sentences).strip()

    def texts(self) -> list[dict[str, Any]]:
        """Return the texts that the page has shown, with their times in ms, and forget them."""
        texts: list[dict[str, Any]] = self.tab.page.evaluate("window.texts.splice(0)")
        assert all(self.whole.startswith(shown["text"]) for shown in texts)
        return texts

    def write_in_steps(self) -> bool:
        """Return whether a sentence was drawn in steps, and whole in time; a busy machine may be late."""
        self.write()
        texts = self.texts()
        return len(texts) > 1 and bool(texts[-1]["at"] - texts[0]["at"] < COMPLETE_MS)

    def check_whole(self) -> None:
        """Write a few sentences, of which none may be shown in part."""
        self.texts()
        for _ in range(4):
            self.write()
        ends = {text.strip() for text in accumulate(self.sentences)}
        assert [shown["text"] for shown in self.texts() if shown["text"] not in ends] == []


@pytest.fixture
def writer(visitor: Visitor, agent: DictatedAgent) -> Writer:
    return Writer(visitor.open_unanswered(), agent)


def test_text_of_one_frame_is_drawn_in_steps_and_soon_whole(writer: Writer) -> None:
    writer.tab.wait_until(writer.write_in_steps, "no sentence grew in steps")
    writer.agent.say(writer.tab.session, end(), FINISH)
    writer.tab.wait_ended()
    writer.tab.check_against_store()


def test_with_reduced_motion_text_of_one_frame_is_drawn_at_once(visit: Visit, agent: DictatedAgent) -> None:
    writer = Writer(visit(reduced_motion="reduce").open_unanswered(), agent)
    writer.check_whole()
    writer.tab.page.emulate_media(reduced_motion="no-preference")
    writer.tab.wait_until(writer.write_in_steps, "no sentence grew in steps")
    writer.tab.page.emulate_media(reduced_motion="reduce")
    writer.check_whole()


def test_text_that_is_still_being_drawn_when_the_reader_leaves_is_whole_and_seen(writer: Writer) -> None:
    writer.tab.page.evaluate(HIDE_IN_PART)

    def has_left() -> bool:
        writer.write()
        return bool(writer.tab.page.evaluate("Boolean(window.leftAt)"))

    writer.tab.wait_until(has_left, "no sentence grew in steps")
    assert writer.tab.page.evaluate("window.leftAt") == writer.whole
    hide(writer.tab, False)
    expect(line(writer.tab)).to_have_count(0)
    hide(writer.tab)
    writer.write()
    expect(line(writer.tab)).to_have_count(1)
