"""Handshakes under uvicorn: those in plain form are read at once, and mean the same as to uvicorn's own parsers."""

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from sessions_app.servers import uvicorn_handshake
from sessions_app.servers.uvicorn_http import ArrivalTimer
from sessions_app.servers.websocket_frames import whole_text
from tests.support.harness import DEADLINE_S
from tests.support.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, Refused, connect, encode
from tests.support.uvicorn_server import OURS, serving

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3, and its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
PLAIN = {
    "Host": "chat.example.com",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    "Origin": "https://chat.example.com",
}


def request(line: str = "GET /ws/?a=%20 HTTP/1.1", more: str = "", **changes: str | None) -> bytes:
    """Return a handshake; a header that is None is left out. `more`: further lines."""
    named = PLAIN | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value is not None)
    return f"{line}\r\n{lines}{more}\r\n".encode("latin1")


# What is read


def test_a_handshake_in_plain_form_is_read() -> None:
    found = uvicorn_handshake.read(request(Cookie="a=1; b=2", Connection="keep-alive, Upgrade"))
    assert found is not None
    assert (found.target, found.accept) == (b"/ws/?a=%20", ACCEPT)
    assert found.headers[b"cookie"] == b"a=1; b=2"
    assert found.headers[b"host"] == b"chat.example.com"


def test_spaces_around_a_value_do_not_belong_to_it() -> None:
    found = uvicorn_handshake.read(request(more="Cookie: \t a=1 \t\r\nEmpty:\r\n"))
    assert found is not None
    assert (found.headers[b"cookie"], found.headers[b"empty"]) == (b"a=1", b"")


@pytest.mark.parametrize(
    "data",
    [
        request("POST /ws/ HTTP/1.1"), request("GET /ws/ HTTP/1.0"), request("GET ws/ HTTP/1.1"),
        request("GET /ws/ x HTTP/1.1"), request("GET /w\x00s/ HTTP/1.1"), request("GET  /ws/ HTTP/1.1"),
        request("GET http://chat.example.com/ws/ HTTP/1.1"),
        request(Host=None), request(more="Host: chat.example.com\r\n"), request(more="host: another.example\r\n"),
        request(Upgrade=None), request(Upgrade="h2c"), request(Connection="close"), request(Connection=None),
        request(Sec_WebSocket_Version="8"), request(Sec_WebSocket_Version=None),
        request(Sec_WebSocket_Key=None), request(Sec_WebSocket_Key="c2hvcnQ="), request(Sec_WebSocket_Key="x" * 24),
        request(more="Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), request(more="Cookie: a\r\nCookie: b\r\n"),
        request(more="Content-Length: 0\r\n"), request(more="Transfer-Encoding: chunked\r\n"),
        request(more="Expect: 100-continue\r\n"),
        request(more="Folded: a\r\n b\r\n"), request(more=" Before: a\r\n"), request(more="Colon : a\r\n"),
        request(more="None\r\n"), request(more=": a\r\n"), request(more="Line: a\n"), request(more="Line: a\rb\r\n"),
        request(more="Latin: \xe9\r\n"), request(more="Null: \x00\r\n"),
        request(more="".join(f"X-{n}: a\r\n" for n in range(123))), request(Cookie="x" * 8192),
        request() + b"x", request()[:-1], request()[1:], b"\r\n" + request(), request() + request(), b"",
    ],
)  # fmt: skip
def test_anything_else_is_left_to_uvicorns_parsers(data: bytes) -> None:
    assert uvicorn_handshake.read(data) is None


def test_a_request_of_the_longest_kind_is_refused_quickly() -> None:
    lines = "".join(f"{'a' * 60}:{' ' * 60}\r\n" for _ in range(60))
    assert uvicorn_handshake.read(request(more=lines)[:-2] + b"\n") is None  # no search through all ways to divide it


# What it means

reports: SimpleQueue[dict[str, Any]] = SimpleQueue()


async def application(scope: Any, receive: Any, send: Any) -> None:
    named = {name: value for name, value in scope.items() if name != "client"}
    reports.put({**named, "headers": list(scope["headers"]), "first": await receive()})
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    subprotocol = next(iter(scope["subprotocols"]), None)
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"x-more", b"1")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(application, OURS) as port:
        yield port


@pytest.fixture(autouse=True)
def no_reports() -> None:
    global reports
    reports = SimpleQueue()


def lines_of(head: str) -> tuple[str, set[str]]:
    """Return the status line of a response and its header lines, without the date."""
    status, *lines = head.lower().split("\r\n")
    return status, {line for line in lines if not line.startswith("date:")}


@pytest.mark.parametrize("path", ["/ws/", "/ws/?a=%20b&c", "/w%73/%C3%A9", "//ws"])
def test_the_application_and_the_client_see_no_difference(
    port: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Sec-WebSocket-Protocol": "holdfast , bearer.x", "Cookie": "a=1; b=2", "Sec-WebSocket-Key": KEY}
    read: list[bool] = []
    seen = []
    for reader in (original, lambda data: None):
        monkeypatch.setattr(uvicorn_handshake, "read", lambda data, reader=reader: noted(read, reader(data)))
        client = RawSocket(port, path, headers=headers)
        client.send_text("hello")
        assert client.receive().text == "hello"
        scope = reports.get(timeout=DEADLINE_S)
        seen.append((scope | {"headers": sorted(scope["headers"])}, lines_of(client.answer)))
    assert read == [True, False]
    assert seen[0] == seen[1]
    assert f"sec-websocket-accept: {ACCEPT.decode().lower()}" in seen[0][1][1]


original = uvicorn_handshake.read


def noted(read: list[bool], found: Any) -> Any:
    read.append(found is not None)
    return found


def test_a_handshake_in_pieces_is_left_to_uvicorn(port: int) -> None:
    connection = connect(port, None)
    data = request()
    connection.sendall(data[:40])
    connection.sendall(data[40:])
    assert b"101 Switching Protocols" in connection.recv(65536)
    connection.close()


def test_a_socket_is_refused_before_it_is_accepted(port: int) -> None:
    with pytest.raises(Refused) as refused:
        RawSocket(port, "/refused")
    assert refused.value.status == 403


def test_a_later_request_of_a_connection_may_be_a_handshake() -> None:
    async def pages(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await application(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with serving(pages, OURS) as port:
        connection = connect(port, None)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while not data.endswith(b"ok"):
            data += connection.recv(65536)
        client = RawSocket(port, "/ws/", connection=connection)
        client.send_text("hello")
        assert client.receive().text == "hello"


def test_compression_is_negotiated_by_uvicorn() -> None:
    with serving(application, OURS, ws_per_message_deflate=True) as port:
        client = RawSocket(port, "/ws/", headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert "permessage-deflate" in client.answer
        client.send_text("x" * 1000)
        assert len(client.receive().payload) < 100


def test_the_time_limit_of_requests_ends_with_the_handshake(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[ArrivalTimer] = []

    def stop(self: ArrivalTimer) -> None:
        original_stop(self)
        stopped.append(self)

    original_stop = ArrivalTimer.stop
    monkeypatch.setattr(ArrivalTimer, "stop", stop)
    client = RawSocket(port, "/ws/")
    client.send_text("hello")
    assert client.receive().text == "hello"
    assert [timer._handle for timer in stopped[-1:]] == [None]


# Frames that are read at once


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"x" * 125, b"x" * 126, b"x" * 65535, "\u65e5".encode() * 40], ids=len,
)  # fmt: skip
@pytest.mark.parametrize("mask", [bytes(4), b"\x01\x80\xfe\x7f"])
def test_a_whole_text_frame_is_read(payload: bytes, mask: bytes) -> None:
    size = len(payload)
    head = bytes([0x81, 128 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert whole_text(head + mask + masked, 2**24) == payload
    assert whole_text(head + mask + masked, size) == payload
    if size:
        assert whole_text(head + mask + masked, size - 1) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x81", encode(TEXT, b"x")[:-1], encode(TEXT, b"x") + b"x", encode(TEXT, b"x") * 2,
        encode(TEXT, b"x", masked=False), encode(TEXT, b"x" * 122, masked=False) + bytes(4),
        encode(TEXT, b"x", fin=False), encode(TEXT, b"x", rsv=4), encode(CLOSE, b""), encode(BINARY, b"x"),
        encode(PING, b""), encode(CONTINUATION, b"x"),
        encode(TEXT, b"x" * 65536), b"\x81\xff" + bytes(4) + b"x" * 127, b"\x81\xfe\x00",
    ],
)  # fmt: skip
def test_any_other_frame_is_left_to_websockets(data: bytes) -> None:
    assert whole_text(data, 2**24) is None


def test_whole_frames_between_pieces_keep_their_order(port: int) -> None:
    client = RawSocket(port, "/ws/")
    client.send_bytes(encode(TEXT, b"one, ", fin=False))
    client.send_bytes(encode(PING, b"there?"))
    assert client.receive().opcode == PONG
    client.send_bytes(encode(CONTINUATION, b"two"))
    client.send_text("three")
    assert [client.receive().text, client.receive().text] == ["one, two", "three"]
    client.send_bytes(encode(TEXT, b"four")[:3])
    client.send_bytes(encode(TEXT, b"four")[3:])
    client.send_text("five")
    assert [client.receive().text, client.receive().text] == ["four", "five"]


def test_a_text_in_the_middle_of_another_closes_the_socket(port: int) -> None:
    client = RawSocket(port, "/ws/")
    client.send_bytes(encode(TEXT, b"one", fin=False))
    client.send_text("two")
    assert client.read_until(CLOSE).code == 1002


def test_a_text_above_the_limit_closes_the_socket() -> None:
    with serving(application, OURS, ws_max_size=100) as port:
        client = RawSocket(port, "/ws/")
        client.send_text("x" * 100)
        assert len(client.receive().text) == 100
        client.send_text("x" * 101)
        assert client.read_until(CLOSE).code == 1009
