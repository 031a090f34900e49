"""An answer that is written to a site elsewhere: batches with numbers, one on its way at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import orjson

from agents_app.answer import Answer, Call
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.publishing.response_writer import Chunk, ResponseWriter, Ticker

logger = logging.getLogger(__name__)

BATCH_BYTES = 48 * 1024  # of JSON; a frame of the site's has room for 64 KiB
BATCH_CHUNKS = 500
PIECE = 6 * 1024  # characters of an append in one chunk: at most 36 KiB of JSON, whatever they are
CHUNK_BYTES = 60 * 1024  # of JSON, of a chunk that can't be divided

# Refusals of a malformed chunk: nothing of its batch is stored, and the batch's number is free. Others store what comes
# before the chunk, and count.
REFUSE_WHOLE = ("bad_chunk", "unknown_chunk")

FAILED = "The agent failed."
STOPPED = "The agent was stopped before it finished."


class RemoteResponse(ResponseWriter):
    """A response at a site. `submit` is called whenever a batch is to be sent; then comes `take` or `refuse`.

    `write` and `flush` raise HoldfastError when it can't go on, `Fenced` when somebody else has ended it.
    """

    def __init__(self, session: str, uid: str, *, ticker: Ticker, submit: Callable[[RemoteResponse], None]) -> None:
        super().__init__(session, uid, ticker=ticker, chunk_bytes=CHUNK_BYTES)
        self.sequence = 0  # of the batch that is on its way, or was last
        self._batches: list[list[Chunk]] = []  # that come after it
        self._hand_over = submit

    @property
    def batch(self) -> list[Chunk]:
        """What is on its way."""
        return self._in_flight

    def take(self, serial: int) -> None:
        """The site has stored the batch."""
        self._stored(serial)

    def refuse(self, problem: HoldfastError) -> None:
        """The site won't store it. What came before a malformed chunk is sent again."""
        if problem.code in REFUSE_WHOLE:
            self.sequence -= 1
            if len(self._in_flight) > 1:
                self._divide()
                return
        self._fail(problem)

    def _divide(self) -> None:
        chunks, self._in_flight = self._in_flight, []
        half = len(chunks) // 2
        self._batches[:0] = [chunks[:half], chunks[half:]]
        self._send()

    def _give_up(self, problem: HoldfastError) -> None:
        super()._give_up(problem)
        self._batches.clear()

    def _check(self, chunk: Chunk) -> None:
        super()._check(chunk)
        if chunk["type"] not in vocabulary.APPENDS and len(orjson.dumps(chunk)) > CHUNK_BYTES:
            raise HoldfastError("bad_chunk", f"{chunk['type']} takes more than {CHUNK_BYTES} bytes on the wire")

    def _has_more(self) -> bool:
        return bool(self._batches) or super()._has_more()

    def _take(self) -> list[Chunk]:
        if not self._batches:
            self._batches = list(batches(super()._take()))
        return self._batches.pop(0)

    def _submit(self) -> None:
        self.sequence += 1
        self._hand_over(self)


def batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Divide chunks so that each batch fits into a frame."""
    batch: list[Chunk] = []
    size = 0
    for chunk in pieces(chunks):
        more = len(orjson.dumps(chunk)) + 1
        if batch and (size + more > BATCH_BYTES or len(batch) == BATCH_CHUNKS):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += more
    if batch:
        yield batch


def pieces(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Divide what appends a long text."""
    for chunk in chunks:
        append = vocabulary.APPENDS.get(chunk["type"])
        if append is None or len(chunk[append[1]]) <= PIECE:
            yield chunk
        else:
            text = chunk[append[1]]
            yield from ({**chunk, append[1]: text[start : start + PIECE]} for start in range(0, len(text), PIECE))


class RemoteAnswer(Answer):
    """`async with publisher.answer(session) as answer:` it begins, and ends as the block does."""

    _response: RemoteResponse

    def __init__(self, response: RemoteResponse) -> None:
        super().__init__(response)
        self.uid = response.uid

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            await self._end(error)
            return
        try:
            await self.finish()
        except BaseException as problem:
            await self._end(problem)
            raise

    async def _end(self, problem: BaseException) -> None:
        """End the answer because of a problem; all that was written before it is kept."""
        try:
            await self._response.close(_end_of(problem))
        except HoldfastError as untold:  # the block's own problem is what its caller is told
            logger.warning("answer %s could not be ended: %s", self.uid, untold.message)

    async def step(self) -> None:
        """Begin another step, as agents do after each call of the model."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "start-step"})

    async def tool(self, name: str, arguments: dict[str, Any], *, title: str | None = None) -> Call:
        """Say that a tool is called; the call that is returned takes its output."""
        await self._close()
        call = Call(self._response, f"call_{self._next()}", name, arguments)
        await call.begin({} if title is None else {"title": title})
        return call

    async def flush(self) -> None:
        """Wait until everything written is stored."""
        await self._response.flush()

    async def finish(self) -> None:
        """End the answer, and wait until all of it is stored."""
        await self._close()
        await self._response.write({"type": "finish-step"})
        await self._response.write({"type": "finish", "finishReason": "stop"})
        await self._response.flush()


def _end_of(problem: BaseException) -> Chunk:
    if isinstance(problem, asyncio.CancelledError):
        return {"type": "interrupt", "reason": STOPPED}
    return {"type": "error", "errorText": problem.message if isinstance(problem, HoldfastError) else FAILED}
