"""Publishing from elsewhere: batches that their producer numbers, each taken once; PROTOCOL.md §14.

A producer is a worker like a process of this site, one for each of its epochs; all that it sends counts as a beat of
its lease. Nothing about it is kept here: its run says what it has sent last, so any process may take the next batch.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable

from django.db import DatabaseError
from django.utils import timezone

from sessions_app import conf, models
from sessions_app.auth.identity import Identity
from sessions_app.core import vocabulary
from sessions_app.core.errors import HoldfastError
from sessions_app.core.frames import ClientFrame
from sessions_app.core.text import whole_text
from sessions_app.core.tokens import BACKEND_SCOPES
from sessions_app.core.wire_types import Chunk
from sessions_app.database import locking, threads
from sessions_app.event_log import queries, sql
from sessions_app.event_log.commands import Append, AppendResult, OnResult
from sessions_app.event_log.writer import LogWriter

REMEMBERED = 10_000  # producers; beyond it all are looked up again
Submit = Callable[[Identity, ClientFrame, OnResult], Awaitable[None]]
DIGEST_BYTES = 6  # 8 characters; chance repeats one in 2^48 times


class Producers:
    """The producers elsewhere, as one process knows them."""

    def __init__(self, log_writer: LogWriter) -> None:
        self._log_writer = log_writer
        self._known: set[str] = set()

    async def submit(self, who: Identity, frame: ClientFrame, on_result: OnResult) -> None:
        """Check a batch and have it stored; `on_result` is called with the outcome. Raises HoldfastError.

        Batches of one message are to be submitted in their order.
        """
        who.check("publish", frame.session)
        check_chunks(frame.chunks)
        starts = _run(frame) if frame.sequence == 1 else None
        try:
            if starts is not None:
                await threads.run(queries.writable, frame.session)
            worker = await self.worker_of(who.owner, frame)
        except DatabaseError:
            raise HoldfastError("storage_unavailable") from None
        if starts is not None:
            starts.worker_id = worker
        self._log_writer.submit(
            Append(
                session=frame.session,
                uid=frame.message,
                chunks=frame.chunks,
                on_result=on_result,
                run=models.derived_id(frame.session, frame.message),
                worker=worker,
                sequence=frame.sequence,
                digest=digest(frame.chunks),
                starts=starts,
            )
        )

    async def publish(self, who: Identity, frame: ClientFrame) -> int:
        """Store a batch; return the serial of its last chunk. Raises HoldfastError."""
        return await serial_once_stored(self.submit, who, frame)

    async def beat(self, who: Identity, frame: ClientFrame) -> None:
        """A producer lives. Raises fenced."""
        who.require_one_of(BACKEND_SCOPES)
        worker = await self.worker_of(who.owner, frame)
        if not await self._log_writer.do(_beat, worker):
            raise HoldfastError("fenced", "this producer has begun a later epoch")

    async def worker_of(self, owner: str, frame: ClientFrame) -> str:
        """Return the worker that a producer is in an epoch; the first time it ends those of its earlier epochs.

        Raises fenced if it has a later one.
        """
        # Whoever has another token can't fence it: a producer's name is its owner's own.
        name = f"{owner} {frame.producer}"
        worker = models.derived_id(name, frame.epoch)
        if worker not in self._known:
            if not await self._log_writer.do(_register, worker, name, frame.epoch, order=worker):
                raise HoldfastError("fenced", "this producer has begun a later epoch")
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known.add(worker)
        return worker


async def serial_once_stored(submit: Submit, who: Identity, frame: ClientFrame) -> int:
    """Submit a batch and wait until it is stored; return the serial of its last chunk. Raises HoldfastError."""
    outcome: asyncio.Future[AppendResult | HoldfastError] = asyncio.get_running_loop().create_future()

    def on_result(result: AppendResult | HoldfastError) -> None:
        if not outcome.done():  # its waiter may have been cancelled
            outcome.set_result(result)

    await submit(who, frame, on_result)
    return serial_of(await outcome)


def check_chunks(chunks: list[Chunk]) -> None:
    """Raise bad_chunk or unknown_chunk if one of a batch's chunks can't be stored."""
    for chunk in chunks:
        vocabulary.check(whole_text(chunk), max_bytes=conf.settings.chunk_bytes)


def _register(worker: str, producer: str, epoch: int) -> bool:
    epochs = models.Worker.objects.filter(producer=producer)
    if epochs.filter(epoch__gt=epoch).exists():
        return False
    models.Worker.objects.get_or_create(pk=worker, defaults={"name": producer, "producer": producer, "epoch": epoch})
    # One that beats right now is refused its next beat, and dies of that.
    epochs.filter(pk__in=locking.skip_locked(epochs.alive().filter(epoch__lt=epoch))).update(alive=False)
    return True


def _run(frame: ClientFrame) -> models.Run:
    if frame.chunks[0]["type"] != "start":
        raise HoldfastError("bad_chunk", "a response's first chunk is its `start`")
    return models.Run(
        pk=models.derived_id(frame.session, frame.message),
        session_id=frame.session,
        uid=frame.message,
        status=models.Run.Status.RUNNING,
        started_at=timezone.now(),
    )


def digest(chunks: list[Chunk]) -> str:
    """Return the digest by which a repeated batch is told from another one with its number."""
    text = json.dumps(chunks, sort_keys=True).encode()  # not orjson: halves of surrogate pairs may wait for theirs
    return base64.urlsafe_b64encode(hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()).decode()


def serial_of(outcome: AppendResult | HoldfastError) -> int:
    """Return the serial of a batch's last chunk, or raise why not all of it was stored."""
    if isinstance(outcome, HoldfastError):
        raise outcome
    if outcome.refusal:
        raise outcome.refusal
    return outcome.serial


def _beat(worker: str) -> bool:
    row = models.Worker.objects.filter(pk=worker)
    if row.exists() and not locking.skip_locked(row):
        return True  # it publishes at another process right now, which is a beat
    return not sql.beat_producers({worker})
