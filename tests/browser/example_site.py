"""The pages of docs/examples, built by Vite from the client's tarball, at another origin than their server's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests import services
from tests.browser.conftest import QUICK
from tests.support import tokens
from tests.support.harness import DEADLINE_S, ROOT, Server, StartServer, wait_for
from tests.support.tcp_proxy import TcpProxy

EXAMPLES = ROOT / "docs" / "examples"
PACKAGES = EXAMPLES / "node_modules"
CLIENT = ROOT / "static" / "holdfast"
CLIENT_PACKAGE = "holdfast-client"
USER = "ext:you"  # whom shared/signing-endpoint.ts gives tokens for
BUILD_S = 120

# Each message's role, and the texts of its parts as they stand in the document.
SHOWN = """() => [...document.querySelectorAll("article")].map((message) => [
  message.dataset.role, ...[...message.querySelectorAll("[data-part]")].map((part) => part.textContent)
])"""


class ExampleSite:
    """`url`: the pages' origin. `network`: what lies between them and the server."""

    def __init__(self, server: Server, network: TcpProxy, port: int) -> None:
        self.server = server
        self.network = network
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def example_site(start: StartServer, place: Path, **environment: str) -> Iterator[ExampleSite]:
    """Start a server, build the pages for it, and serve them as `npm run preview` does."""
    port = services.free_port()
    keys = ",".join(f"{kid}:{key}" for kid, key in tokens.KEYS.items())
    settings = {"HOLDFAST_TOKEN_KEYS": keys, "HOLDFAST_ORIGINS": f"http://127.0.0.1:{port}"}
    server = start(**QUICK | environment | settings)
    project = consumer_project(place)
    with TcpProxy(server.port) as network:
        how: dict[str, Any] = {"cwd": project, "env": os.environ | settings}
        how["env"]["VITE_HOLDFAST"] = f"http://127.0.0.1:{network.port}"
        vite = [services.require("node"), "node_modules/vite/bin/vite.js"]
        subprocess.run([*vite, "build", "--logLevel", "warn"], check=True, timeout=BUILD_S, **how)
        preview = subprocess.Popen(
            [*vite, "preview", "--host", "127.0.0.1", "--port", str(port), "--strictPort"], **how
        )
        try:
            services.wait_for_port(port, preview)
            yield ExampleSite(server, network, port)
        finally:
            preview.terminate()
            preview.wait()


def consumer_project(place: Path) -> Path:
    """Copy the examples, with their packages, and the client as `npm pack` makes it now."""
    services.require_package("vite", PACKAGES)
    project = place / "examples"
    shutil.copytree(EXAMPLES, project, ignore=shutil.ignore_patterns("node_modules", "dist", ".env*"))
    modules = project / "node_modules"
    modules.mkdir()
    for package in PACKAGES.iterdir():
        if package.name != CLIENT_PACKAGE:
            (modules / package.name).symlink_to(package)
    pack = ["npm", "pack", "--silent", "--pack-destination", str(place)]
    tarball = subprocess.run(pack, cwd=CLIENT, check=True, capture_output=True, text=True).stdout.strip()
    shutil.unpack_archive(place / tarball, place / "tarball", "gztar", filter="data")
    (place / "tarball" / "package").rename(modules / CLIENT_PACKAGE)
    return project


class Reader:
    """A browser that has one of the examples open, in any number of tabs."""

    def __init__(self, browser: Browser, site: ExampleSite, name: str) -> None:
        self.site = site
        self.gate = f"gate-{uuid4().hex}"
        self.context: BrowserContext = browser.new_context(base_url=site.url)
        self.context.set_default_timeout(DEADLINE_S * 1000)
        self.problems: list[str] = []
        self.context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        self.tabs = [ExampleTab(self, f"/{name}/")]

    @property
    def first(self) -> ExampleTab:
        return self.tabs[0]

    def second(self) -> ExampleTab:
        """Open the same conversation in another tab."""
        self.tabs.append(ExampleTab(self, self.first.page.url))
        return self.tabs[-1]

    def open_gate(self, number: int) -> None:
        """Let the scripted agent go on from `until GATE-NUMBER`."""
        (self.site.server.place / f"{self.gate}-{number}").touch()

    def go_offline(self) -> None:
        """Take the network away; first the server's, which the browser asks at once when it is told."""
        self.site.network.freeze()
        self.context.set_offline(True)

    def come_back(self) -> None:
        self.site.network.cut()
        self.site.network.thaw()
        self.context.set_offline(False)

    @property
    def session(self) -> str:
        """The id of the conversation's session; the page's address has it, or the chat's."""
        (name, id), *_ = re.findall(r"[?&](chat|session)=([\w-]+)", self.first.page.url)
        if name == "session":
            return str(id)
        session: str = self.get(f"sessions/?external_id={id}")[0]["id"]
        return session

    def get(self, path: str) -> list[dict[str, Any]]:
        """Return the results of a list of the API's, past the bad network."""
        # As the pages' user, or by the cookies of a guest.
        headers = {} if "eventsource" in self.first.page.url else tokens.bearer(tokens.token(sub=USER))
        answer = self.context.request.get(f"{self.site.server.url}/api/{path}", headers=headers)
        assert answer.ok, answer.text()
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def stored(self) -> list[dict[str, Any]]:
        """The conversation's messages as GET …/messages/ has them, the oldest first."""
        return self.get(f"sessions/{self.session}/messages/?order=oldest&limit=200")

    def wait_stored(self, text: str) -> None:
        wait_for(lambda: text in str(self.stored()[-1]["parts"]), DEADLINE_S, lambda: f"{text!r} isn't stored")

    def wait_ended(self, status: str = "complete") -> None:
        """Wait until the newest answer has ended with this status."""
        wait_for(lambda: self.stored()[-1]["status"] == status, DEADLINE_S, lambda: f"{self.stored()[-1]}")

    def check(self, *kinds: str) -> None:
        """Check that every tab shows the stored texts, to the letter, and nothing else. `kinds`: of parts."""
        for tab in self.tabs:
            tab.wait_shown(texts(self.stored(), kinds or ("text", "reasoning")))
        assert not self.problems


def texts(messages: list[dict[str, Any]], kinds: tuple[str, ...]) -> list[list[str]]:
    """Return each message's role and the texts of its parts of these kinds."""
    return [
        [message["role"], *(part["text"] for part in message["parts"] if part["type"] in kinds)] for message in messages
    ]


class ExampleTab:
    """A tab with an example, by what a person does and sees."""

    def __init__(self, reader: Reader, path: str) -> None:
        self.page: Page = reader.context.new_page()
        self.page.goto(path)
        self.field = self.page.get_by_label("Message")
        self.answer = self.page.locator("article[data-role=assistant]").last
        self.state = self.page.get_by_role("status")

    def say(self, text: str) -> None:
        self.field.fill(text)
        self.field.press("Enter")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def wait_says(self, text: str) -> None:
        """Wait until the newest answer has this text."""
        expect(self.answer).to_contain_text(text)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, DEADLINE_S, lambda: f"shown {self.shown()}")

    def shown(self) -> list[list[str]]:
        shown: list[list[str]] = self.page.evaluate(SHOWN)
        return shown

    def wait_shown(self, expected: list[list[str]]) -> None:
        wait_for(lambda: self.shown() == expected, DEADLINE_S, lambda: f"shown {self.shown()}, stored {expected}")
