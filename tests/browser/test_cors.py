"""A page of another origin, in a real browser: with a token it does all that a page of the site does."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support import tokens
from tests.support.harness import DEADLINE_S, StartServer

pytestmark = pytest.mark.browser

STATIC = Path(__file__).parents[2] / "static"

CLIENT = """async ([site, token, transport]) => {
  const { Holdfast } = await import("/holdfast/index.js");
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const created = await fetch(`${site}/api/sessions/`, { method: "POST", headers, body: '{"external_id": "chat-1"}' });
  const { id } = await created.json();
  const holdfast = new Holdfast({
    url: `${site.replace("http", "ws")}/ws/`, api: `${site}/api/`, token: () => token, storage: null,
    ...(transport === "websocket" ? {} : { WebSocket: null }),
  });
  const session = holdfast.session(id);
  holdfast.connect();
  await session.send("Hello");
  while (session.messages.length < 1) await new Promise((go) => session.addEventListener("change", go, { once: true }));
  const poll = await fetch(`${site}/api/sessions/${id}/poll/?wait_ms=0`, { headers });
  const found = [created.status, poll.status, holdfast.connection.transport, session.messages[0].parts[0].text];
  holdfast.close();
  return found;
}"""
REFUSAL = """async ([site, token, credentials]) => {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    const answer = await fetch(`${site}/api/sessions/`, { headers, credentials });
    return [answer.status, (await answer.json()).code ?? null];
  } catch (error) {
    return error.name;
  }
}"""


@contextmanager
def other_site() -> Iterator[str]:
    """Serve the client's files at another origin."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=STATIC))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_page_of_a_listed_origin_uses_every_transport(chromium: Browser, start_server: StartServer) -> None:
    keys = ",".join(f"{kid}:{key}" for kid, key in tokens.KEYS.items())
    with other_site() as listed, other_site() as unlisted:
        server = start_server(HOLDFAST_TOKEN_KEYS=keys, HOLDFAST_ORIGINS=listed)
        page = chromium.new_context().new_page()
        page.set_default_timeout(DEADLINE_S * 1000)
        page.goto(f"{listed}/holdfast/README.md")

        def ask(token: str, credentials: str = "same-origin") -> Any:
            return page.evaluate(REFUSAL, [server.url, token, credentials])

        for number, transport in enumerate(("stream", "websocket")):
            text = tokens.token(sub=f"ext:user-{number}")
            assert page.evaluate(CLIENT, [server.url, text, transport]) == [201, 200, transport, "Hello"]
        assert ask("x") == [401, "bad_token"]  # the page reads refusals
        assert ask("") == [401, "signed_out"]
        assert ask(tokens.token(), "include") == "TypeError"  # a browser gives nothing that came with cookies
        page.goto(f"{unlisted}/holdfast/README.md")
        assert ask(tokens.token()) == ask("x") == ask("") == "TypeError"
        page.context.close()
