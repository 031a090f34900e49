"""A synchronous face of `Answer`, for code in a thread: each verb is done in an event loop elsewhere. Pure: see
`agents_app.backend`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from agents_app.answer import Answer, Call
from sessions_app.core.wire_types import Chunk, JsonObject

T = TypeVar("T")


class Do(Protocol):
    """Has a verb done in the loop, and waits for it; raises what it raises."""

    def __call__(self, verb: Callable[[], Awaitable[T]]) -> T: ...


class SyncAnswer:
    """An answer that is written from a thread: see `Answer`, whose verbs it has."""

    def __init__(self, answer: Answer, do: Do) -> None:
        self.session = answer.session
        self._answer = answer
        self._do = do

    @property
    def finish_reason(self) -> str:
        """The reason that the answer ends with; see `Answer.finish_reason`."""
        return self._answer.finish_reason

    @finish_reason.setter
    def finish_reason(self, reason: str) -> None:
        self._answer.finish_reason = reason

    def text(self, delta: str) -> None:
        """Append to the answer."""
        self._do(lambda: self._answer.text(delta))

    def reasoning(self, delta: str) -> None:
        """Append to the reasoning, which people may look at."""
        self._do(lambda: self._answer.reasoning(delta))

    def data(self, name: str, value: object, *, id: str | None = None, transient: bool = False) -> None:
        """Add data of the application's own; see `Answer.data`."""
        self._do(lambda: self._answer.data(name, value, id=id, transient=transient))

    def metadata(self, values: JsonObject) -> None:
        """Merge values into the message's metadata."""
        self._do(lambda: self._answer.metadata(values))

    def write(self, chunk: Chunk) -> None:
        """Write any other chunk of the vocabulary."""
        self._do(lambda: self._answer.write(chunk))

    def flush(self) -> None:
        """Wait until everything written is stored."""
        self._do(self._answer.flush)


class SyncCall:
    """A tool call of an answer that is written from a thread: see `Call`."""

    def __init__(self, call: Call, do: Do) -> None:
        self.id = call.id
        self.name = call.name
        self._call = call
        self._do = do

    def output(self, output: object) -> None:
        """End the call with its output: any JSON value."""
        self._do(lambda: self._call.output(output))

    def error(self, message: str) -> None:
        """End the call with its error."""
        self._do(lambda: self._call.error(message))
