"""Large numbers at the doors that take JSON over HTTP and sockets: refused by name, and never rounded."""

import asyncio
import json
from typing import Any

import pytest
from django.test import AsyncClient

from sessions_app.auth.identity import identify_by_token
from sessions_app.core.message import MessageState
from sessions_app.database import threads
from sessions_app.event_log import queries
from sessions_app.http.body_limit import IDENTITY
from sessions_app.process import Process
from sessions_app.transports import ndjson
from tests.support.api import refusal
from tests.support.producers import UID, keys, session
from tests.support.requests import refusal_of, running
from tests.support.stored import staff_with
from tests.support.token_socket import TokenSocket
from tests.support.tokens import bearer, token

__all__ = ["keys", "running", "session"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)

numbers = pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "9" * 400, "1e400"])
KEPT = [2**64 - 1, -(2**63), 2**53 + 1]


def chunks(*values: str) -> str:
    data = (f'{{"type": "data-n", "data": [{value}]}}' for value in values)
    return ",".join([f'{{"type": "start", "messageId": "{UID}"}}', *data])


def batch(*values: str) -> str:
    return f'"message": "{UID}", "producer": "producer", "epoch": 1, "sequence": 1, "chunks": [{chunks(*values)}]'


async def stored(session: str) -> MessageState:
    [message] = (await threads.run(queries.history, session, limit=2)).messages
    return message


async def post(path: str, body: str) -> Any:
    client = AsyncClient(enforce_csrf_checks=True)
    return await client.post(path, body, content_type="application/json", headers=bearer(token()))


@numbers
async def test_a_batch_over_http_is_refused(session: str, number: str) -> None:
    path = f"/api/sessions/{session}/publish/"
    assert refusal_of(await post(path, f"{{{batch('1', number)}}}")) == (400, "bad_chunk")
    assert (await post(path, f"{{{batch(*map(str, KEPT))}}}")).status_code == 200
    message = await stored(session)
    assert [part["data"] for part in message.parts] == [[value] for value in KEPT]


@numbers
async def test_a_batch_on_a_socket_is_refused_with_its_names(session: str, number: str) -> None:
    async with TokenSocket(token()) as socket:
        text = f'{{"type": "publish", "session": "{session}", {batch(number)}}}'
        socket.inbox.put_nowait({"type": "websocket.receive", "text": text})
        await socket.until(lambda: len(socket.said) == 2)
        error = socket.said[1]
        assert (error["code"], error["session"], error["id"], error["sequence"]) == ("bad_chunk", session, UID, 1)


@numbers
async def test_a_line_of_an_upload_is_refused(session: str, number: str) -> None:
    lines = f'{{"type": "start"}}\n{{"type": "data-n", "data": {number}}}\n'.encode()
    status, answer = await upload(session, lines)
    assert (status, answer["code"]) == (400, "bad_chunk") and "Line 2" in answer["message"]


async def test_an_upload_keeps_large_integers(session: str) -> None:
    lines = [{"type": "start"}, *({"type": "data-n", "data": value} for value in KEPT), {"type": "finish"}]
    status, _ = await upload(session, "\n".join(map(json.dumps, lines)).encode())
    message = await stored(session)
    assert status == 200 and [part["data"] for part in message.parts] == KEPT


async def upload(session: str, body: bytes) -> tuple[int, Any]:
    """Upload a response; return the status and the answer."""
    said: list[Any] = []
    inbox = [{"type": "http.request", "body": body, "more_body": False}]
    scope = {
        "type": "http", "method": "POST", "path": f"/api/sessions/{session}/publish/", "query_string": b"",
        "headers": [], IDENTITY: await threads.run(identify_by_token, token()),
    }  # fmt: skip

    async def receive() -> Any:
        return inbox.pop() if inbox else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    await ndjson.upload(scope, receive, send)  # type: ignore[arg-type]
    return said[0]["status"], json.loads(said[1]["body"])


@numbers
def test_the_api_refuses_it(number: str) -> None:
    staff = staff_with("add_retentionpolicy")
    answer = staff.post("/api/policies/", f'{{"name": "n", "hours": {number}}}', content_type="application/json")
    assert refusal(answer) == (400, "bad_json")


@numbers
def test_a_form_of_the_admin_refuses_it(number: str) -> None:
    staff = staff_with("add_retentionpolicy", "view_retentionpolicy")
    answer = staff.post("/admin/sessions_app/retentionpolicy/add/", {"name": "n", "hours": number})
    assert answer.status_code == 200 and answer.context["adminform"].errors["hours"]


@numbers
async def test_a_tools_result_is_refused(running: Process, number: str) -> None:
    result = f'{{"message": "m", "call": "c", "output": {number}}}'
    body = f'{{"id": "signal-1", "kind": "tool-result", "payload": {result}}}'
    answer = await post(f"/api/sessions/{'A' * 22}/signals/", body)
    assert json.loads(answer.content)["error"]["code"] == "bad_signal"
