"""One conversation with a vendor's client: every step of it, with a cut in each answer's stream."""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import httpx

from tests.compat.agent import Order
from tests.compat.clients import Clients
from tests.compat.compare import is_clients
from tests.compat.reader import DEADLINE_S, Message, Reader
from tests.compat.words import value, words
from tests.support.harness import Server, guest
from tests.support.tcp_proxy import TcpProxy

STREAMS = ("submit", "decide", "client tool", "regenerate")  # steps with a cut
HANDSHAKE_BYTES = 300  # of a new WebSocket, at most: a message that isn't sent yet has no answer to cut
SETTLED = ("output-available", "output-error", "output-denied")
RELOADS = ("what it held", "the history", "nothing")

_names = count()


@dataclass
class Figures:
    """Counts of runs. `bytes`: that each step's stream had, at least."""

    cuts: int = 0
    missed: int = 0  # cut points beyond the stream's end
    steps: int = 0
    comparisons: int = 0
    loads: int = 0  # histories loaded, since the answer had ended before its client was back
    bytes: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Figures") -> None:
        for name in ("cuts", "missed", "steps", "comparisons", "loads"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Lane:
    """A way to a server for one conversation at a time: a person, and a network of their own that cuts."""

    def __init__(self, server: Server, clients: Clients, proxy: TcpProxy) -> None:
        self.clients = clients
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"
        headers = guest(server)
        headers["X-CSRFToken"] = headers["Cookie"].partition("csrftoken=")[2].partition(";")[0]
        self.headers = headers | {"Origin": self.url}
        # What is stored is asked for past the proxy. Without TLS, whose authorities take 20 ms to read.
        self.http = httpx.AsyncClient(base_url=f"{server.url}/api", headers=headers, timeout=DEADLINE_S, verify=False)


class Conversation:
    """A session with the runs' agent, and its readers.

    `lengths`: of each step's stream, in bytes, for which its cut point is drawn; a step without one isn't cut.
    """

    def __init__(self, lane: Lane, wire: str, seed: str, lengths: dict[str, int]) -> None:
        self.figures = Figures()
        self._lane = lane
        self._wire = wire
        self._random = Random(f"{seed} {wire}")
        self._lengths = lengths
        together = self._random.random() < 0.3 and lengths != {}  # one without has every stream
        self._order = Order(self._random.randrange(2**31), together=together)
        self._reload = self._random.choice(RELOADS)

    async def run(self) -> Figures:
        """Play all steps. Raises Differs."""
        created = await self._lane.http.post("/sessions/", json={"agent": "compat"})
        self._session = created.raise_for_status().json()["id"]
        self._reader, self._second = self._new_reader("first"), self._new_reader("second", follows=True)
        await self._open(self._reader, [])
        try:
            await self._submit()
            await self._reload_it()
            await self._decide()
            if not self._order.together:
                await self._locate()
            await self._stop()
            await self._regenerate()
        finally:
            self._lane.proxy.cut_after_bytes(0)
            self.figures.loads += self._reader.loads
            await asyncio.gather(self._reader.call("close"), self._second.call("close"), return_exceptions=True)
        return self.figures

    # Steps

    async def _submit(self) -> None:
        began = self._arm("submit")
        await self._reader.act("submit", text=self._order.text)
        await self._reader.wait_for_text(2)
        await self._open(self._second, await self._history())
        await self._second.catch_up()
        await self._compare(approvals=2, clients=self._order.together)
        self._measure("submit", began)
        self._step()

    async def _reload_it(self) -> None:
        """Open a new client instance while the answer waits, with what the first held, the history or nothing."""
        held = await self._reader.state()
        stored = await self._history()
        await self._reader.call("close")
        self._reader = self._new_reader(f"reloaded with {self._reload}")
        known = {"what it held": held.get("held", held["messages"]), "the history": stored, "nothing": []}
        await self._open(self._reader, known[self._reload] if self._reader.is_chat else [])
        self._reader.has_history = not self._reader.is_chat or self._reload != "nothing"
        await self._reader.catch_up()
        await self._compare(approvals=2, clients=self._order.together)
        if not self._reader.has_history:
            await self._reader.load(stored)
        self._step()

    async def _decide(self) -> None:
        """Approve one call and deny the other; with `together`, the client's tool has its output in the same step."""
        asking = [part for part in (await self._history())[-1]["parts"] if part.get("state") == "approval-requested"]
        approvals = [
            {"id": part["approval"]["id"], "call": part["toolCallId"], "approved": part["input"]["order"] == 0}
            for part in asking
        ]
        for each in approvals:
            if not each["approved"] or self._random.random() < 0.5:
                each["reason"] = words(self._random, 4)
        results = [await self._result()] if self._order.together else []
        began = self._arm("decide")
        await self._reader.act("decide", approvals=approvals, results=results)
        await self._compare(clients=not self._order.together, ended=self._order.together)
        self._measure("decide", began)
        self._step()

    async def _locate(self) -> None:
        result = await self._result()
        began = self._arm("client tool")
        await self._reader.act("decide", approvals=[], results=[result])
        await self._compare(ended=True)
        self._measure("client tool", began)
        self._step()

    async def _stop(self) -> None:
        asked = len(await self._history())
        await self._reader.act("submit", text=self._order._replace(endless=True).text)
        await self._reader.wait_for_text(asked + 2)
        await self._reader.call("stop")
        await self._compare(ended=True)
        self._step()

    async def _regenerate(self) -> None:
        began = self._arm("regenerate")
        await self._reader.act("regenerate")
        await self._compare(ended=True)
        self._measure("regenerate", began)
        self._step()

    # How

    async def _result(self) -> dict[str, Any]:
        """Return the outcome of the client's tool: an output or an error."""
        parts = (await self._history())[-1]["parts"]
        call = next(part for part in parts if part["type"] == "tool-locate")
        outcome = (
            {"errorText": words(self._random, 4)} if self._random.random() < 0.3 else {"output": value(self._random)}
        )
        return {"tool": "locate", "toolCallId": call["toolCallId"], **outcome}

    def _new_reader(self, name: str, *, follows: bool = False) -> Reader:
        unique = f"{self._wire} {next(_names)} {name}"
        return Reader(self._lane.clients, unique, self._wire, self._history, follows=follows)

    async def _open(self, reader: Reader, messages: list[Message]) -> None:
        await reader.open(url=self._lane.url, headers=self._lane.headers, session=self._session, messages=messages)

    async def _history(self) -> list[Message]:
        answer = await self._lane.http.get(f"/sessions/{self._session}/messages/", params={"order": "oldest"})
        return list(answer.raise_for_status().json()["results"])

    def _arm(self, step: str) -> int:
        """Draw the byte of the step's stream at which all is cut."""
        length = self._lengths.get(step, 0)
        drawn = self._random.randint(HANDSHAKE_BYTES, max(length, HANDSHAKE_BYTES))
        self._lane.proxy.cut_after_bytes(drawn if length else 0)
        return self._lane.proxy.came_down

    def _measure(self, step: str, began: int) -> None:
        self.figures.bytes[step] = self._lane.proxy.came_down - began
        if step in self._lengths:
            missed = self._lane.proxy.will_cut
            self.figures.missed += missed
            self.figures.cuts += not missed
            self._lane.proxy.cut_after_bytes(0)

    async def _compare(self, *, approvals: int = 0, clients: int = 0, ended: bool = False) -> None:
        """Wait until the session rests so, and each reader has what is stored."""

        def rests(messages: list[Message]) -> bool:
            return is_at_rest(messages, approvals, clients, ended)

        await asyncio.gather(self._reader.settle(rests), self._second.settle(rests))
        self.figures.comparisons += 2

    def _step(self) -> None:
        self.figures.steps += 1


def is_at_rest(messages: list[Message], approvals: int, clients: int, ended: bool) -> bool:
    """Return whether the newest answer has ended, or waits for just so many approvals and client's tools."""
    if not messages:
        return False
    answer = messages[-1]
    if answer["role"] != "assistant" or ended != (answer["status"] != "streaming"):
        return False
    if ended:
        return True
    calls = [part for part in answer["parts"] if "toolCallId" in part]
    open_calls = [part for part in calls if part["state"] not in SETTLED or part.get("preliminary")]
    asking = [part for part in open_calls if part["state"] == "approval-requested"]
    of_client = [part for part in open_calls if is_clients(part)]
    return (len(asking), len(of_client), len(open_calls)) == (approvals, int(clients), approvals + int(clients))
