"""The network that tests make bad: a cut at a byte."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.tcp_proxy import TcpProxy

SAID = "潮汐".encode() * 1000


@pytest.fixture
def port() -> Iterator[int]:
    """A server that says the same to everyone, and waits for them to go."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(ConnectionError):
            connection.sendall(SAID)
            connection.recv(1)


def got(port: int, most: int) -> tuple[bytes, bool]:
    """Return what comes, up to so many bytes, and whether the connection is reset."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        try:
            while len(received) < most and (piece := client.recv(most)):
                received += piece
        except ConnectionResetError:
            return received, True
    return received, False


@pytest.mark.parametrize("count", [1, 2, 100, len(SAID) - 1])
def test_a_cut_comes_after_just_so_many_bytes_and_once(port: int, count: int) -> None:
    with TcpProxy(port) as proxy:
        proxy.cut_after_bytes(count)
        received, is_reset = got(proxy.port, len(SAID))
        assert (received, is_reset) == (SAID[:count], True)
        assert not proxy.will_cut
        assert got(proxy.port, len(SAID)) == (SAID, False)


def test_a_cut_that_is_taken_back_does_not_come(port: int) -> None:
    with TcpProxy(port) as proxy:
        proxy.cut_after_bytes(10)
        proxy.cut_after_bytes(0)
        assert got(proxy.port, len(SAID)) == (SAID, False)
