"""Long answers keep the page responsive while they stream and when they arrive at once, whatever their Markdown is."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import ANSWER_S, Tab, Visitor

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "1000"}
STUTTER_MS = 100
SMALL = 1_000
LARGE = 30_000
END = "\n\nThe end."

LIST = "".join(f"- Item {number} with **bold**, `code` and *more* of its text\n" for number in range(1_900))
TABLE = "| Name | Size | Note |\n|---|--:|---|\n" + "".join(
    f"| **name {number}** | {number} | `note` |\n" for number in range(1_500)
)
CODE = "```py\n" + "".join(f"x{number} = function_of(something, {number})\n" for number in range(2_500)) + "```\n"
MIXED = "".join(
    f"## Part {number}\n\nText with **bold** and [links](https://a.example/{number}).\n\n- one\n- two\n\n"
    for number in range(1_000)
)
STREAMED = {"list of 100 kB": LIST, "table of 50 kB": TABLE, "code of 100 kB": CODE}
# Sizes at which a parser that takes quadratic time takes seconds.
ARRIVING = {"emphasis": "_a_" * 20_000, "open emphasis": "**a " * 15_000, "mixed": MIXED}


def longest_task(trace: bytes) -> float:
    """Return the longest script or rendering task of the page, in ms of processor time.

    Not in time that passes, which other processes prolong, and without the tasks of the test's own questions.
    """
    events = json.loads(trace)["traceEvents"]
    main = {thread(event) for event in events if event.get("args", {}).get("name") == "CrRendererMain"}
    own = [event for event in events if thread(event) in main and event.get("name") in {"FunctionCall", "Layout"}]
    tasks = [event for event in events if thread(event) in main and "tdur" in event and is_task(event)]
    tasks.sort(key=lambda task: -task["tdur"])
    longest: float = next(task["tdur"] for task in tasks if any(is_within(event, task) for event in own))
    return longest / 1_000


def is_task(event: dict[str, Any]) -> bool:
    return bool(event["name"].endswith("RunTask"))


def thread(event: dict[str, Any]) -> tuple[int, int]:
    return event["pid"], event["tid"]


def is_within(event: dict[str, Any], task: dict[str, Any]) -> bool:
    return thread(event) == thread(task) and bool(task["ts"] <= event["ts"] < task["ts"] + task["dur"])


def pieces(answer: str, size: int) -> list[str]:
    return [answer[start : start + size] for start in range(0, len(answer), size)]


def start_tracing(tab: Tab) -> Browser:
    browser = tab.page.context.browser
    assert browser
    browser.start_tracing(page=tab.page, categories=["toplevel", "devtools.timeline"])
    return browser


def wait_drawn(tab: Tab) -> None:
    tab.wait_ended()
    expect(tab.answers.last.locator(".prose > :last-child")).to_have_text("The end.", timeout=ANSWER_S * 1_000)


@pytest.mark.parametrize(
    "kind", [*list(STREAMED)[:2], *(pytest.param(k, marks=pytest.mark.long) for k in list(STREAMED)[2:])]
)
def test_long_blocks_stream_without_a_stutter(visitor: Visitor, agent: DictatedAgent, kind: str) -> None:
    tab = visitor.open_unanswered()
    browser = start_tracing(tab)
    agent.say(tab.session, START, begin())
    for piece in pieces(STREAMED[kind] + END, SMALL):
        agent.say(tab.session, delta(piece))
    agent.say(tab.session, end(), FINISH)
    wait_drawn(tab)
    assert longest_task(browser.stop_tracing()) < STUTTER_MS


@pytest.mark.parametrize("kind", ["mixed", *(pytest.param(k, marks=pytest.mark.long) for k in list(ARRIVING)[:2])])
def test_long_answers_arrive_without_a_stutter(visitor: Visitor, agent: DictatedAgent, kind: str) -> None:
    tab = visitor.open_unanswered()
    browser = start_tracing(tab)
    agent.say(tab.session, START, *text(*pieces(ARRIVING[kind] + END, LARGE)), FINISH)
    wait_drawn(tab)
    assert longest_task(browser.stop_tracing()) < STUTTER_MS
    # Its end is in view, though most of it was drawn after the message had been shown.
    expect(tab.answers.last.locator(".prose > :last-child")).to_be_in_viewport()


def test_a_scroll_away_from_a_long_answer_that_is_being_drawn_stays(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, begin(), delta(f"{MIXED[:LARGE]}\n\nThe middle.\n\n"))
    expect(tab.answers.last).to_contain_text("The middle.")
    tab.page.evaluate("document.getElementById('transcript').scrollTop = 0")
    expect(tab.page.locator("#jump")).to_be_visible()
    agent.say(tab.session, delta(MIXED[LARGE : 2 * LARGE] + END), end(), FINISH)
    wait_drawn(tab)
    assert tab.page.evaluate("document.getElementById('transcript').scrollTop") == 0
