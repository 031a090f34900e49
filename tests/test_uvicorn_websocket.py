"""Sockets under uvicorn: ours behave as uvicorn's own, frame for frame, and keep less of their handshake."""

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support.harness import DEADLINE_S
from tests.support.raw_socket import BINARY, CLOSE, PING, PONG, TEXT, RawSocket, Refused, encode
from tests.support.uvicorn_server import OURS, UVICORNS, serving

COOKIES = {f"X-Cookie-{n}": "x" * 8000 for n in range(4)}  # thrice what else a socket takes, its client's side included
FLOOD = 200  # frames of 64 KiB: more than kernels take
ACCEPT, GOODBYE = {"type": "websocket.accept"}, {"type": "websocket.close", "code": 4408}
RESPONSE = {"type": "websocket.http.response.start", "status": 451, "headers": []}
BODY = {"type": "websocket.http.response.body", "body": b"not here"}
HELLO = {"type": "websocket.send", "text": "hello"}

# What the application is sent, and what is raised in it, while the test goes on that connected to it.
reports: SimpleQueue[Any] = SimpleQueue()


async def application(scope: Any, receive: Any, send: Any) -> None:
    tell = reports.put
    scope["headers"] = []  # as Holdfast's does
    await receive()
    try:
        await AT[scope["path"]](receive, send, tell)
    except Exception as error:
        tell(f"{type(error).__name__}: {error}")


async def echo(receive: Any, send: Any, tell: Any) -> None:
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})
    tell(message)
    await send(HELLO)


async def flood(receive: Any, send: Any, tell: Any) -> None:
    """Send FLOOD frames, and report the number sent so far on request."""
    sent = 0

    async def answer() -> None:
        while (await receive())["type"] == "websocket.receive":
            tell(sent)

    await send(ACCEPT)
    telling = asyncio.create_task(answer())
    for sent in range(FLOOD):
        await send({"type": "websocket.send", "text": f"{sent:065536}"})
    await telling


def script(*messages: dict[str, Any]) -> Any:
    """Return an application that sends these messages unconditionally."""

    async def play(receive: Any, send: Any, tell: Any) -> None:
        for message in messages:
            await send(message)

    return play


AT = {
    "/echo": echo,
    "/flood": flood,
    "/unaccepted": script(HELLO),
    "/accepted-twice": script(ACCEPT, ACCEPT),
    "/closed": script(ACCEPT, HELLO, GOODBYE, HELLO),
    "/refused": script(RESPONSE, BODY, HELLO),
}


@pytest.fixture(scope="module", params=[OURS, UVICORNS])
def port(request: Any) -> Iterator[int]:
    with serving(application, request.param) as port:
        yield port


@pytest.fixture(autouse=True)
def no_reports() -> None:
    global reports
    reports = SimpleQueue()


def next_report() -> Any:
    return reports.get(timeout=DEADLINE_S)


def received(client: RawSocket, size: int) -> bytes:
    while len(client.buffer) < size:
        client.fill(DEADLINE_S)
    return client.buffer


@pytest.mark.parametrize(
    "text", ["", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536, "é" * 63, "日" * 21845, "🙂"],
    ids=lambda text: f"{text[:1]}*{len(text)}",
)  # fmt: skip
def test_a_text_is_one_frame(port: int, text: str) -> None:
    client = RawSocket(port, "/echo")
    client.send_text(text)
    frame = encode(TEXT, text.encode(), masked=False)
    assert received(client, len(frame)) == frame


def test_frames_keep_their_order(port: int) -> None:
    client = RawSocket(port, "/echo")
    sent = [(TEXT, b"one"), (BINARY, b"\xff"), (TEXT, b""), (BINARY, b""), (TEXT, b"two")]
    client.send_bytes(b"".join(encode(opcode, payload) for opcode, payload in sent))
    frames = [client.receive() for _ in sent]
    assert [(frame.opcode, frame.payload) for frame in frames] == sent
    client.send(PING, b"there?")
    assert client.receive().opcode == PONG


def test_sending_waits_for_a_stalled_client(port: int) -> None:
    client = RawSocket(port, "/flood", receive_buffer=4096)
    client.send_text("how many?")
    assert next_report() < FLOOD - 1
    for number in range(FLOOD):
        assert int(client.receive().payload[-8:]) == number


def test_a_send_raises_when_its_client_is_lost(port: int) -> None:
    client = RawSocket(port, "/flood", receive_buffer=4096)
    client.send_text("how many?")
    assert next_report() < FLOOD - 1
    client.cut()
    assert next_report().startswith("ClientDisconnected")


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        (lambda client: client.send(CLOSE, b"\x0f\xa1bye"), {"code": 4001, "reason": "bye"}),
        (lambda client: client.cut(), {"code": 1005}),
        (lambda client: client.send(TEXT, b"\xff"), {"code": 1007, "reason": ""}),
    ],
    ids=["closes", "cuts", "sends no UTF-8"],
)
def test_a_disconnect_has_its_code_and_nothing_is_sent_after_it(port: int, leave: Any, message: Any) -> None:
    client = RawSocket(port, "/echo")
    client.send_text("hello")
    client.receive()
    leave(client)
    assert next_report() == {"type": "websocket.disconnect"} | message
    assert next_report().startswith(("ClientDisconnected", "RuntimeError: Unexpected"))


def test_nothing_is_sent_after_a_close_frame(port: int) -> None:
    client = RawSocket(port, "/closed")
    assert client.receive().text == "hello"
    frame = client.receive()
    assert (frame.opcode, frame.code) == (CLOSE, 4408)
    client.send(CLOSE, frame.payload)
    assert client.is_cut(DEADLINE_S)
    assert next_report().startswith(
        "RuntimeError: Unexpected ASGI message 'websocket.send', after sending 'websocket.close'"
    )


def test_nothing_is_accepted_twice(port: int) -> None:
    client = RawSocket(port, "/accepted-twice")
    assert next_report().startswith("RuntimeError: Expected ASGI message 'websocket.send' or 'websocket.close'")
    assert client.is_cut(DEADLINE_S)


@pytest.mark.parametrize(
    ("path", "status", "complaint"),
    [
        ("/unaccepted", 500, "RuntimeError: Expected ASGI message 'websocket.accept'"),
        ("/refused", 451, "RuntimeError: Expected ASGI message 'websocket.http.response.body'"),
    ],
)
def test_nothing_is_sent_before_the_accept(port: int, path: str, status: int, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        RawSocket(port, path)
    assert refused.value.status == status
    assert next_report().startswith(complaint)


def test_a_socket_pings_and_closes_without_a_pong() -> None:
    with serving(application, OURS, ws_ping_interval=0.1, ws_ping_timeout=DEADLINE_S) as port:
        client = RawSocket(port, "/echo")
        for _ in range(2):
            client.read_until(PING)
        client.send_text("there")
        assert client.read_until(TEXT).text == "there"
    with serving(application, OURS, ws_ping_interval=0.1, ws_ping_timeout=0.1) as port:
        assert RawSocket(port, "/echo", answer_pings=False).read_until(CLOSE).code == 1011


def test_negotiated_compression_is_used() -> None:
    with serving(application, OURS, ws_per_message_deflate=True) as port:
        client = RawSocket(port, "/echo", headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        client.send_text("x" * 1000)
        assert len(client.receive().payload) < 100
        plain = RawSocket(port, "/echo")
        plain.send_text("x" * 1000)
        assert plain.receive().text == "x" * 1000


def test_the_log_contains_no_user_content(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn.error")
    with serving(application, OURS) as port:
        client = RawSocket(port, "/echo")
        client.send_text("a secret")
        assert client.receive().text == "a secret"
    assert caplog.text
    assert "secret" not in caplog.text


def test_an_open_socket_keeps_nothing_of_its_handshake() -> None:
    clients: list[RawSocket] = []

    def open_one() -> None:
        client = RawSocket(port, "/echo", headers=COOKIES)
        client.send_text("hello")
        client.receive()
        clients.append(client)

    with serving(application, OURS) as port:
        open_one()  # the first pays for what is loaded once
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(20):
                open_one()
            gc.collect()
            each = tracemalloc.get_traced_memory()[0] / 20
        finally:
            tracemalloc.stop()
    assert each < 16_000  # bytes
