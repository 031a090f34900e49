"""An answer in the making: text, reasoning and tool calls, written as chunks of a response.

Pure: `Turn` extends it for agents that are asked, `agents_app.remote` for publishers in other processes.
"""

from __future__ import annotations

from agents_app.backend import Arguments, ChunkWriter
from sessions_app.core.errors import HoldfastError
from sessions_app.core.vocabulary import FINISH_REASONS
from sessions_app.core.wire_types import Chunk, JsonObject


class Call:
    """A tool call, to be ended with its output or its error."""

    def __init__(self, writer: ChunkWriter, id: str, name: str, arguments: Arguments) -> None:
        self.id = id
        self.name = name
        self.input = arguments
        self._writer = writer
        self._ended = ""  # how, once it has

    async def begin(self, *, title: str | None = None) -> None:
        """Write the call with its arguments."""
        call: Chunk = {"type": "tool-input-start", "toolCallId": self.id, "toolName": self.name}
        if title is not None:
            call["title"] = title
        await self._writer.write(call)
        await self._writer.write({**call, "type": "tool-input-available", "input": self.input})

    async def output(self, output: object) -> None:
        """End the call with its output: any JSON value."""
        self._check_open()
        await self._writer.write({"type": "tool-output-available", "toolCallId": self.id, "output": output})
        self._ended = "it has its output"

    async def error(self, message: str) -> None:
        """End the call with its error."""
        self._check_open()
        await self._writer.write({"type": "tool-output-error", "toolCallId": self.id, "errorText": message})
        self._ended = "it has failed"

    def _check_open(self) -> None:
        """Raise unknown_part if the call has ended: at the agent's own line, so that its answer can go on."""
        if self._ended:
            raise HoldfastError("unknown_part", f"tool call {self.id[:80]} takes nothing more: {self._ended}")


class Answer:
    """An answer being written: everything is published at once and forgotten."""

    def __init__(self, writer: ChunkWriter) -> None:
        self.session = writer.session
        self._writer = writer
        self._kind = ""  # of the part that text is appended to: text or reasoning; empty if none is open
        self._part = ""  # its id
        self._parts = 0
        self._finish_reason = "stop"

    @property
    def finish_reason(self) -> str:
        """The reason that the answer ends with, if it ends well: one of the AI SDK's `finishReason`s."""
        return self._finish_reason

    @finish_reason.setter
    def finish_reason(self, reason: str) -> None:
        if reason not in FINISH_REASONS:
            raise ValueError(f"a finish reason is one of {', '.join(FINISH_REASONS)}, not {reason!r}")
        self._finish_reason = reason

    async def text(self, delta: str) -> None:
        """Append to the answer."""
        if self._kind != "text" or not self._writer.append("text-delta", self._part, delta):
            await self._append("text", delta)

    async def reasoning(self, delta: str) -> None:
        """Append to the reasoning, which people may look at."""
        if self._kind != "reasoning" or not self._writer.append("reasoning-delta", self._part, delta):
            await self._append("reasoning", delta)

    async def data(self, name: str, value: object, *, id: str | None = None, transient: bool = False) -> None:
        """Add data of the application's own: a `data-<name>` part of the AI SDK. With an id, replace that part."""
        chunk: Chunk = {"type": f"data-{name}", "data": value}
        await self.write(chunk | ({} if id is None else {"id": id}) | ({"transient": True} if transient else {}))

    async def metadata(self, values: JsonObject) -> None:
        """Merge values into the message's metadata. Text that is being written goes on."""
        await self._writer.write({"type": "message-metadata", "messageMetadata": values})

    async def write(self, chunk: Chunk) -> None:
        """Write any other chunk of the vocabulary."""
        if self._kind:
            await self._close()
        await self._writer.write(chunk)

    async def begin(self) -> None:
        """Write the response's start."""
        await self._writer.write({"type": "start", "messageId": self._writer.uid})
        await self._writer.write({"type": "start-step"})

    async def flush(self) -> None:
        """Wait until everything written is stored."""
        await self._writer.flush()

    async def finish(self) -> None:
        """End the answer, and wait until all of it is stored."""
        await self._end_step()
        await self._writer.write({"type": "finish", "finishReason": self._finish_reason})
        await self._writer.flush()

    async def _end_step(self) -> None:
        await self._close()
        await self._writer.write({"type": "finish-step"})

    async def _append(self, kind: str, delta: str) -> None:
        while self._kind != kind:  # while one task waits for room, another may open another part
            if self._kind:
                await self._close()
                continue
            self._kind, self._part = kind, f"{kind}_{self._next()}"
            await self._writer.write({"type": f"{kind}-start", "id": self._part})
        await self._writer.write({"type": f"{kind}-delta", "id": self._part, "delta": delta})

    async def _close(self) -> None:
        """End the part that text is appended to."""
        if self._kind:
            kind, self._kind = self._kind, ""
            await self._writer.write({"type": f"{kind}-end", "id": self._part})

    def _next(self) -> int:
        self._parts += 1
        return self._parts
