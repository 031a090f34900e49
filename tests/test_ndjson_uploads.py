"""NDJSON uploads without a server between: texts in any pieces, and ids that are used twice."""

import asyncio
import json
from typing import Any

import pytest

from sessions_app.database import threads
from sessions_app.models import Run
from sessions_app.process import Process
from sessions_app.transports import ndjson
from tests.support.harness import DEADLINE_S
from tests.support.producers import AGENT, UID, Producer, keys, producer, session, stored
from tests.support.requests import running
from tests.support.writer import Chunk, begun, delta, finish, start, text_start

__all__ = ["keys", "producer", "running", "session"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def here(running: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def current() -> Process:
        return running

    monkeypatch.setattr(ndjson.process, "current", current)


class Upload:
    """An upload whose lines are sent one by one."""

    def __init__(self, session: str, uid: str = UID) -> None:
        path = f"/api/sessions/{session}/publish/"
        self.scope = {
            "type": "http", "method": "POST", "path": path, "query_string": f"message={uid}".encode(), "headers": [],
            ndjson.IDENTITY: AGENT,  # as the door has found it by the token
        }  # fmt: skip
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.create_task(ndjson.upload(self.scope, self.received.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def line(self, *chunks: Chunk) -> None:
        for chunk in chunks:
            self.received.put_nowait(
                {"type": "http.request", "body": json.dumps(chunk).encode() + b"\n", "more_body": True}
            )

    async def end(self) -> tuple[int, Any]:
        """End the body; return the status and the answer."""
        self.received.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await asyncio.wait_for(self.task, DEADLINE_S)
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])


async def upload(session: str, *chunks: Chunk, uid: str = UID) -> tuple[int, Any]:
    uploading = Upload(session, uid)
    uploading.line(*chunks)
    return await uploading.end()


async def test_a_character_in_two_lines_is_whole(session: str) -> None:
    status, answer = await upload(session, *begun(UID, "a\ud83d"), delta("\ude00\ud83d"), finish())
    assert (status, answer["status"]) == (200, "complete")
    assert await stored(session) == ("complete", "a😀\ufffd")


async def test_a_text_longer_than_a_chunk_is_divided(session: str) -> None:
    assert (await upload(session, *begun(UID, "x" * 100_000), finish()))[0] == 200
    assert await stored(session) == ("complete", "x" * 100_000)


@pytest.mark.parametrize(
    "wrong",
    [7, {}, {"type": []}, delta("x") | {"delta": 7}, {"type": "data-x", "data": "\ud83d"}, {"type": "nothing"}],
    ids=str,
)
async def test_a_refused_line_is_named_and_what_came_before_it_is_kept(session: str, wrong: Any) -> None:
    status, answer = await upload(session, *begun(UID, "before\ud83d"), wrong, finish())
    assert (status, answer["code"]) in ((400, "bad_chunk"), (400, "unknown_chunk"))
    assert "ine 4: " in answer["message"]
    assert await stored(session) == ("failed", "before\ufffd")


@pytest.mark.parametrize("same", [False, True], ids=["other content", "the same content"])
async def test_of_two_uploads_with_one_id_at_once_one_is_stored_and_one_refused(session: str, same: bool) -> None:
    uploads = [Upload(session), Upload(session)]
    for number, each in enumerate(uploads):
        each.line(start(UID), text_start(), delta("text" if same else f"text {number}"))
    outcomes = await asyncio.gather(*(each.end() for each in uploads))
    assert sorted(status for status, _ in outcomes) == [200, 409]
    [refused] = [answer for status, answer in outcomes if status == 409]
    assert refused["code"] == "message_exists"
    winner = [status for status, _ in outcomes].index(200)
    assert await stored(session) == ("interrupted", "text" if same else f"text {winner}")
    assert await threads.run(Run.objects.count) == 1


async def test_an_upload_and_a_batch_with_one_id_at_once(running: Process, producer: Producer, session: str) -> None:
    uploading = Upload(session)
    uploading.line(*begun(UID, "uploaded"))
    published, (status, answer) = await asyncio.gather(
        producer.publish(running, 1, *begun(UID, "published")), uploading.end(), return_exceptions=True
    )  # type: ignore[misc]
    told = {getattr(published, "code", "stored"), answer.get("code", "stored")}
    assert told == {"stored", "message_exists"}
    assert (await stored(session))[1] == ("uploaded" if status == 200 else "published")


async def test_the_id_of_a_run_that_waits_is_taken(session: str) -> None:
    await threads.run(lambda: Run.objects.create(session_id=session, agent="demo", uid=UID))
    status, answer = await upload(session, *begun(UID, "mine"), finish())
    assert (status, answer["code"]) == (409, "message_exists")
