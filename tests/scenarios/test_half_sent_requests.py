"""Requests that never end, over real HTTP servers: each part has its time, counted from its beginning."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from tests.support.follower import Follower
from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.raw_socket import TEXT, RawSocket
from tests.support.tokens import KEYS, token

LIMIT_S = 1
SETTINGS = {
    "HOLDFAST_REQUEST_HEAD_S": str(LIMIT_S),
    "HOLDFAST_REQUEST_BODY_S": str(LIMIT_S),
    "HOLDFAST_UPLOAD_SILENCE_S": "4",
    "HOLDFAST_UPLOAD_BYTES": "200000",
    "HOLDFAST_ORIGINS": "https://app.example.com",
    "HOLDFAST_TOKEN_KEYS": ",".join(f"{kid}:{key}" for kid, key in KEYS.items()),
}
HOST = b"Host: 127.0.0.1\r\n"
HEADS = [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + HOST + b"X: y"]
BODIES = {
    "page": b"POST /login/ HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\nx",
    "api": b"POST /api/stream/ HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    "chunked": b"POST /api/stream/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
}


@pytest.fixture(scope="module", params=["daphne", "serve"])
def server(request: pytest.FixtureRequest, start_shared_server: StartServer) -> Server:
    return start_shared_server(request.param, **SETTINGS)


@pytest.fixture(autouse=True)
def no_traceback(server: Server) -> Iterator[None]:
    before = len(server.log)
    yield
    assert "Traceback" not in server.log[before:]


def connect(server: Server, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
    connection.sendall(data)
    return connection


def read_to_end(connection: socket.socket, meanwhile: Callable[[], None] = lambda: None) -> tuple[bytes, float]:
    """Return what the server sends before it closes the connection, and the seconds until then."""
    began, answer = time.monotonic(), b""
    connection.settimeout(0.1)
    while time.monotonic() - began < DEADLINE_S:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            with suppress(ConnectionError):
                meanwhile()
            continue
        except ConnectionError:
            data = b""
        if not data:
            return answer, time.monotonic() - began
        answer += data
    raise AssertionError(f"the server keeps the connection open: {answer!r}")


def ask(connection: socket.socket) -> None:
    """Send a request, and read its response."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    answer = b""
    while not answer.endswith(b"ok\n"):
        assert (data := connection.recv(65536)), answer
        answer += data


def is_timeout(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)
    return head.startswith(b"HTTP/1.1 408 ") and (error["code"], error["retryable"]) == ("request_timeout", True)


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_a_head_without_an_end_is_refused(server: Server, head: bytes) -> None:
    with closing(connect(server, head)) as connection:
        answer, took = read_to_end(connection)
    assert is_timeout(answer) and took > LIMIT_S / 2


@pytest.mark.parametrize("body", BODIES)
def test_a_body_without_an_end_is_refused(server: Server, body: str) -> None:
    with closing(connect(server, BODIES[body])) as connection:
        assert is_timeout(read_to_end(connection)[0])


def test_a_page_of_a_listed_origin_may_read_the_refusal(server: Server) -> None:
    head = BODIES["api"].replace(HOST, HOST + b"Origin: https://app.example.com\r\n")
    with closing(connect(server, head)) as connection:
        answer = read_to_end(connection)[0]
    assert is_timeout(answer) and b"access-control-allow-origin: https://app.example.com\r\n" in answer.lower()


@pytest.mark.parametrize("begun", [b"G", BODIES["page"], BODIES["chunked"]], ids=["head", "page", "chunked"])
def test_a_byte_now_and_then_gains_no_time(server: Server, begun: bytes) -> None:
    with closing(connect(server, begun)) as connection:
        _, took = read_to_end(connection, lambda: connection.sendall(b"x"))
    assert took < 5 * LIMIT_S


def test_a_connection_without_a_request_is_closed_without_a_response(server: Server) -> None:
    with closing(connect(server)) as connection:
        assert read_to_end(connection)[0] == b""


def test_a_connection_may_rest_between_requests(server: Server) -> None:
    with closing(connect(server)) as connection:
        for pause in (1.5 * LIMIT_S, 0):
            ask(connection)
            time.sleep(pause)  # longer than a head may take


def test_a_second_request_has_its_own_time(server: Server) -> None:
    with closing(connect(server)) as connection:
        ask(connection)
        connection.sendall(b"GET /hea")
        assert is_timeout(read_to_end(connection)[0])


def test_the_rest_of_an_answered_request_is_not_awaited(server: Server) -> None:
    head = b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 99\r\n\r\n"
    with closing(connect(server, head)) as connection:
        answer, took = read_to_end(connection, lambda: connection.sendall(b"x"))
    assert answer.startswith((b"HTTP/1.1 405", b"HTTP/1.1 408")) and took < 5 * LIMIT_S


def test_a_websocket_stays_open(server: Server) -> None:
    client = RawSocket(server.port, headers=guest(server))
    time.sleep(1.5 * LIMIT_S)
    client.send_text('{"type": "ping"}')
    while json.loads(client.read_until(TEXT).text)["type"] != "heartbeat":
        pass
    client.close()


# Uploads


def upload(session: str, *headers: bytes, by: str = "") -> bytes:
    bearer = f"Authorization: Bearer {by}\r\n".encode() if by else b""
    lines = [b"Content-Type: application/x-ndjson", *headers]
    path = f"/api/sessions/{session}/publish/".encode()
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + bearer + b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("by", ["", "nonsense"])
@pytest.mark.parametrize("length", [b"Transfer-Encoding: chunked", b"Content-Length: 100000"])
def test_an_upload_is_refused_before_its_body_is_sent(server: Server, by: str, length: bytes) -> None:
    with closing(connect(server, upload("A" * 22, length, b"Expect: 100-continue", by=by))) as connection:
        answer, _ = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 401 ")  # no 100 comes first


def test_an_upload_that_may_be_sent_is_told_to_continue(server: Server) -> None:
    publisher = token(sub="agent:shell", scope="publish")
    with closing(
        connect(server, upload("A" * 22, b"Content-Length: 9", b"Expect: 100-continue", by=publisher))
    ) as connection:
        answer, _ = read_to_end(connection, lambda: connection.sendall(b"{}\n{}\n{}\n"))
    assert b" 404 " in answer.partition(b"\r\n")[0]  # the session doesn't exist, which the head has said


async def test_an_upload_has_no_time_limit_but_its_silence(server: Server) -> None:
    async with Follower(server.url) as reader:
        session = await reader.create_session()
    head = upload(session, b"Transfer-Encoding: chunked", by=token(sub="agent:shell", scope="publish"))
    with closing(connect(server, head + chunk(b'{"type": "start"}\n'))) as connection:
        time.sleep(2 * LIMIT_S)
        connection.sendall(chunk(b'{"type": "text-start", "id": "t"}\n'))
        answer, took = read_to_end(connection, lambda: connection.sendall(chunk(b" ")))  # never a whole line
    assert b'"status":"interrupted"' in answer and took > 2 * LIMIT_S


async def test_an_upload_beyond_its_limit_is_refused(server: Server) -> None:
    async with Follower(server.url) as reader:
        session = await reader.create_session()
    publisher = token(sub="agent:shell", scope="publish")
    with closing(connect(server, upload(session, b"Content-Length: 200001", by=publisher))) as connection:
        assert read_to_end(connection)[0].startswith(b"HTTP/1.1 413 ")
    with closing(connect(server, upload(session, b"Transfer-Encoding: chunked", by=publisher))) as connection:
        connection.sendall(chunk(b'{"type": "start"}\n'))
        with suppress(ConnectionError):
            for _ in range(4):
                connection.sendall(chunk(b"\n" * 60_000))
        assert b" 413 " in read_to_end(connection)[0].partition(b"\r\n")[0]
