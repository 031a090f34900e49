"""The network lab's restart: graceful, in the same process, under every server command."""

import socket

import httpx
import pytest

from tests.support.harness import DEADLINE_S, Server, StartServer, guest, wait_for


@pytest.mark.parametrize("command", ["runserver", "daphne", "reloader"])
def test_a_restart_keeps_the_process(start_server: StartServer, command: str) -> None:
    server = start_server(command)
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as idle:
        assert ask(server) == 204
        assert idle.recv(1) == b""  # the program that held its other end is gone
    wait_for(server.is_ready, DEADLINE_S, lambda: server.log)
    assert "Traceback" not in server.log
    assert server.terminate() == 0


def ask(server: Server) -> int:
    headers = guest(server)
    token = dict(pair.split("=", 1) for pair in headers["Cookie"].split("; "))["csrftoken"]
    return httpx.post(
        f"{server.url}/lab/restart/", headers=headers | {"X-CSRFToken": token}, timeout=DEADLINE_S
    ).status_code
