"""A remote answer: written to a site elsewhere in numbered batches, one in flight at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import orjson

from agents_app.answer import Answer, Call
from agents_app.backend import Arguments
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.text import split
from sessions_app.core.wire_types import Chunk
from sessions_app.publishing.response_writer import ResponseWriter
from sessions_app.publishing.ticker import Ticker

logger = logging.getLogger(__name__)

BATCH_BYTES = 48 * 1024  # of JSON; a frame of the site's has room for 64 KiB
BATCH_CHUNKS = 500
PIECE = 6 * 1024  # bytes of an append's text in one chunk: at most 36 KiB of JSON, whatever they are
CHUNK_BYTES = 60 * 1024  # of JSON, in a chunk that can't be divided

# Refusals of a malformed chunk: nothing of its batch is stored, and the batch's number is free. Others store what comes
# before the chunk, and count.
REFUSE_WHOLE = ("bad_chunk", "unknown_chunk")

FAILED = "The agent failed."
STOPPED = "The agent was stopped before it finished."


class RemoteResponse:
    """A response at a site. `submit` is called for each batch to send, and answered by `take` or `refuse`.

    `write` and `flush` raise HoldfastError if it can't go on, `Fenced` if another has ended it.
    """

    def __init__(self, session: str, uid: str, *, ticker: Ticker, submit: Callable[[RemoteResponse], None]) -> None:
        self.session = session
        self.uid = uid
        self.sequence = 0  # of the batch in flight, or of the last one
        self.batch: list[Chunk] = []  # in flight
        self._batches: list[list[Chunk]] = []  # that follow it
        self._hand_over = submit
        self._writer = ResponseWriter(uid, ticker=ticker, check=check, chunk_bytes=CHUNK_BYTES, submit=self._submit)
        self.append = self._writer.append

    def fields(self) -> dict[str, object]:
        """Return what the frame of the next batch has besides."""
        return {}

    @property
    def begun(self) -> bool:
        """Return whether anything was written."""
        return self._writer.begun

    async def write(self, chunk: Chunk) -> None:
        """Add one chunk; see `ResponseWriter.write`."""
        await self._writer.write(chunk)

    async def flush(self) -> None:
        """Wait until everything written is stored."""
        await self._writer.flush()

    async def close(self, chunk: Chunk) -> None:
        """End the response; see `ResponseWriter.close`."""
        await self._writer.close(chunk)

    def take(self, serial: int) -> None:
        """Note that the site has stored the batch."""
        if self._batches:
            self._writer.advance(serial)
            self._send()
        else:
            self._writer.stored(serial)

    def refuse(self, problem: HoldfastError) -> None:
        """Note that the site refused the batch. Chunks before a malformed one are sent again."""
        if problem.code in REFUSE_WHOLE:
            self.sequence -= 1
            if len(self.batch) > 1:
                half = len(self.batch) // 2
                self._batches[:0] = [self.batch[:half], self.batch[half:]]
                self._send()
                return
        self._batches.clear()
        self._writer.fail(problem)

    def _submit(self, writer: ResponseWriter, chunks: list[Chunk]) -> None:
        self._batches = list(batches(chunks))
        self._send()

    def _send(self) -> None:
        self.batch = self._batches.pop(0)
        self.sequence += 1
        self._hand_over(self)


def check(chunk: Chunk) -> None:
    """Raise bad_chunk or unknown_chunk for a chunk that no frame holds."""
    vocabulary.check(chunk, max_bytes=CHUNK_BYTES)
    if chunk["type"] not in vocabulary.APPENDS and len(orjson.dumps(chunk)) > CHUNK_BYTES:
        raise HoldfastError("bad_chunk", f"{chunk['type']} takes more than {CHUNK_BYTES} bytes on the wire")


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
    """Divide appends of long texts."""
    for chunk in chunks:
        append = vocabulary.APPENDS.get(chunk["type"])
        if append is None or 4 * len(chunk[append[1]]) <= PIECE:
            yield chunk
        else:
            for text in split(chunk[append[1]], PIECE):
                piece = chunk.copy()
                piece[append[1]] = text
                yield piece


class RemoteAnswer(Answer):
    """An answer for `async with publisher.answer(session) as answer:`; it begins and ends with the block."""

    def __init__(self, response: RemoteResponse) -> None:
        super().__init__(response)
        self._response = response
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
        """End the answer because of a problem; everything written before it is kept."""
        try:
            await self._response.close(_end_of(problem))
        except HoldfastError as untold:  # the caller gets the block's own problem
            logger.warning("answer %s could not be ended: %s", self.uid, untold.message)

    async def step(self) -> None:
        """Begin the next step, as agents do after each call of the model."""
        await self._end_step()
        await self._response.write({"type": "start-step"})

    async def tool(self, name: str, arguments: Arguments, *, title: str | None = None) -> Call:
        """Write a tool call and return it: it takes its output."""
        await self._close()
        call = Call(self._response, f"call_{self._next()}", name, arguments)
        await call.begin(title=title)
        return call


def _end_of(problem: BaseException) -> Chunk:
    if not isinstance(problem, Exception):  # cancelled, Ctrl-C, or the process exits
        return {"type": "interrupt", "reason": STOPPED}
    return {"type": "error", "errorText": problem.message if isinstance(problem, HoldfastError) else FAILED}
