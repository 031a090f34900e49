"""A page's requests to the HTTP transports, without a server, and helpers to read the responses."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core import signing
from django.test import AsyncClient

from sessions_app import process
from sessions_app.core.attachment import State
from sessions_app.core.errors import ERRORS
from sessions_app.database import threads
from sessions_app.http.errors import HTTP_ERRORS
from tests.support.stored import a_session
from tests.support.writer import delta, finish, start, text_start

OWNER = f"guest:{'0' * 32}"
GUEST = signing.TimestampSigner(salt="holdfast.guest").sign("0" * 32)
TOKEN = "t" * 32
QUICK = {"POLL_MS": 200, "POLL_GATHER_MS": 10, "TAIL_POLL_MS": 50}


@pytest.fixture(autouse=True)
async def running(monkeypatch: pytest.MonkeyPatch, settings: Any) -> AsyncIterator[process.Process]:
    """The process that the views find, in this test's event loop."""
    settings.HOLDFAST = settings.HOLDFAST | QUICK
    monkeypatch.setattr(process, "_current", None)
    monkeypatch.setattr(process, "_starting", None)
    yield await process.current()
    await process.stop(0)


@pytest.fixture
def limit(settings: Any) -> Any:
    def set_(**values: int) -> None:
        settings.HOLDFAST = settings.HOLDFAST | values

    return set_


class Browser:
    """A guest's page, with its cookies and token."""

    def __init__(self, *, guest: str = GUEST, token: str = TOKEN) -> None:
        self.client = AsyncClient(enforce_csrf_checks=True)
        if guest:
            self.client.cookies["holdfast_guest"] = guest
        self.client.cookies["csrftoken"] = TOKEN
        self.headers = {"X-CSRFToken": token} if token else {}

    async def get(self, path: str, **headers: str) -> Any:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, body: Any, **headers: str) -> Any:
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        type_ = headers.pop("type", "application/json")
        return await self.client.post(path, data, content_type=type_, headers=self.headers | headers)


class Events:
    """The events of a stream, as they arrive."""

    def __init__(self, response: Any) -> None:
        assert response.status_code == 200, response.content
        self._body = response._body
        self._rest = ""

    async def next(self) -> dict[str, str]:
        """The next event with data; raises StopAsyncIteration at the end."""
        while True:
            block, end, rest = self._rest.partition("\n\n")
            if not end:
                self._rest += (await asyncio.wait_for(anext(self._body), 10)).decode()
                continue
            self._rest = rest
            event = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in event:
                return event

    async def frame(self) -> Any:
        return json.loads((await self.next())["data"])

    async def close(self) -> None:
        await self._body.aclose()


async def new_session(owner: str = OWNER, **fields: Any) -> str:
    return (await threads.run(lambda: a_session(owner, **fields))).pk


async def publish_answer(here: process.Process, session: str, text: str) -> None:
    response = here.writers.unprompted(session, agent="test")
    for chunk in (start(response.uid), text_start(), delta(text), finish()):
        await response.write(chunk)
    await response.flush()


async def until_live(here: process.Process) -> None:
    """Wait until a connection follows a session and has all of it."""
    async with asyncio.timeout(10):
        while not any(
            following.attachment.state is State.LIVE
            for connection in here.connections
            for following in connection._followed.values()
        ):
            await asyncio.sleep(0.01)


def message_signal(id: str, text: str = "Hello") -> dict[str, Any]:
    return {"id": id, "kind": "message", "payload": {"parts": [{"type": "text", "text": text}]}}


def refusal_of(response: Any) -> tuple[int, str]:
    """Return the status and the code of a refusal, after checking that its body has the API's form."""
    body = response.json()
    assert body.keys() == {"code", "message", "retryable"}, body
    kind = ERRORS.get(body["code"]) or HTTP_ERRORS[body["code"]]
    assert (kind.status, kind.retryable) == (response.status_code, body["retryable"])
    return response.status_code, body["code"]
