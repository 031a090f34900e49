"""Hostile content from agents and users is shown inertly: no script, style, request or dialog."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.dictated_agent import FINISH, START, Chunk, DictatedAgent, begin, delta, end, text
from tests.browser.visitor import Visitor
from tests.support.harness import Server

pytestmark = pytest.mark.browser

SERVER = {"HOLDFAST_DEMO_TOKENS_PER_S": "1000"}
ELSEWHERE = "https://elsewhere.example"
HOSTILE = f"""
<script>alert(1)</script><script src="{ELSEWHERE}/a.js"></script>
<img src=x onerror=alert(2)><svg onload=alert(3)><circle/></svg>
<iframe src="{ELSEWHERE}/frame" srcdoc="<script>alert(4)</script>"></iframe>
<style>body {{ display: none }} * {{ background: url({ELSEWHERE}/style) }}</style>
<form action="{ELSEWHERE}/form"><input name=q autofocus onfocus=alert(5)><button>Go</button></form>
<a href="javascript:alert(6)">a link</a> <b onclick="alert(7)" style="position:fixed;inset:0" id="composer">bold</b>
<link rel="stylesheet" href="{ELSEWHERE}/link"><meta http-equiv="refresh" content="0;url={ELSEWHERE}/meta">
<base href="{ELSEWHERE}/"><object data="{ELSEWHERE}/object"></object><embed src="{ELSEWHERE}/embed">
<video src="{ELSEWHERE}/video" autoplay></video><math><mtext><img src=x onerror=alert(8)></mtext></math>

[script](javascript:alert(9)) [entities](jav&#x61;script:alert(10)) [data](data:text/html,<script>alert(11)</script>)
[other](vbscript:alert(12)) [here](/logout/) <javascript:alert(13)> [fine]({ELSEWHERE}/fine)
![image]({ELSEWHERE}/image.png) ![image](x" onerror="alert(14))
[title]({ELSEWHERE}/titled 'a" onmouseover="alert(15)')

```html" onmouseover="alert(16)
<img src=x onerror=alert(17)>
```

| <img src=x onerror=alert(18)> | `<script>alert(19)</script>` |
|---|---|
| a | b |
"""
# Nothing of these may ever be in a message, nor any attribute that runs something.
FORBIDDEN = """() => [...document.querySelectorAll("#messages *")].filter((element) =>
  /^(script|style|iframe|form|input|object|embed|link|meta|base|video|audio|math|img)$/i.test(element.localName)
  || [...element.attributes].some(({ name }) => /^on|^style$|^srcdoc$/i.test(name)))
  .map((element) => element.outerHTML)"""
LINKS = """() => [...document.querySelectorAll("#messages a[href]")].map((link) => link.getAttribute("href"))"""


def check_harmless(page: Page, links: set[str]) -> None:
    """The rest, no dialog, no request and no violation of the policy, is checked after every test."""
    assert page.evaluate(FORBIDDEN) == []
    assert set(page.evaluate(LINKS)) == links
    page.mouse.move(400, 300)
    expect(page.get_by_test_id("composer")).to_have_count(1)


def test_hostile_markdown_in_an_answer_is_inert(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    pieces = re.findall(r".{1,7}", HOSTILE, re.DOTALL)  # at every cut it is rendered anew
    agent.say(tab.session, START, *text(*pieces, kind="reasoning"), begin())
    for piece in pieces:
        agent.say(tab.session, delta(piece))
    agent.say(tab.session, end(), FINISH)
    tab.wait_ended()
    tab.open_folds()
    expect(tab.page.get_by_test_id("reasoning")).to_contain_text("alert(1)")
    expect(tab.answers).to_contain_text("<script>alert(1)</script>")
    links = {f"{ELSEWHERE}/fine", f"{ELSEWHERE}/image.png", f"{ELSEWHERE}/titled"}
    check_harmless(tab.page, links)
    for link in tab.answers.get_by_role("link").all():
        expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    tab.check_against_store()
    fresh = tab.second()
    expect(fresh.answers).to_contain_text("<script>alert(1)</script>")
    check_harmless(fresh.page, links)
    tab.check_against(fresh)


def test_hostile_parts_are_inert(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    script = "javascript:alert(1)"
    call = {"toolCallId": "c", "toolName": "<img src=x onerror=alert(2)>"}
    parts: list[Chunk] = [
        {"type": "source-url", "sourceId": "s1", "url": script, "title": "<b onclick=alert(3)>source</b>"},
        {"type": "source-url", "sourceId": "s2", "url": f"{ELSEWHERE}/source"},
        {"type": "source-document", "sourceId": "s3", "mediaType": "text/html", "title": HOSTILE},
        {"type": "file", "url": script, "mediaType": "text/html"},
        {"type": "file", "url": script, "mediaType": "image/png"},
        {"type": "file", "url": f"{ELSEWHERE}/tracker.png", "mediaType": "image/png"},
        *({"type": "file", "url": url, "mediaType": "image/png"} for url in own_pages(visitor.server)),
        {"type": "data-<img src=x onerror=alert(4)>", "data": {"html": HOSTILE}},
        {"type": "tool-input-start", **call},
        {"type": "tool-input-available", **call, "input": {"html": HOSTILE}},
        {"type": "tool-output-available", "toolCallId": "c", "output": HOSTILE},
        {"type": "error", "errorText": HOSTILE},
    ]
    agent.say(tab.session, START, *parts)
    tab.wait_ended("failed")
    tab.open_folds()
    expect(tab.page.get_by_test_id("tool")).to_contain_text("<script>alert(1)</script>")
    expect(tab.page.get_by_test_id("file")).to_have_count(7)
    check_harmless(tab.page, {f"{ELSEWHERE}/source", f"{ELSEWHERE}/tracker.png", f"{visitor.server.url}/api/sessions/"})


def own_pages(server: Server) -> list[str]:
    """Addresses of this site in the forms that a browser would resolve to one."""
    return [f"{server.url}/api/sessions/", "/admin/", "//127.0.0.1/x", "logout/"]


def test_the_policy_allows_no_image_but_static_files(visitor: Visitor) -> None:
    """Even if the page made one, no page of the site would be requested as an image."""
    tab = visitor.open_unanswered()
    load = """url => new Promise((done) => {
      const image = new Image();
      image.onload = () => done(true);
      image.onerror = () => done(false);
      image.src = url;
    })"""
    answered: list[str] = []
    tab.page.on("response", lambda response: answered.append(response.url))
    assert tab.page.evaluate(load, "/static/holdfast/icons/holdfast.svg")
    assert not tab.page.evaluate(load, "/api/schema/?as-an-image")
    assert [url for url in answered if "as-an-image" in url] == [] != answered
    taken = "recorded.violations.splice(0).filter((one) => one.startsWith('img-src:')).length"
    assert tab.page.evaluate(taken) == 1
    assert len(visitor.problems) == 1 and "img-src" in visitor.problems.pop()  # the console's line


def test_a_hostile_approval_request_is_inert(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    call = {"toolCallId": "c", "toolName": "<img src=x onerror=alert(1)>", "title": HOSTILE}
    descriptor = {"input_hash": "none", "expires_at": None, "editable": True}
    parts: list[Chunk] = [
        {"type": "tool-input-available", **call, "input": {HOSTILE: HOSTILE}},
        {"type": "tool-approval-request", "toolCallId": "c", "approvalId": "<b>", "reason": HOSTILE,
         "approvalDescriptor": descriptor},
        {"type": "steering-message", "id": "s_1234567", "parts": [{"type": "text", "text": HOSTILE}]},
    ]  # fmt: skip
    agent.say(tab.session, START, *parts)
    card = tab.page.get_by_test_id("approval")
    expect(card).to_contain_text("<script>alert(1)</script>")
    expect(tab.page.get_by_test_id("steer")).to_contain_text("<script>alert(1)</script>")
    card.get_by_role("button", name="Edit arguments").click()
    expect(tab.page.get_by_test_id("arguments")).to_have_value(re.compile("<script>"))
    check_harmless(tab.page, set())
    card.get_by_role("button", name="Deny").click()
    # The agent that asks isn't one that can be answered.
    expect(tab.page.get_by_test_id("decision-refused")).to_contain_text("Approval not found")


# Small texts, nested so deeply that a parser may overflow its stack.
DEEP = {
    "quotes": ">" * 5_000,
    "ordered lists": "1. " * 1_400,
    "asterisks": "*" * 2_000,
    "emphasis": "*a **b " * 1_000 + "c** d*" * 1_000,
}
RENDERED = ".prose em"


@pytest.mark.parametrize("kind", DEEP)
def test_too_deeply_nested_markdown_hides_nothing_else(visitor: Visitor, agent: DictatedAgent, kind: str) -> None:
    tab = visitor.open_unanswered()
    agent.say(tab.session, START, *text("*earlier*"), FINISH)
    agent.say(tab.session, START, begin(), delta(f"*above*\n\n{DEEP[kind]}"))
    expect(tab.answers).to_have_count(2)
    expect(tab.answers.last.locator(RENDERED).first).to_have_text("above")
    agent.say(tab.session, delta("\n\n*below*\n\n"))
    expect(tab.answers.last.locator(RENDERED).last).to_have_text("below")
    agent.say(tab.session, delta("and *on*"), end(), *text(DEEP[kind], kind="reasoning"), FINISH)
    agent.say(tab.session, START, *text("*later*"), FINISH)
    tab.wait_ended(answers=3)
    tab.open_folds()
    for answer, said in enumerate(["earlier", "on", "later"]):
        expect(tab.answers.nth(answer).locator(RENDERED).last).to_have_text(said)
    tab.check_against_store()
    tab.check_against_fresh()


def test_a_part_that_cannot_be_rendered_hides_nothing_else(visitor: Visitor, agent: DictatedAgent) -> None:
    tab = visitor.open_unanswered()
    no_text = {"toString": 1, "valueOf": 1}
    broken: list[Chunk] = [
        {"type": "tool-send", "toolCallId": "c"},
        {"type": "tool-send", "toolCallId": "d", "state": no_text},
        {"type": "dynamic-tool", "toolCallId": "e", "toolName": no_text, "state": "input-available"},
        {"type": "tool-send", "toolCallId": "f", "state": "approval-requested",
         "approval": {"id": "a", "descriptor": {}, "requestReason": no_text}},
        {"type": "file", "mediaType": "image/png"},
        {"type": "file", "mediaType": no_text, "url": no_text},
        {"type": "source-url", "url": no_text},
        {"type": "source-document", "title": no_text},
        {"type": "steering-message", "id": "s_1234567"},
        {"type": "steering-message", "id": "s_2345678", "parts": [None]},
    ]  # fmt: skip
    odd: list[Chunk] = [
        {"type": "toString"},
        {"type": "__proto__"},
        {"type": "constructor"},
        {"type": "tool-send", "toolCallId": "g", "state": "approval-requested"},
        {"type": "source-url", "url": "http://["},
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,none"},
        {"type": "data-", "data": None},
    ]
    said: list[Chunk] = [{"type": "text", "text": "*said*"}]
    agent.say(tab.session, {"type": "message", "role": "assistant", "parts": [*broken, *odd, *said]})
    descriptor = {"input_hash": "none", "expires_at": no_text}
    call = {"toolCallId": "c", "toolName": "send"}
    agent.say(
        tab.session, START, {"type": "tool-input-available", **call, "input": {}},
        {"type": "tool-approval-request", "toolCallId": "c", "approvalId": "b", "approvalDescriptor": descriptor},
        *text("*later*"), FINISH,
    )  # fmt: skip
    tab.wait_ended(answers=2)
    tab.open_folds()
    expect(tab.answers.first.get_by_test_id("part-fallback")).to_have_text(
        [f"This part can't be shown: {part['type']}" for part in broken]
    )
    expect(tab.answers.first.locator(RENDERED)).to_have_text("said")
    expect(tab.answers.first.get_by_test_id("message-problem")).to_be_hidden()
    expect(tab.answers.last.locator(RENDERED)).to_have_text("later")
    tab.check_against_fresh()


def test_a_hostile_user_message_is_plain_text(visitor: Visitor) -> None:
    tab = visitor.begin(HOSTILE)
    tab.wait_ended()
    assert tab.shown()[0]["text"] == HOSTILE.strip()
    check_harmless(tab.page, set())
    tab.check_against_store()


def test_a_hostile_title_is_plain_text_everywhere(visitor: Visitor, server: Server) -> None:
    title = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    tab = visitor.begin(title)
    tab.wait_ended()
    expect(tab.page.get_by_test_id("conversation-heading")).to_have_text(title)
    expect(tab.page.get_by_test_id("conversation")).to_contain_text(title)
    expect(tab.page).to_have_title(f"{title} · Holdfast")
    tab.page.get_by_role("button", name=f"Delete {title}").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog).to_contain_text(title)
    dialog.get_by_role("button", name="Cancel").click()
    check_admin(tab.page, server, title, tab.session)


def check_admin(page: Page, server: Server, title: str, session: str) -> None:
    page.goto("/login/?next=/admin/")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(server.create_administrator())
    page.get_by_role("button", name="Sign in").click()
    for path in (
        "/admin/sessions_app/session/",
        f"/admin/sessions_app/session/{session}/change/",
        f"/admin/sessions_app/session/{session}/delete/",
        "/admin/sessions_app/message/",
    ):
        page.goto(path)
        expect(page.get_by_text(title).first).to_be_visible()
        assert page.locator("img[src=x]").count() == 0


def test_a_turn_that_a_back_end_began_names_it_in_plain_text(visitor: Visitor, server: Server) -> None:
    tab = visitor.open_with("demo", "Hello")
    tab.wait_ended()
    by = "agent:<img/src=x/onerror=alert(1)>"
    server.manage("begin_turn", tab.session, "What happened today?", "--id", "daily-2026-12-01", "--by", by)
    begun = tab.page.get_by_role("heading", name="Begun by <img/src=x/onerror=alert(1)>")
    expect(begun).to_be_visible()
    expect(tab.answers).to_have_count(2)
    check_harmless(tab.page, set())
    tab.page.reload()
    expect(begun).to_be_visible()
