"""How a publisher reaches its site: a WebSocket, and HTTP requests where none gets through. Both answer frames."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

Frame = dict[str, Any]
Key = tuple[Any, ...]

OPEN_S = 10.0  # for a connection to be opened and greeted
ANSWER_S = 20.0  # for a frame to be answered; afterwards the link counts as lost
PING_S = 10.0
CLOSE_S = 1.0
REQUESTS = 16  # at once


class LinkLost(Exception):
    """What was sent may or may not have arrived."""


class Link(Protocol):
    """An open way to the site."""

    async def publish(self, frame: Frame) -> Frame:
        """Send a batch; return the frame that answers it. Raises LinkLost."""

    async def beat(self, frame: Frame) -> None:
        """Send a beat. Raises LinkLost."""

    async def authenticate(self, token: str) -> None:
        """Go on by a fresh token. Raises LinkLost."""

    async def closed(self) -> Frame:
        """Wait until it is lost or closed by the site; return the error that said why, empty if none did."""

    async def close(self) -> None: ...


class SocketLink:
    """A WebSocket; answers come in any order."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: dict[Key, asyncio.Future[Frame]] = {}
        self._reading = asyncio.create_task(self._read())
        self._error: Frame = {}

    @classmethod
    async def open(cls, url: str, token: str) -> SocketLink | Frame:
        """Return an open link, or the error by which the site refused it. Raises LinkLost."""
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
            raise LinkLost(str(error)) from error
        if greeting["type"] == "connected":
            return cls(socket)
        await socket.close()
        return dict(greeting)

    async def publish(self, frame: Frame) -> Frame:
        key = frame["session"], frame["message"], frame["sequence"]
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        try:
            await self._send({"type": "publish", **frame})
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            await self.close()
            raise LinkLost("no answer") from None
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
            raise LinkLost(str(error)) from error

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                if not self._take(orjson.loads(text)):
                    return
        except (OSError, EOFError, WebSocketException):
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(LinkLost("the connection was lost"))

    def _take(self, frame: Frame) -> bool:
        """Pass an answer on; return whether the link may be used any longer."""
        uid = frame.get("message" if frame["type"] == "published" else "id")
        answer = self._waiting.get((frame.get("session"), uid, frame.get("sequence")))
        if answer is not None and not answer.done():
            answer.set_result(frame)
        elif frame["type"] == "error":  # about a beat or a token, or why it is closed
            self._error = frame
            return bool(frame["retryable"])
        return True


class HttpLink:
    """Requests, one a batch."""

    def __init__(self, url: str, token: str) -> None:
        timeout = httpx.Timeout(ANSWER_S, pool=None)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, limits=httpx.Limits(max_connections=REQUESTS))
        self._lost = asyncio.Event()
        self._error: Frame = {}
        self._header = f"Bearer {token}"

    @classmethod
    async def open(cls, url: str, token: str, beat: Frame) -> HttpLink | Frame:
        """Return a link that a beat has gone through, or the error by which the site refused it. Raises LinkLost."""
        link = cls(url, token)
        try:
            error = await link._post("/api/beat/", beat)
        except LinkLost:
            await link.close()
            raise
        if error:
            await link.close()
            return error
        return link

    async def publish(self, frame: Frame) -> Frame:
        rest = {name: value for name, value in frame.items() if name != "session"}
        return await self._post(f"/api/sessions/{frame['session']}/publish/", rest)

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
        """Return the answer's frame, an error's without a type; empty if there is nothing to say."""
        headers = {"Authorization": self._header, "Content-Type": "application/json"}
        try:
            answer = await self._http.post(path, content=orjson.dumps(body), headers=headers)
            frame: Frame = answer.json() if answer.content else {}
        except (httpx.HTTPError, RuntimeError, ValueError) as error:  # also what a proxy says in words of its own
            self._lost.set()
            raise LinkLost(str(error)) from error
        if answer.is_success:
            return frame
        if "code" not in frame:
            self._lost.set()
            raise LinkLost(f"HTTP {answer.status_code}")
        return {"type": "error", **frame}
