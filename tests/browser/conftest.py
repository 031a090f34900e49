"""Fixtures for browser tests: one Chromium for all, a server per module, and a bad network in between."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests import services
from tests.browser.dictated_agent import DictatedAgent
from tests.browser.visitor import Visitor
from tests.support.harness import DEADLINE_S, Server, StartServer, migrated, start_server, start_shared_server
from tests.support.tcp_proxy import TcpProxy

__all__ = ["migrated", "start_server", "start_shared_server"]

Visit = Callable[..., Visitor]

QUICK = {
    "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
    # Without Redis a server finds what other processes write by looking: more often than once a second here.
    "HOLDFAST_TAIL_POLL_MS": "100",
}

expect.set_options(timeout=DEADLINE_S * 1000)


# Not for the whole run: while Playwright is there, it has an event loop in the thread of all tests.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    program = services.require("chromium")
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers don't give.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, start_shared_server: StartServer) -> Server:
    """The module's server, with the environment that its `SERVER` says."""
    return start_shared_server(**QUICK | getattr(request.module, "SERVER", {}))


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[DictatedAgent]:
    """An agent that writes what the test dictates."""
    with DictatedAgent(server) as agent:
        yield agent


@pytest.fixture
def network(server: Server) -> Iterator[TcpProxy]:
    """The proxy that every page of the test goes through."""
    with TcpProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def visit(chromium: Browser, server: Server, network: TcpProxy) -> Iterator[Visit]:
    """Open a browser as a new guest; `visit(color_scheme="dark")`: options of the context.

    At the end of the test none of their pages may have failed, or have wanted what it may not.
    """
    with ExitStack() as stack:

        def begin(**options: Any) -> Visitor:
            context = chromium.new_context(base_url=f"http://127.0.0.1:{network.port}", **options)
            stack.callback(context.close)
            visitors.append(Visitor(context, server, network))
            return visitors[-1]

        visitors: list[Visitor] = []
        yield begin
        for visitor in visitors:
            visitor.check()


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    return visit()
