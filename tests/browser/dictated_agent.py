"""An agent process that writes what a test dictates, chunk by chunk.

As a program (`python -m tests.browser.dictated_agent`) it reads `[session, chunk, …]`, one a line, and reports when all
of it is stored; `DictatedAgent` starts it and writes to it. A `start` begins another response in its session; a
`message` is a whole one.
"""

import asyncio
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tests.support.harness import ROOT, Server

Chunk = dict[str, Any]
START: Chunk = {"type": "start"}
FINISH: Chunk = {"type": "finish"}


def text(*deltas: str, kind: str = "text") -> list[Chunk]:
    """A whole text, or another part of that form."""
    return [begin(kind), *(delta(written, kind) for written in deltas), end(kind)]


def begin(kind: str = "text") -> Chunk:
    return {"type": f"{kind}-start", "id": kind}


def delta(written: str, kind: str = "text") -> Chunk:
    return {"type": f"{kind}-delta", "id": kind, "delta": written}


def end(kind: str = "text") -> Chunk:
    return {"type": f"{kind}-end", "id": kind}


class DictatedAgent:
    """The process; `with DictatedAgent(server) as agent: agent.say(session, START, …)`. It ends with the block."""

    def __init__(self, server: Server) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.dictated_agent"],
            cwd=ROOT, env=server.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.process.communicate()  # at the end of its input it stops

    def say(self, session: str, *chunks: Chunk) -> None:
        """Return once the chunks are stored."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([session, *chunks]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "stored\n"

    def kill9(self) -> None:
        self.process.kill()


# The program


async def publish() -> None:
    from sessions_app.models import new_uid
    from sessions_app.process import Process
    from sessions_app.publishing.local_writer import LocalWriter

    process = Process()
    await process.start()
    responses: dict[str, LocalWriter] = {}
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            session, *chunks = json.loads(line)
            for chunk in chunks:
                if chunk["type"] == "start":
                    responses[session] = process.writers.unprompted(session, agent="dictated")
                    chunk["messageId"] = responses[session].uid
                if chunk["type"] == "message":
                    await process.log_writer.append(session=session, uid=new_uid(), chunks=[chunk])
                else:
                    await responses[session].write(chunk)
            if session in responses:
                await responses[session].flush()
            print("stored", flush=True)
    finally:
        await process.stop()


def main() -> None:
    import django

    django.setup()
    asyncio.run(publish())


if __name__ == "__main__":
    main()
