"""The WebSocket's access checks: a refused client gets its error after the handshake, and a close."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core import signing
from django.db import OperationalError

from sessions_app import process
from sessions_app.auth import identity
from sessions_app.transports.websocket import SessionConsumer
from tests.support.harness import DEADLINE_S

pytestmark = pytest.mark.django_db(transaction=True)

GUEST = f"holdfast_guest={signing.TimestampSigner(salt='holdfast.guest').sign('0' * 32)}"
OURS = "http://localhost:8000"


@pytest.fixture(autouse=True)
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The process that the consumer makes for itself, in this test's event loop."""
    monkeypatch.setattr(process, "_current", None)
    monkeypatch.setattr(process, "_starting", None)
    yield
    await process.stop(0)


class Socket:
    """The server's messages to one socket."""

    def __init__(self, *, origin: str | None = OURS, cookie: str = GUEST) -> None:
        headers = [(b"host", b"localhost:8000"), (b"cookie", cookie.encode("latin1"))]
        if origin is not None:
            headers.append((b"origin", origin.encode("latin1")))
        self.scope = {"type": "websocket", "path": "/ws/", "headers": headers}
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.came = asyncio.Event()

    async def open(self) -> "Socket":
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(SessionConsumer()(self.scope, self.inbox.get, self._send))
        while len(self.sent) < 2:  # accepted, and something said
            await asyncio.wait_for(self.came.wait(), DEADLINE_S)
            self.came.clear()
        return self

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self.came.set()

    async def close(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, DEADLINE_S)

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]

    @property
    def codes(self) -> list[int]:
        return [message["code"] for message in self.sent if message["type"] == "websocket.close"]


async def refused(socket: Socket) -> tuple[str, list[int]]:
    await socket.open()
    await asyncio.wait_for(socket.task, DEADLINE_S)
    assert socket.sent[0]["type"] == "websocket.accept"
    [error] = socket.said
    return error["code"], socket.codes


async def test_a_guest_is_admitted() -> None:
    socket = await Socket().open()
    assert socket.said[0]["type"] == "connected"
    await socket.close()
    assert socket.codes == []


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "http://evil.example", "http://[::1", "http://localhost.evil.example",
     "https://localhost:8000", "http://localhost", "http://localhost:8001", "http://127.0.0.1:8000"],
)  # fmt: skip
async def test_another_origin_is_refused(origin: str | None) -> None:
    assert await refused(Socket(origin=origin)) == ("forbidden_origin", [4403])


@pytest.mark.parametrize(
    "cookie",
    ["", "holdfast_guest=nonsense", f"{GUEST}x", "sessionid=nonsense"],
    ids=["none", "nonsense", "forged", "no-login"],
)
async def test_an_unauthenticated_client_is_refused(cookie: str) -> None:
    assert await refused(Socket(cookie=cookie)) == ("signed_out", [4401])


async def test_a_connection_beyond_the_limit_is_refused(settings: Any) -> None:
    settings.HOLDFAST = settings.HOLDFAST | {"CONNECTIONS_PER_OWNER": 1}
    first = await Socket().open()
    assert await refused(Socket()) == ("too_many_connections", [4429])
    await first.close()
    second = await Socket().open()
    assert second.said[0]["type"] == "connected"
    await second.close()


async def test_without_the_database_connections_are_refused_and_may_be_retried(monkeypatch: Any) -> None:
    def fails(visitors: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(identity, "identify_all", fails)
    assert await refused(Socket(cookie="sessionid=" + "a" * 32)) == ("storage_unavailable", [4503])


async def test_a_closed_socket_leaves_nothing_behind() -> None:
    socket = await Socket().open()
    here = await process.current()
    assert len(here.connections) == 1
    await socket.close()
    assert (len(here.connections), here.connections._per_owner) == (0, {})
