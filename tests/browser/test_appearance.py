"""Appearance: phone and desktop, light and dark, keyboard and screen reader. Keeps screenshots."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser import scripted
from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, Chunk, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import Tab, Visitor
from tests.support.harness import DEADLINE_S, wait_for
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.browser

SERVER = scripted.ENVIRONMENT | {"HOLDFAST_DEMO_TOKENS_PER_S": "1000"}
RECOVERY_WINDOW_MS = 120_000
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

MIXED = f"""## A heading of an answer

A paragraph with **bold**, *emphasis*, `code`, a [link](https://example.com/), ~~nothing~~ and {"a-long-word" * 12}.

- one
- two
  1. nested

| {" | ".join(f"column {n}" for n in range(9))} |
|{"---|" * 9}
| {" | ".join(f"a cell of text {n}" for n in range(9))} |

> A quotation.

```python
{"print('a line that is wider than any phone', " * 4})
```
"""
CALL = {"toolCallId": "c1", "toolName": "get_weather"}
WHOLE: list[Chunk] = [
    START,
    *text("The reasoning behind it.", kind="reasoning"),
    {"type": "tool-input-start", **CALL},
    {"type": "tool-input-available", **CALL, "input": {"city": "Paris", "note": "x" * 200}},
    {"type": "tool-output-available", "toolCallId": "c1", "output": {"sky": "clear"}},
    *text(MIXED),
    {"type": "source-url", "sourceId": "s1", "url": "https://example.com/source", "title": "A source"},
    {"type": "file", "url": "https://example.com/a.png", "mediaType": "image/png"},
    {"type": "data-progress", "data": {"done": 3, "of": 4}},
    FINISH,
]
CANCELLED: list[Chunk] = [START, *text("Cancelled half way"), {"type": "abort"}]
FAILED: list[Chunk] = [START, *text("Failed half way"), {"type": "error", "errorText": "The model is overloaded."}]
INTERRUPTED: list[Chunk] = [START, *text("Interrupted half way"), {"type": "interrupt", "reason": "stopped"}]
STREAMING: list[Chunk] = [START, begin(), delta("Writing")]

# Text that can be seen, with the contrast between its colour and what is behind it; WCAG 2 §1.4.3.
FAINT = """() => {
  const parse = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const over = (top, alpha, below) => top.map((value, index) => value * alpha + below[index] * (1 - alpha));
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const { rgb, alpha } = parse(getComputedStyle(element).backgroundColor);
    return alpha === 1 ? rgb : over(rgb, alpha, behind(element.parentElement));
  };
  const opacity = (element) =>
    element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  const contrast = (element) => {
    const background = behind(element);
    const { rgb, alpha } = parse(getComputedStyle(element).color);
    const front = over(rgb, alpha * opacity(element), background);
    const [dark, light] = [luminance(front), luminance(background)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const { data, parentElement: element } = texts.currentNode;
    if (!data.trim() || element.closest("script, noscript, .visually-hidden, .skip-link")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const ratio = contrast(element);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${data.trim().slice(0, 40)}`);
  }
  return faint;
}"""
# Buttons too small for a finger: below 24 pixels, WCAG 2.2 §2.5.8.
SMALL = """() => [...document.querySelectorAll("button, summary, .conversation-link")]
  .filter((button) => button.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .filter((button) => Math.min(button.offsetWidth, button.offsetHeight) < 24)
  .map((button) => button.outerHTML)"""
WIDER = """() => [document.documentElement, document.getElementById("transcript")]
  .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
  .map(({ localName, scrollWidth }) => `${localName} is ${scrollWidth} wide`)"""
REPEATED_IDS = """() => [...document.querySelectorAll("[id]")].map(({ id }) => id)
  .filter((id, index, ids) => ids.indexOf(id) !== index)"""


class Album:
    """Looks at a page in both schemes, state by state, and keeps the pictures."""

    def __init__(self, tab: Tab, place: Path, device: str) -> None:
        self.tab, self.place, self.device = tab, place, device

    def look(self, state: str) -> None:
        page = self.tab.page
        assert page.evaluate(WIDER) == [], state
        assert page.evaluate(SMALL) == [], state
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # What comes into sight may take a moment.
            wait_for(
                lambda: not page.evaluate(FAINT),  # noqa: B023
                DEADLINE_S,
                lambda: f"{state}, {scheme}: {page.evaluate(FAINT)}",  # noqa: B023
            )
            page.screenshot(path=self.place / f"{state}-{self.device}-{scheme}.png", animations="disabled")


@pytest.mark.parametrize(("device", "options"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_every_state_is_legible(
    visit: Visit, agent: DictatedAgent, network: TcpProxy, tmp_path: Path, device: str, options: dict[str, Any]
) -> None:
    tab = visit(**options).open()
    album = Album(tab, tmp_path, device)
    album.look("welcome")
    tab.page.goto(f"/s/{tab.visitor.new_session()}/")
    tab.say("A question that is long enough to be broken into several lines on a phone, and not on a desktop")
    agent.say(tab.session, *WHOLE)
    tab.wait_ended()
    scroll(tab, "0")
    album.look("answer")
    tab.open_folds()
    album.look("unfolded")
    agent.say(tab.session, *CANCELLED, *FAILED, *INTERRUPTED, *STREAMING)
    expect(tab.answers).to_have_count(5)
    scroll(tab, "pane.scrollHeight")
    album.look("endings")
    tab.page.clock.install()
    network.refuse()
    network.cut()
    expect(tab.strip).to_contain_text("Reconnecting…")
    tab.say("Written while away")
    expect(tab.questions.last).to_contain_text("Waiting")
    album.look("reconnecting")
    tab.page.clock.fast_forward(RECOVERY_WINDOW_MS)
    expect(tab.strip).to_contain_text("Still offline.")
    album.look("suspended")
    if device == "phone":
        tab.page.get_by_role("button", name="Conversations").tap()
        album.look("drawer")


@pytest.mark.parametrize(("device", "options"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_every_state_of_an_agent_at_work_is_legible(
    visit: Visit, tmp_path: Path, device: str, options: dict[str, Any]
) -> None:
    visitor = visit(**options)
    tab = visitor.open_with("scripted", f"say So far; until {visitor.gate}; step; ask send_mail editable; until never")
    album = Album(tab, tmp_path, device)
    expect(tab.answers).to_contain_text("So far")
    tab.say("Shorter, please")
    expect(tab.questions.last).to_contain_text("Will be read at the next step")
    album.look("steer-waits")
    visitor.open_gate()
    edit = tab.page.get_by_test_id("edit-arguments")
    expect(edit).to_be_visible()
    album.look("asked")
    edit.click()
    tab.page.get_by_test_id("arguments").fill("{")
    album.look("edited")
    tab.page.keyboard.press("Escape")
    tab.page.get_by_test_id("approve").click()
    expect(tab.page.get_by_test_id("tool")).to_contain_text("done")
    album.look("approved")
    tab.page.get_by_test_id("stop").click()
    tab.wait_ended("cancelled")
    album.look("stopped")


def scroll(tab: Tab, to: str) -> None:
    tab.page.get_by_test_id("transcript").evaluate(f"(pane) => pane.scrollTo(0, {to})")


def test_every_control_has_a_name_and_every_id_is_unique(visitor: Visitor) -> None:
    tab = visitor.begin("What is a durable session?")
    tab.wait_ended()
    tab.open_folds()
    tree = tab.page.locator("body").aria_snapshot()
    nameless = re.findall(r"- (?:button|link|textbox|dialog|region|navigation|img|complementary)(?: \[.*\])?:?$", tree)
    assert nameless == [], tree
    for landmark in ("- complementary ", "- navigation ", "- main:", "- heading", "- log", '- textbox "Your message"'):
        assert landmark in tree
    assert tree.index("[level=1]") < tree.index("[level=2]")
    assert tab.page.evaluate(REPEATED_IDS) == []
    assert tab.page.locator("html").get_attribute("lang") == "en"


FOCUSED = """() => {
  const { activeElement: element } = document;
  return element.getAttribute("aria-label") ?? (element.labels?.[0] ?? element).textContent.trim();
}"""


def focused(page: Page) -> str:
    """The name of what has the focus."""
    name: str = page.evaluate(FOCUSED)
    return name


def test_the_keyboard_reaches_everything_in_order(visitor: Visitor) -> None:
    tab = visitor.begin("Hello")
    tab.wait_ended()
    page = tab.page
    assert focused(page) == "Your message"
    page.locator(".skip-link").focus()
    expect(page.locator(".skip-link")).to_be_in_viewport()
    order = []
    while "Send" not in order:
        order.append(focused(page))
        assert len(order) < 40, order
        page.keyboard.press("Tab")
    assert order[:7] == [
        "Skip to the message box",
        "Holdfast",
        "New conversation",
        "Hello",
        "Rename Hello",
        "Delete Hello",
        "Sign in",
    ]
    assert order[-2:] == ["Your message", "Send"]
    assert "Copy message" in order
    page.locator(".skip-link").focus()
    page.keyboard.press("Enter")
    assert focused(page) == "Your message"


def test_escape_closes_the_dialog_and_keeps_the_name(visitor: Visitor) -> None:
    tab = visitor.begin("Hello")
    page = tab.page
    heading = page.get_by_test_id("conversation-heading")
    page.get_by_role("button", name="Delete Hello").press("Enter")
    dialog = page.get_by_role("dialog", name="Delete this conversation?")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert focused(page) == "Delete Hello"
    page.get_by_role("button", name="Rename Hello").press("Enter")
    page.keyboard.type("Not this")
    page.keyboard.press("Escape")
    expect(heading).to_have_text("Hello")
    assert focused(page) == "Rename Hello"
    page.keyboard.press("Enter")
    page.keyboard.type("Another name")
    page.keyboard.press("Enter")
    expect(heading).to_have_text("Another name")
    assert focused(page) == "Rename Another name"
    tab.reload()
    expect(heading).to_have_text("Another name")


def test_the_drawer_works_by_keyboard(visit: Visit) -> None:
    tab = visit(**PHONE).begin("Hello")
    page = tab.page
    sidebar, opener = page.get_by_test_id("sidebar"), page.get_by_role("button", name="Conversations")
    expect(sidebar).to_be_hidden()
    opener.press("Enter")
    expect(sidebar).to_be_visible()
    expect(page.locator("#drawer-open")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#main")).to_have_js_property("inert", True)  # what is behind it can't be reached
    assert focused(page) == "Close conversations"
    page.keyboard.press("Escape")
    expect(sidebar).to_be_hidden()
    expect(opener).to_be_focused()
    opener.press("Enter")
    page.get_by_role("link", name="New conversation").press("Enter")
    expect(sidebar).to_be_hidden()
    expect(page.get_by_test_id("welcome")).to_be_visible()
    opener.press("Enter")
    page.get_by_role("link", name="Hello").press("Enter")
    expect(tab.questions).to_have_count(1)


def test_a_screen_reader_hears_an_answer_once_and_whole(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    announcer = tab.page.get_by_test_id("announcer")
    agent.say(tab.session, START, begin(), delta("All"))
    expect(tab.answers).to_contain_text("All")
    expect(announcer).to_have_text("")
    expect(tab.answers).to_have_attribute("aria-busy", "true")
    agent.say(tab.session, delta(" of it."), end(), FINISH)
    expect(announcer).to_have_text("Assistant: All of it. ")
    expect(tab.answers).to_have_attribute("aria-busy", "false")
