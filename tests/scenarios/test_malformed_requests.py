"""Malformed and hostile requests to real servers: a status of the 4xx, at most one line in the log, no traceback."""

import socket
from contextlib import closing

import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer, guest
from tests.support.raw_socket import CLOSE, TEXT, RawSocket, encode

HOST = "Host: 127.0.0.1\r\n"
FORM = "Content-Type: multipart/form-data\r\nContent-Length: 9\r\n\r\nmalformed"  # no boundary
LONG = "a=1&" * 1100
REQUESTS = {
    "another host": ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
    "a host that is none": ("GET /api/sessions/ HTTP/1.1\r\nHost: a..b:x\r\n\r\n", 400),
    "a NUL in the path": (f"GET /s/%00/ HTTP/1.1\r\n{HOST}\r\n", 200),
    "bad UTF-8 in the path": (f"GET /%ff%fe HTTP/1.1\r\n{HOST}\r\n", 404),
    "a missing static file": (f"GET /static/x.js HTTP/1.1\r\n{HOST}\r\n", 404),
    "no path": (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", 400),
    "a tunnel": (f"CONNECT /api/sessions/ HTTP/1.1\r\n{HOST}\r\n", 405),
    "bad UTF-8 in the query": (f"GET /api/sessions/?%ff=%fe HTTP/1.1\r\n{HOST}\r\n", 401),
    "too many parameters": (f"GET /api/sessions/{'A' * 22}/poll/?{LONG} HTTP/1.1\r\n{HOST}\r\n", 401),
    "a bad charset": (
        f"POST / HTTP/1.1\r\n{HOST}Content-Type: text/plain; charset=hex\r\nContent-Length: 0\r\n\r\n",
        415,
    ),
    "a bad media type": (f"POST / HTTP/1.1\r\n{HOST}Content-Type: a/b; c*=bogus''x\r\nContent-Length: 0\r\n\r\n", 415),
    "a bad form to sign in": (f"POST /login/ HTTP/1.1\r\n{HOST}{FORM}", 400),
    "a bad form to the admin": (f"POST /admin/login/ HTTP/1.1\r\n{HOST}{FORM}", 400),
    "a bad form to nowhere": (f"POST /nowhere/ HTTP/1.1\r\n{HOST}{FORM}", 400),
    "a bad form for an API": (f"POST /api/tokens/ HTTP/1.1\r\n{HOST}{FORM}", 401),
    "a form with too many fields": (
        f"POST /login/ HTTP/1.1\r\n{HOST}Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(LONG)}\r\n\r\n{LONG}",
        400,
    ),
    "a bad cookie": (f'GET / HTTP/1.1\r\n{HOST}Cookie: sessionid="aaaaaaaa\\000"; a="\\\r\n\r\n', 200),
    "another root": (f"GET /api/sessions/ HTTP/1.1\r\n{HOST}Daphne-Root-Path: /\r\n\r\n", 401),
    "a root that isn't ASCII": (f"GET /api/sessions/ HTTP/1.1\r\n{HOST}Daphne-Root-Path: \u00e9\r\n\r\n", 401),
}
SUBPROTOCOLS = ["\u00e9", ",,,", "bearer.", "holdfast, bearer.\u00e9", "x" * 3000]


@pytest.fixture(scope="module", params=["daphne", "serve"])
def server(request: pytest.FixtureRequest, start_shared_server: StartServer) -> Server:
    return start_shared_server(request.param)


def ask(server: Server, request: str) -> int | None:
    """Send a request; return the status of its response, None if there is none."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)) as connection:
        connection.sendall(request.encode("latin1"))
        head = connection.recv(65536).split(b" ", 2)
    return int(head[1]) if len(head) > 2 else None


@pytest.mark.parametrize("name", REQUESTS)
def test_a_malformed_request_is_refused_without_a_traceback(server: Server, name: str) -> None:
    before = len(server.log)
    request, status = REQUESTS[name]
    assert ask(server, request) == status
    log = server.log[before:]
    assert "Traceback" not in log and "ERROR" not in log


def test_a_body_that_breaks_off_during_the_response_leaves_no_traceback(server: Server) -> None:
    head = f"HEAD /api/sessions/ HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
    for end in ("zz\r\n", "5\r\nhello\r\nzz\r\n", "-1\r\n\r\n"):
        before = len(server.log)
        ask(server, head + end)
        assert ask(server, f"GET /healthz HTTP/1.1\r\n{HOST}\r\n") == 200
        assert "Traceback" not in server.log[before:]


@pytest.mark.parametrize("offered", SUBPROTOCOLS)
def test_a_handshake_with_bad_subprotocols_leaves_no_traceback(server: Server, offered: str) -> None:
    before = len(server.log)
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    fields = f"{HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n{key}Sec-WebSocket-Protocol: {offered}\r\n"
    assert ask(server, f"GET /ws/ HTTP/1.1\r\n{fields}\r\n") in (101, 400)
    assert "Traceback" not in server.log[before:]


def test_frames_after_a_close_leave_no_traceback(server: Server) -> None:
    before = len(server.log)
    for payload in (b"\xff", b'{"type": "ping"}', b"x" * 70_000):
        client = RawSocket(server.port, headers=guest(server))
        client.read_until(TEXT)
        client.send_bytes(encode(TEXT, payload) + encode(CLOSE, b"\x03\xe8") + encode(TEXT, payload))
        assert client.is_cut(DEADLINE_S)
    assert "Traceback" not in server.log[before:]


def test_a_flood_of_bad_requests_is_not_a_flood_of_log_lines(server: Server) -> None:
    ask(server, REQUESTS["another host"][0])
    before = server.log.count("django.security.DisallowedHost")
    for _ in range(30):
        assert ask(server, REQUESTS["another host"][0]) == 400
    assert server.log.count("django.security.DisallowedHost") - before <= 20
