"""Request bodies over real HTTP servers: beyond the limit they are refused, unread and unstored."""

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer

LIMIT = 131_072
GIB = 1 << 30
PIECE = b"10000\r\n" + b"x" * 65536 + b"\r\n"  # of a chunked body
END = b"0\r\n\r\n"
MOST_SENT = 16 << 20  # what the kernels on the way may hold
MOST_GROWTH_KIB = 32 << 10
PUBLISH = f"/api/sessions/{'A' * 22}/publish/"
PATHS = ["/admin/login/", "/api/sessions/", PUBLISH, "/no/such/page", "/static/x.js", "/ws/"]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The servers' temporary folder."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module", params=["runserver", "daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, start_shared_server: StartServer, temporary: Path) -> Server:
    return start_shared_server(request.param, TMPDIR=str(temporary))


class Client:
    """An HTTP client that sends a request's head, and as much of its body as it is told to."""

    def __init__(self, server: Server, path: str, *headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        head = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Type: text/plain", *headers, "", ""]
        self.socket.sendall("\r\n".join(head).encode())

    def close(self) -> None:
        self.socket.close()

    @property
    def is_answered(self) -> bool:
        return bool(select.select([self.socket], [], [], 0)[0])

    def answer(self) -> tuple[HTTPResponse, bytes]:
        """The response's head and body."""
        response = HTTPResponse(self.socket, method="POST")
        response.begin()
        return response, response.read()


def is_refused(client: Client) -> bool:
    """Return whether the limit refuses the request, with an error in the API's format."""
    response, body = client.answer()
    if response.status != 413 or str(LIMIT) not in body.decode():
        return False
    error = json.loads(body)
    assert (error["code"], error["retryable"]) == ("body_too_large", False)
    assert "close" in response.headers["Connection"]
    return True


def temporary_bytes(server: Server, temporary: Path) -> int:
    """Return the bytes of the temporary files that a server has open; they have no names."""
    total = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith(str(temporary)):
                total += link.stat().st_size
        except FileNotFoundError:  # it was closed meanwhile
            continue
    return total


def peak_kib(server: Server) -> int:
    """Return a server's peak memory."""
    [line] = [line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1])


@pytest.mark.parametrize("path", PATHS)
def test_an_announced_body_is_refused_before_it_is_sent(server: Server, path: str) -> None:
    with closing(Client(server, path, f"Content-Length: {GIB}", "Expect: 100-continue")) as client:
        assert is_refused(client)  # no 100 comes first
        client.socket.settimeout(DEADLINE_S)
        assert client.socket.recv(1) == b""


@pytest.mark.parametrize("path", PATHS)
def test_a_body_without_an_end_is_refused_at_the_limit(server: Server, path: str) -> None:
    sent = 0
    with closing(Client(server, path, "Transfer-Encoding: chunked")) as client:
        while not client.is_answered and sent < MOST_SENT:
            client.socket.sendall(PIECE)
            sent += len(PIECE)
        assert is_refused(client)


def pieces(until: float) -> Iterator[bytes]:
    while time.monotonic() < until:
        yield PIECE


def test_a_client_that_keeps_sending_is_cut_off_and_nothing_is_stored(server: Server, temporary: Path) -> None:
    with closing(Client(server, "/admin/login/", "Content-Length: 1")) as client:  # all that is loaded late
        client.socket.sendall(b"x")
        client.answer()
    before, stored, is_cut = peak_kib(server), 0, False
    with closing(Client(server, "/admin/login/", "Transfer-Encoding: chunked")) as client:
        try:
            for piece in pieces(time.monotonic() + DEADLINE_S):
                client.socket.sendall(piece)
                stored = max(stored, temporary_bytes(server, temporary))
        except ConnectionError:
            is_cut = True
    assert is_cut and stored <= LIMIT
    assert peak_kib(server) - before < MOST_GROWTH_KIB


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("excess", [0, 1])
def test_a_body_passes_up_to_the_limit(server: Server, path: str, excess: int) -> None:
    body = b"x" * (LIMIT + excess)
    with closing(Client(server, path, f"Content-Length: {len(body)}")) as client:
        client.socket.sendall(body)
        assert is_refused(client) == bool(excess)
    with closing(Client(server, path, "Transfer-Encoding: chunked")) as client:
        client.socket.sendall(b"%x\r\n%s\r\n" % (len(body), body) + END)
        assert is_refused(client) == bool(excess)


def test_a_connection_outlives_a_body_below_the_limit(server: Server) -> None:
    head = f"Content-Length: {LIMIT}"
    with closing(Client(server, "/no/such/page", head)) as client:
        client.socket.sendall(b"x" * LIMIT)
        assert client.answer()[0].status == 404
        client.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.answer()[1] == b"ok\n"


@pytest.fixture
def daphne(start_server: StartServer) -> Server:
    return start_server("daphne")


def test_daphne_collects_no_body_for_probes(daphne: Server) -> None:
    for header in (f"Content-Length: {GIB}", "Transfer-Encoding: chunked"):
        with closing(Client(daphne, "/healthz", header)) as client:
            assert client.answer()[0].status == 405


def test_daphne_never_reads_a_body_as_frames(daphne: Server) -> None:
    upgrade: Any = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    with closing(Client(daphne, "/ws/", f"Content-Length: {GIB}", *upgrade)) as client:
        assert is_refused(client)
