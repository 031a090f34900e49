"""Transports in the page: with a WebSocket, stream or poll that fails, the text is the same, seamlessly."""

import random
from collections.abc import Callable

import pytest
from playwright.sync_api import Request, expect

from tests.browser.conftest import Visit
from tests.browser.dictated_agent import FINISH, START, DictatedAgent, begin, delta, end
from tests.browser.test_bad_networks import StreamedAnswer
from tests.browser.visitor import Tab, Visitor

pytestmark = pytest.mark.browser

# Streams end after two seconds: their renewal must not show in any test.
SERVER = {"HOLDFAST_CONNECTIONS_PER_OWNER": "1000", "HOLDFAST_STREAM_MS": "2000"}

TRANSPORTS = ["websocket", "stream", "poll"]

# Breaks transports below everything that Holdfast sees: `refused` and `held` count for new ones, `freeze` and `cut` are
# for those that are open. A refused socket asks for an address where the server refuses the upgrade.
BREAKER = """
  const refused = new Set(), held = new Set(), open = new Set();
  const never = new Promise(() => {});
  const RealSocket = WebSocket, realFetch = fetch;
  class TransportManager {
    frozen = false;
    constructor(cut) {
      this.cut = cut;
      open.add(this);
    }
  }
  window.WebSocket = class extends RealSocket {
    constructor(url) {
      super(refused.has("websocket") ? "/refused/" : url);
      this.link = new TransportManager(() => this.close());
      const swallow = (event) => this.link.frozen && event.stopImmediatePropagation();
      for (const type of ["message", "close"]) this.addEventListener(type, swallow);
    }
    send(text) {
      if (!this.link.frozen) super.send(text);
    }
  };
  window.fetch = async (url, options) => {
    const name = String(url).match(/\\/api\\/(stream|poll)\\//)?.[1];
    if (!name) return realFetch(url, options);
    if (refused.has(name)) throw new TypeError("Failed to fetch");
    const cut = new AbortController();
    const link = new TransportManager(() => cut.abort());
    const response = await realFetch(url, { ...options, signal: AbortSignal.any([cut.signal, options.signal]) });
    if (held.has(name) || link.frozen) return never;
    const pass = (chunk, out) => (link.frozen ? never : out.enqueue(chunk));
    return new Response(response.body.pipeThrough(new TransformStream({ transform: pass })), response);
  };
  window.breaker = {
    refused,
    held,
    cut: () => open.forEach((link) => open.delete(link) && link.cut()),
    freeze: () => open.forEach((link) => (link.frozen = true)),
  };
"""

# When an answer first said something, and every transport that carried it; ms since the navigation began.
OBSERVER = """
  window.observed = { spoken: null, transports: [] };
  new MutationObserver(() => {
    const { transport } = document.body?.dataset ?? {};
    if (transport && transport !== observed.transports.at(-1)) observed.transports.push(transport);
    const answer = document.querySelector("[data-role=assistant] .message-body");
    if (answer?.textContent) observed.spoken ??= performance.now();
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    visitor = visit()
    visitor.context.add_init_script(BREAKER)
    visitor.context.add_init_script(OBSERVER)
    return visitor


Only = Callable[[str], Visitor]


@pytest.fixture
def limit_transport(visitor: Visitor) -> Only:
    """Limit a visitor's next pages to one transport, and worse ones."""

    def limit(transport: str) -> Visitor:
        better = TRANSPORTS[: TRANSPORTS.index(transport)]
        visitor.context.add_init_script(f"for (const name of {better}) window.breaker.refused.add(name)")
        return visitor

    return limit


def wait_transport(tab: Tab, transport: str) -> None:
    expect(tab.page.locator("body")).to_have_attribute("data-transport", transport)


def spoken_after_load_ms(tab: Tab) -> float:
    """Return the ms from a page's load until an answer first said something."""
    milliseconds: float = tab.page.evaluate(
        "observed.spoken - performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    return milliseconds


def shown_states(tab: Tab) -> set[str]:
    """Return every state of the page once connected, with every word and sentence shown for it."""
    recorded = tab.recorded()
    connected = next(index for index, entry in enumerate(recorded) if entry["state"] == "connected")
    return {entry[field] for entry in recorded[connected:] for field in ("state", "word", "strip")} - {""}


CALM = {"connected", "Connected"}
ALARM = {"suspended", "failed", "Offline", "Not connected"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_conversation_over_each_transport(limit_transport: Only, agent: DictatedAgent, transport: str) -> None:
    tab = limit_transport(transport).open_unanswered()
    wait_transport(tab, transport)
    for turn in range(1, 4):
        tab.say(f"Question {turn}")
        expect(tab.questions).to_have_count(turn)
        expect(tab.questions.last).to_contain_text("Sent")
        agent.say(tab.session, START, begin())
        for word in ("Word ", "by ", "word."):
            agent.say(tab.session, delta(word))
        agent.say(tab.session, end(), FINISH)
        tab.wait_ended(answers=turn)
    assert shown_states(tab) <= CALM
    tab.check_against_store()
    tab.check_against_fresh()


def test_with_a_refused_upgrade_streaming_delivers_the_first_token_as_the_page_loads(
    limit_transport: Only, agent: DictatedAgent, record_property: Callable[[str, object], None]
) -> None:
    visitor = limit_transport("stream")
    session = visitor.new_session()
    agent.say(session, START, begin(), delta("The first token"))
    spoken: list[float] = []
    while len(spoken) < 3 and min(spoken, default=5_000) >= 5_000:  # any one may meet a machine that stands still
        tab = visitor.open(f"/s/{session}/")
        expect(tab.answers).to_contain_text("The first token")
        wait_transport(tab, "stream")
        spoken.append(tab.page.evaluate("observed.spoken"))
    record_property("first_token_ms", min(spoken))
    assert min(spoken) < 5_000  # 150 ms on an idle machine; an upgrade that times out takes longer


def test_a_buffered_stream_becomes_a_long_poll_within_five_seconds(limit_transport: Only, agent: DictatedAgent) -> None:
    visitor = limit_transport("stream")
    visitor.context.add_init_script("window.breaker.held.add('stream')")
    session = visitor.new_session()
    agent.say(session, START, begin(), delta("The first token"))
    tab = visitor.open(f"/s/{session}/")
    expect(tab.answers).to_contain_text("The first token")
    wait_transport(tab, "poll")
    assert 4_000 <= tab.page.evaluate("observed.spoken")
    assert spoken_after_load_ms(tab) < 20_000  # all but the last second or two of it is the wait
    assert "disconnected" not in {entry["state"] for entry in tab.recorded()}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_dead_link_is_replaced_as_soon_as_the_page_is_visible(
    limit_transport: Only, agent: DictatedAgent, transport: str
) -> None:
    streamed = StreamedAnswer(limit_transport(transport), agent)
    streamed.write(3)
    streamed.is_shown()
    wait_transport(streamed.tab, transport)
    streamed.tab.page.evaluate("window.breaker.freeze()")
    streamed.write(3)
    streamed.tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(streamed.tab.answers.last).to_contain_text(streamed.words[-1], timeout=20_000)  # 35 s if it were not seen
    assert not ALARM & shown_states(streamed.tab)
    streamed.end()


def caught_up(tab: Tab) -> str:
    """The one sentence that tells what a return has brought, if there is one."""
    sentences = {entry["strip"] for entry in tab.recorded() if entry["strip"].startswith("Caught up")}
    assert len(sentences) <= 1, sentences
    return next(iter(sentences), "")


# Cuts what there is and refuses some transports. It tries again at once, without the pauses after one loss on another.
CHANGE = """async (wanted) => {
  breaker.refused.clear();
  for (const name of ["websocket", "stream", "poll"]) if (name !== wanted) breaker.refused.add(name);
  breaker.cut();
  const { dataset } = document.body;
  while (dataset.connection === "connected" && dataset.transport !== wanted) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  window.dispatchEvent(new Event("online"));
}"""


def test_the_page_returns_to_a_socket_seamlessly_mid_answer(limit_transport: Only, agent: DictatedAgent) -> None:
    streamed = StreamedAnswer(limit_transport("stream"), agent)
    streamed.write(3)
    streamed.is_shown()
    tab = streamed.tab
    wait_transport(tab, "stream")
    tab.page.evaluate("window.breaker.refused.clear()")
    tab.page.evaluate("window.dispatchEvent(new Event('online'))")  # or after ten seconds
    while tab.page.evaluate("observed.transports.at(-1)") != "websocket":
        streamed.write()
    streamed.end()
    assert tab.page.evaluate("observed.transports") == ["stream", "websocket"]
    assert shown_states(tab) <= CALM


@pytest.mark.parametrize("changes", [10, pytest.param(100, marks=pytest.mark.long)])
def test_transport_changes_during_an_answer_leave_its_text_exact(
    visitor: Visitor, agent: DictatedAgent, changes: int
) -> None:
    chance = random.Random(changes)
    streamed = StreamedAnswer(visitor, agent)
    streamed.write()
    tab = streamed.tab
    now = "websocket"
    wait_transport(tab, now)
    for _ in range(changes):
        now = chance.choice([name for name in TRANSPORTS if name != now])
        tab.page.evaluate(CHANGE, now)
        streamed.write()
        wait_transport(tab, now)
    streamed.end()
    assert len(tab.page.evaluate("observed.transports")) > changes
    assert not ALARM & shown_states(tab)


# What the page sees when its tab or phone is put away and taken out again.
SHOW = """(shown) => {
  Object.defineProperty(document, "hidden", { value: !shown, configurable: true });
  if (shown) document.dispatchEvent(new Event("resume"));
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_after_ten_frozen_minutes_everything_appears_at_once_without_flicker(
    visitor: Visitor, agent: DictatedAgent
) -> None:
    streamed = StreamedAnswer(visitor, agent)
    streamed.write(3)
    streamed.is_shown()
    tab = streamed.tab
    tab.page.clock.install()
    tab.reload()
    streamed.is_shown()
    tab.page.evaluate(SHOW, False)
    tab.page.evaluate("window.breaker.freeze()")  # a phone's socket dies without a word
    streamed.write(50)
    tab.page.clock.fast_forward("10:00")  # what is due fires late, once
    tab.page.evaluate(SHOW, True)
    streamed.is_shown()
    tab.wait_until(lambda: bool(caught_up(tab)), "it doesn't say what the return has brought")
    streamed.end()
    assert not ALARM & shown_states(tab)


def test_a_hidden_page_gives_up_its_connection(limit_transport: Only, agent: DictatedAgent) -> None:
    streamed = StreamedAnswer(limit_transport("stream"), agent)
    tab = streamed.tab
    tab.page.clock.install()
    tab.reload()
    streamed.write()
    streamed.is_shown()
    under_way: set[Request] = set()

    def asks_for(path: str) -> bool:
        tab.page.title()  # what has happened is told meanwhile
        return any(path in request.url for request in under_way)

    tab.page.on("request", lambda request: under_way.add(request))
    tab.page.on("requestfinished", lambda request: under_way.discard(request))
    tab.page.on("requestfailed", lambda request: under_way.discard(request))

    tab.page.evaluate(SHOW, False)
    tab.page.clock.run_for(31_000)
    tab.wait_until(lambda: not asks_for("/api/"), "a request stays open")
    streamed.write()
    tab.page.clock.run_for(16_000)
    streamed.is_shown()  # late, and without waiting for more
    tab.wait_until(lambda: not asks_for("/api/"), "a request stays open")

    tab.page.evaluate(SHOW, True)
    streamed.write()
    streamed.is_shown()
    tab.wait_until(lambda: asks_for("/api/stream/"), "it isn't back")
    assert shown_states(tab) <= CALM | {caught_up(tab)}
    streamed.end()
