"""The Node process with the vendors' clients, driven from here; its program is `vendors/main.mjs`."""

import asyncio
import json
from asyncio.subprocess import PIPE
from itertools import count
from pathlib import Path
from typing import Any

from tests.services import require, require_package

PROGRAM = Path(__file__).parent / "vendors" / "main.mjs"
PACKAGES = ("ai", "@ai-sdk/react", "@assistant-ui/react", "@assistant-ui/react-ai-sdk", "jsdom")
LINE_BYTES = 2**24
DEADLINE_S = 60


class ClientError(AssertionError):
    """A client's method has failed."""


class Clients:
    """The process; to be used with `async with`. `complaints`: the lines of its standard error."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._has_ended = False
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> "Clients":
        for package in PACKAGES:
            require_package(package)
        self._process = await asyncio.create_subprocess_exec(
            require("node"), str(PROGRAM), stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LINE_BYTES
        )
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_complaints())]
        return self

    async def __aexit__(self, *problem: Any) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()
        await asyncio.gather(*self._tasks)

    async def call(self, client: str, verb: str, **given: Any) -> Any:
        """Return what a client's method returns. Raises ClientError."""
        if self._has_ended:
            raise ClientError(f"the clients' process has ended: {self.complaints[-20:]}")
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin
        line = json.dumps({"number": number, "client": client, "verb": verb, "given": given})
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await waiting
            finally:
                del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            if (waiting := self._waiting.get(answer["number"])) is None or waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(ClientError(answer["error"]))
            else:
                waiting.set_result(answer["value"])
        self._has_ended = True
        for waiting in self._waiting.values():
            waiting.set_exception(ClientError("the clients' process has ended"))

    async def _read_complaints(self) -> None:
        assert self._process.stderr
        while line := await self._process.stderr.readline():
            self.complaints.append(line.decode(errors="replace").rstrip())
