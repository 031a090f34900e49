"""Responses under test: writers of them, and what is stored and delivered."""

import json
from typing import Any

import pytest

from sessions_app import models
from sessions_app.event_log import queries
from sessions_app.publishing.local_writer import LocalWriter
from sessions_app.publishing.ticker import Ticker
from tests.support.stored import a_session
from tests.support.writer import Writer, start, text_start

ERROR = {"type": "error", "errorText": "It failed."}


@pytest.fixture
def session() -> models.Session:
    return a_session("guest:1")


def respond(writer: Writer, session: models.Session, *, window_ms: int = 40, starts: bool = True) -> LocalWriter:
    worker = models.Worker.objects.create(name="test")
    run = models.Run(session=session, agent="test", status="running", worker=worker)
    if not starts:
        run.save()
    return LocalWriter(run, starts=starts, log_writer=writer.log_writer, ticker=Ticker(writer.loop, window_ms, 150))


def message_of(response: LocalWriter) -> Any:
    message = queries.message(response.session, response.uid)
    assert message is not None
    return message


def text_of(response: LocalWriter) -> str:
    return "".join(part.get("text", "") for part in message_of(response).parts)


def deltas(writer: Writer) -> list[list[str]]:
    """Return the text that each delivered frame appended."""
    events = [json.loads(frame.text)["events"] for frame in writer.frames]
    return [[event["chunk"]["delta"] for event in each if event["chunk"]["type"] == "text-delta"] for each in events]


async def write(response: LocalWriter, *chunks: dict[str, Any]) -> None:
    for chunk in chunks:
        await response.write(chunk)


async def begin(response: LocalWriter) -> None:
    await write(response, start(response.uid), text_start())
    await response.flush()
