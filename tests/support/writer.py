"""The log's writer for tests: a `LogWriter` whose event loop runs in a thread, beside the test."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import pytest

from sessions_app.core.attachment import Frame
from sessions_app.core.errors import HoldfastError
from sessions_app.event_log import queries
from sessions_app.event_log.commands import Append, AppendResult, SessionChange
from sessions_app.event_log.writer import LogWriter
from sessions_app.models import Run, Session, Worker
from sessions_app.runs import lifecycle
from tests.support.harness import DEADLINE_S

Chunk = dict[str, Any]
T = TypeVar("T")


class Writer:
    """`with Writer() as writer:` `frames` are the readers' frames, in order; `outcomes` the publishers' results."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.outcomes: list[AppendResult | HoldfastError] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        self.log_writer = LogWriter(self.loop, self.frames.extend, lifecycle.follow)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.log_writer.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def submit(self, session: Session, uid: str, chunks: list[Chunk], **fields: Any) -> "Future[AppendResult]":
        """Hand an append over; the future is its outcome, or raises it."""
        future: Future[AppendResult] = Future()

        def on_result(outcome: AppendResult | HoldfastError) -> None:
            self.outcomes.append(outcome)
            refusal = outcome.refusal if isinstance(outcome, AppendResult) else outcome
            if refusal:
                future.set_exception(refusal)
            else:
                future.set_result(outcome)

        self.log_writer.submit(Append(session=session.pk, uid=uid, chunks=chunks, on_result=on_result, **fields))
        return future

    def change(self, session: Session, work: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Hand a change of a session's log over; the future is what `work(log, *args)` returned, or raises it."""
        future: Future[Any] = Future()

        def on_result(outcome: Any) -> None:
            if isinstance(outcome, HoldfastError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.log_writer.submit(SessionChange(session.pk, lambda log: work(log, *args), on_result))
        return future

    def append(self, session: Session, uid: str, chunks: list[Chunk], **fields: Any) -> AppendResult:
        return self.submit(session, uid, chunks, **fields).result(DEADLINE_S)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop; return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Put everything that is submitted within the block into one transaction."""
        with self.log_writer._changed:
            yield


@pytest.fixture
def writer() -> Iterator[Writer]:
    with Writer() as writer:
        yield writer


# What readers are shown, and what is stored


def text_of(session: Session, uid: str) -> str:
    message = queries.message(session.pk, uid)
    assert message is not None
    return "".join(part.get("text", "") for part in message.parts)


def shown(writer: Writer, session: Session) -> list[dict[str, Any]]:
    """Return every event delivered to readers of a session, in order."""
    frames = [frame for frame in writer.frames if frame.session == session.pk]
    return [event for frame in frames for event in json.loads(frame.text)["events"]]


def serials(writer: Writer, session: Session) -> list[int]:
    return [event["serial"] for event in shown(writer, session)]


# What tests write


def start(uid: str) -> Chunk:
    return {"type": "start", "messageId": uid}


def text_start(part: str = "t") -> Chunk:
    return {"type": "text-start", "id": part}


def delta(text: str, part: str = "t") -> Chunk:
    return {"type": "text-delta", "id": part, "delta": text}


def text_end(part: str = "t") -> Chunk:
    return {"type": "text-end", "id": part}


def finish() -> Chunk:
    return {"type": "finish", "finishReason": "stop"}


def begun(uid: str, text: str = "") -> list[Chunk]:
    """A response with an open text."""
    return [start(uid), text_start(), *([delta(text)] if text else [])]


def user_message(text: str) -> Chunk:
    """A person's turn."""
    return {"type": "message", "role": "user", "parts": [{"type": "text", "text": text}]}


def a_run(session: Session, uid: str, worker: Worker | None = None) -> Run:
    """A run at work, of a worker of its own if none is given."""
    worker = worker or Worker.objects.create(name="test")
    return Run.objects.create(session=session, agent="test", status=Run.Status.RUNNING, worker=worker, uid=uid)


def run_fields(run: Run) -> dict[str, str]:
    """Return the fields of an append that name its run and worker."""
    assert run.worker_id
    return {"run": run.pk, "worker": run.worker_id}
