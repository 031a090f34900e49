"""Tokens in the page of another site: it acts by them, and outlives them."""

import time

import httpx
import pytest

from tests.browser.visitor import Visitor
from tests.support import tokens
from tests.support.harness import Server

pytestmark = pytest.mark.browser

LIFE_S = 8
SERVER = {
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in tokens.KEYS.items()),
    "HOLDFAST_RECHECK_MS": "500",
}

PAGE = """async ([session, webSocket]) => {
  const { Holdfast } = await import("/static/holdfast/index.js");
  window.states = [];
  window.holdfast = new Holdfast({ token: window.giveToken, storage: null, ...(webSocket ? {} : { WebSocket: null }) });
  holdfast.addEventListener("connection", ({ detail }) => states.push(detail.state));
  window.session = holdfast.session(session);
  holdfast.connect();
  await session_.send("Hello");
}""".replace("session_", "window.session")


@pytest.mark.parametrize("transport", ["websocket", "stream"])
def test_a_page_outlives_its_tokens_without_disconnecting(visitor: Visitor, server: Server, transport: str) -> None:
    given: list[str] = []

    def give() -> str:
        given.append(tokens.token(exp=int(time.time()) + LIFE_S))
        return given[-1]

    created = httpx.post(
        f"{server.url}/api/sessions/", json={"agent": ""}, headers=tokens.bearer(tokens.token())
    ).json()
    tab = visitor.open()
    tab.page.expose_function("giveToken", give)
    tab.page.evaluate(PAGE, [created["id"], transport == "websocket"])
    assert tab.page.evaluate("holdfast.connection.transport") == transport
    until = time.monotonic() + 1.5 * LIFE_S  # the first one has ended, and was looked at again since
    # The page is looked at all the time: only then is it given what it asks for.
    tab.wait_until(
        lambda: len(given) > len(tab.shown()) + 1 and time.monotonic() > until, "no other token is asked for"
    )
    tab.page.evaluate("session.send('Still here')")
    assert tab.page.evaluate("session.messages.map(({ parts }) => parts[0].text)") == ["Hello", "Still here"]
    assert tab.page.evaluate("states") == ["connecting", "connected"]
    tab.page.evaluate("holdfast.close()")
