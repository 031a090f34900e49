"""Publisher transports: a WebSocket, or HTTP requests where no WebSocket gets through. Both return answer frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

Frame = dict[str, Any]
Key = tuple[object, object, object]  # session, message, sequence

OPEN_S = 10.0  # until a connection is open and its greeting has arrived
ANSWER_S = 20.0  # until a frame is answered; afterwards the transport counts as lost
PING_S = 10.0
CLOSE_S = 1.0
REQUESTS = 16  # at once
POLL_MS = 15_000  # that a claim waits for news over HTTP; below ANSWER_S
PUSHED = ("run", "inbox", "expired", "stop")


class TransportLost(Exception):
    """The connection broke: frames that were sent may or may not have arrived."""


class PublisherTransport(Protocol):
    """An open connection to the site."""

    polls: bool
    """Whether a claim waits for news, and is then to be sent again."""

    async def publish(self, frame: Frame) -> Frame:
        """Send a batch; return the frame that answers it. Raises TransportLost."""

    async def ask(self, frame: Frame) -> Frame:
        """Send a worker's request, which has an `id`; return the frame that answers it. Raises TransportLost."""

    async def claim(self, frame: Frame) -> Frame:
        """Send a worker's claim; return the frame that answers it. Raises TransportLost."""

    async def beat(self, frame: Frame) -> None:
        """Send a beat. Raises TransportLost."""

    async def authenticate(self, token: str) -> None:
        """Continue with a fresh token. Raises TransportLost."""

    async def closed(self) -> Frame:
        """Wait until it is lost or closed by the site; return the site's error frame, empty if it sent none."""

    async def close(self) -> None:
        """Close it at once."""


class WebSocketTransport:
    """A WebSocket. Answers arrive in any order."""

    polls = False

    def __init__(self, socket: ClientConnection, told: Callable[[Frame], None]) -> None:
        self._socket = socket
        self._told = told
        self._waiting: dict[Key, asyncio.Future[Frame]] = {}
        self._reading = asyncio.create_task(self._read())
        self._error: Frame = {}

    @classmethod
    async def open(
        cls, url: str, token: str, told: Callable[[Frame], None] = lambda frame: None
    ) -> WebSocketTransport | Frame:
        """Return an open transport, or the site's error frame. Raises TransportLost.

        `told` is called with each frame that no request has asked for.
        """
        address = f"{url.replace('http', 'ws', 1)}/ws/"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with asyncio.timeout(OPEN_S):
                socket = await connect(
                    address, additional_headers=headers, compression=None, max_size=None,
                    ping_interval=PING_S, ping_timeout=PING_S, close_timeout=CLOSE_S,
                )  # fmt: skip
                greeting = orjson.loads(await socket.recv())
        except (OSError, EOFError, TimeoutError, WebSocketException) as error:
            raise TransportLost(str(error)) from error
        if greeting["type"] == "connected":
            return cls(socket, told)
        await socket.close()
        return dict(greeting)

    async def publish(self, frame: Frame) -> Frame:
        key = frame["session"], frame["message"], frame["sequence"]
        return await self._answered(key, {"type": "publish", **frame})

    async def claim(self, frame: Frame) -> Frame:
        return await self.ask(frame)

    async def ask(self, frame: Frame) -> Frame:
        return await self._answered((None, frame["id"], None), frame)

    async def _answered(self, key: Key, frame: Frame) -> Frame:
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        try:
            await self._send(frame)
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            await self.close()
            raise TransportLost("no answer") from None
        finally:
            self._waiting.pop(key, None)

    async def beat(self, frame: Frame) -> None:
        await self._send({"type": "beat", **frame})

    async def authenticate(self, token: str) -> None:
        await self._send({"type": "authenticate", "token": token})

    async def closed(self) -> Frame:
        await asyncio.wait([self._reading])
        return self._error

    async def close(self) -> None:
        self._reading.cancel()
        await self._socket.close()

    async def _send(self, frame: Frame) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._socket.send(orjson.dumps(frame).decode())
        except (OSError, TimeoutError, WebSocketException) as error:
            raise TransportLost(str(error)) from error

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                if not self._receive(orjson.loads(text)):
                    return
        except (OSError, EOFError, WebSocketException):
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(TransportLost("the connection was lost"))

    def _receive(self, frame: Frame) -> bool:
        """Pass an answer on. False if the transport can't be used any longer."""
        uid = frame.get("message" if frame["type"] == "published" else "id")
        answer = self._waiting.get((frame.get("session"), uid, frame.get("sequence"))) or self._waiting.get(
            (None, uid, None)
        )
        if answer is not None and not answer.done():
            answer.set_result(frame)
        elif frame["type"] in PUSHED:
            self._told(frame)
        elif frame["type"] == "error":  # about a beat, a token, or the close that follows
            self._error = frame
            return bool(frame["retryable"])
        return True


class HttpTransport:
    """HTTP, one request per batch."""

    polls = True

    def __init__(self, url: str, token: str, told: Callable[[Frame], None]) -> None:
        self._told = told
        timeout = httpx.Timeout(ANSWER_S, pool=None)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, limits=httpx.Limits(max_connections=REQUESTS))
        self._lost = asyncio.Event()
        self._error: Frame = {}
        self._header = f"Bearer {token}"

    @classmethod
    async def open(
        cls, url: str, token: str, beat: Frame, told: Callable[[Frame], None] = lambda frame: None
    ) -> HttpTransport | Frame:
        """Return a transport that has sent a beat, or the site's error frame. Raises TransportLost.

        `told` is called with each frame that comes with the answer to a claim.
        """
        transport = cls(url, token, told)
        try:
            error = await transport._post("/api/beat/", beat)
        except TransportLost:
            await transport.close()
            raise
        if error:
            await transport.close()
            return error
        return transport

    async def publish(self, frame: Frame) -> Frame:
        rest = {name: value for name, value in frame.items() if name != "session"}
        return await self._post(f"/api/sessions/{frame['session']}/publish/", rest)

    async def ask(self, frame: Frame) -> Frame:
        return await self._post("/api/work/", frame)

    async def claim(self, frame: Frame) -> Frame:
        body = {name: value for name, value in frame.items() if name != "type"}
        answer = await self._post("/api/work/claim/", {**body, "wait_ms": POLL_MS})
        if "frames" not in answer:
            return answer
        claimed, *news = answer["frames"]
        for told in news:
            self._told(told)
        return dict(claimed)

    async def beat(self, frame: Frame) -> None:
        error = await self._post("/api/beat/", frame)
        if error:
            self._error = error
            self._lost.set()

    async def authenticate(self, token: str) -> None:
        self._header = f"Bearer {token}"

    async def closed(self) -> Frame:
        await self._lost.wait()
        return self._error

    async def close(self) -> None:
        self._lost.set()
        await self._http.aclose()

    async def _post(self, path: str, body: Frame) -> Frame:
        """Return the answer as a frame, an error's without a type; empty if the answer has no body."""
        headers = {"Authorization": self._header, "Content-Type": "application/json"}
        try:
            answer = await self._http.post(path, content=orjson.dumps(body), headers=headers)
            frame: Frame = answer.json() if answer.content else {}
        except (httpx.HTTPError, RuntimeError, ValueError) as error:  # also a proxy's own error page
            self._lost.set()
            raise TransportLost(str(error)) from error
        if answer.is_success:
            return frame
        if "code" not in frame:
            self._lost.set()
            raise TransportLost(f"HTTP {answer.status_code}")
        return {"type": "error", **frame}
