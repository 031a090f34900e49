"""What an agent answers with, wherever it runs: text, reasoning and calls of tools, as chunks of a response.

Nothing here needs Django: `turn` writes for agents of this site, `remote` for those in processes elsewhere.
"""

from __future__ import annotations

from typing import Any

from sessions_app.publishing.response_writer import ResponseWriter

Arguments = dict[str, Any]


class Call:
    """A call of a tool, to be ended with its output or its error."""

    def __init__(self, response: ResponseWriter, id: str, name: str, arguments: Arguments) -> None:
        self.id = id
        self.name = name
        self.input = arguments
        self._response = response

    async def begin(self, fields: dict[str, Any]) -> None:
        call = {"toolCallId": self.id, "toolName": self.name}
        await self._response.write({"type": "tool-input-start", **call, **fields})
        await self._response.write({"type": "tool-input-available", **call, **fields, "input": self.input})

    async def output(self, output: Any) -> None:
        await self._response.write({"type": "tool-output-available", "toolCallId": self.id, "output": output})

    async def error(self, message: str) -> None:
        await self._response.write({"type": "tool-output-error", "toolCallId": self.id, "errorText": message})


class Answer:
    """An answer being written: everything is published at once and forgotten."""

    def __init__(self, response: ResponseWriter) -> None:
        self.session = response.session
        self._response = response
        self._open: tuple[str, str] | None = None  # the kind and id of the part that text goes to
        self._parts = 0

    async def text(self, delta: str) -> None:
        """Append to the answer."""
        await self._append("text", delta)

    async def reasoning(self, delta: str) -> None:
        """Append to the reasoning that people may look at."""
        await self._append("reasoning", delta)

    async def data(self, name: str, value: Any, *, id: str | None = None, transient: bool = False) -> None:
        """Add data of one's own: a `data-<name>` part of the AI SDK. With an id it replaces the one before."""
        chunk: dict[str, Any] = {"type": f"data-{name}", "data": value}
        await self.write(chunk | ({} if id is None else {"id": id}) | ({"transient": True} if transient else {}))

    async def write(self, chunk: dict[str, Any]) -> None:
        """Write any other chunk of the vocabulary."""
        await self._close()
        await self._response.write(chunk)

    async def begin(self) -> None:
        await self._response.write({"type": "start", "messageId": self._response.uid})
        await self._response.write({"type": "start-step"})

    async def _append(self, kind: str, delta: str) -> None:
        if self._open is None or self._open[0] != kind:
            await self._close()
            self._open = kind, f"{kind}_{self._next()}"
            await self._response.write({"type": f"{kind}-start", "id": self._open[1]})
        await self._response.write({"type": f"{kind}-delta", "id": self._open[1], "delta": delta})

    async def _close(self) -> None:
        if self._open is not None:
            kind, id_ = self._open
            self._open = None
            await self._response.write({"type": f"{kind}-end", "id": id_})

    def _next(self) -> int:
        self._parts += 1
        return self._parts
